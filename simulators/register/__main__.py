"""``python -m simulators.register``: the same as ``renkei simulate register``."""

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone("register")
