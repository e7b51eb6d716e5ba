"""Memory of processes that serve for months: the collector of reference cycles, and what the C library keeps."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from typing import Final

YOUNG = 20_000
"""New objects between two looks. The default of 700 looks several times for each message, and each time now and then at everything that
was made at the start: a sixth of a busy process's time (``bin/bench cost``). 20,000 are looked at within about 2 ms."""
TRIM_S: Final = 10.0
"""Between two returns of free memory to the system, seconds."""


def settle() -> None:
    """What was made at the start lives until the end: leave it out of every later look. Call it once, when the process is ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        threading.Thread(target=_keep_trimming, args=(trim,), name="memory-trim", daemon=True).start()


def _keep_trimming(trim: Callable[[int], int]) -> None:
    """glibc gives each thread a heap of its own and keeps what became free in the middle of it: over many messages of different sizes the
    heaps of the ledger's threads grow to several times of what is in them (``bin/bench memory``)."""
    while True:
        time.sleep(TRIM_S)
        trim(0)
