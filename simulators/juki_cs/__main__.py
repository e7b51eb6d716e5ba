"""``python -m simulators.juki_cs``: the same as ``renkei simulate city-cs``."""

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone("city-cs")
