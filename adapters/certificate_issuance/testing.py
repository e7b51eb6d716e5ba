"""No test manifest: the contract suite speaks HTTP to a simulator, and this system has its messages by queue (``tests/convenience``)."""

from __future__ import annotations

SIMULATION = None
