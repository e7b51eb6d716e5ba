"""``python -m simulators.immigration``: the same as ``renkei simulate immigration``."""

from simulators.cli import run_alone

if __name__ == "__main__":
    run_alone("immigration")
