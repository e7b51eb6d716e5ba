"""``python -m simulators.in_house --config FILE``: the same as ``renkei simulate in-house``."""

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone("in-house")
