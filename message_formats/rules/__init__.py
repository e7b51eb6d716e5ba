"""Rules that can be judged on one message alone; each has an id, which errors name, and an entry in ``data/rules.yaml``.

A rule is a function of the items; it raises :class:`~message_formats.errors.FormatError` for the first violation and never puts a value
into it. Rules that need the party's state (existing resident moved in, update order) are in :mod:`message_formats.logic`.
"""

from message_formats.rules import destination, identity, others
from message_formats.rules.registry import RULES, Context, Rule

__all__ = ["RULES", "Context", "Rule", "destination", "identity", "others"]
