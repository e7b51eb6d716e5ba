"""What the ``renkei`` command says, in English and Japanese, by subject (``gateway/cli_text.py`` puts the tables together)."""
