"""No test manifest: the contract suite speaks HTTP to a simulator, and the register has its messages by queue. What the suite asks of an
adapter is asked of this one in ``tests/inbound``: the broker and the register die and come back between every two steps."""

from __future__ import annotations

SIMULATION = None
