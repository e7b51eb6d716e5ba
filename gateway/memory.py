"""The collector of reference cycles, set for processes that serve for months."""

from __future__ import annotations

import gc

YOUNG = 20_000
"""New objects between two looks. The default of 700 looks several times for each message, and each time now and then at everything that
was made at the start: a sixth of a busy process's time (``bin/bench cost``). 20,000 are looked at within about 2 ms."""


def settle() -> None:
    """What was made at the start lives until the end: leave it out of every later look. Call it once, when the process is ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
