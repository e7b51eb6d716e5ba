"""``python -m gateway``: the ``renkei`` command."""

from gateway.cli.main import main

if __name__ == "__main__":
    main()
