"""``python -m simulators.intermediate``: the same as ``renkei simulate intermediate-server``."""

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone("intermediate-server")
