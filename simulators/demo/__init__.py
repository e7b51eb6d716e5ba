"""``renkei demo``: one peak day of a synthetic city, shown while it runs and reconciled at the end.

:mod:`.command` (options, folder, signals) → :mod:`.director` (what happens when) → :mod:`.story` (what the register sends), :mod:`.eyes`
(what the operators' API says), :mod:`.books` (what register and party wrote down), :mod:`.screen` (what one sees), :mod:`.kept` (what was
left running). All residents are fictitious.
"""
