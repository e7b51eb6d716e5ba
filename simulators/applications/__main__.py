"""``python -m simulators.applications``: the same as ``renkei simulate applications``."""

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone("applications")
