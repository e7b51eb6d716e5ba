"""``python -m simulators.world``: the same as ``renkei simulate world``; with the name of a party first, that party by itself."""

import sys

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone(sys.argv.pop(1) if sys.argv[1:2] and not sys.argv[1].startswith("-") else "world")
