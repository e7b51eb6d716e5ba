"""``renkei flows replay``: a month of a synthetic city through every party of a town, and all books held against each other at the end.

:mod:`.command` (options) → :mod:`.play` (days, clock, quiet) → :mod:`.month` (what each event asks the register to send), :mod:`.counter`
(the register at work), :mod:`.disturbing` (random faults), :mod:`.ways` (which party has what), :mod:`.accounts` (the books). All residents
are fictitious.
"""
