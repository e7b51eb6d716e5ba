"""``python -m gateway``: the ``renkei`` command."""

from gateway.cli import main

if __name__ == "__main__":
    main()
