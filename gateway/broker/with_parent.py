"""Runs a program that must not outlive its parent: ``with_parent.py PARENT_PID PROGRAM ARGUMENT…`` (Linux).

The kernel is asked to kill this process when the parent dies, whatever kills the parent, and then the program takes its place. It is a
file of its own, run with ``-I -S``, so that nothing runs between fork and exec in the (threaded) gateway.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 no shell is wanted


if __name__ == "__main__":
    main()
