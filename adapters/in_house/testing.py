"""No test manifest: the contract suite speaks HTTP to a simulator, and our own systems have their messages by queue, by REST or as files.
What the suite asks of an adapter is asked of each of these in ``tests/in_house``."""

from __future__ import annotations

SIMULATION = None
