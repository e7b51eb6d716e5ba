"""No test manifest: the contract suite delivers to a simulator, and to this party nothing is delivered. Its dialogues are proved end to end
in ``tests/convenience``."""

from __future__ import annotations

SIMULATION = None
