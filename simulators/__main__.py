"""``python -m simulators COMMAND``: the same as ``renkei simulate COMMAND``."""

from simulators.cli import simulate

if __name__ == "__main__":
    simulate(prog_name="simulate")
