"""What the ``renkei`` command says, in English and Japanese, by subject (``gateway/cli/wording.py`` puts the tables together)."""
