"""The command ``renkei``, one module for each of its sub-commands (entry points of ``renkei.commands``)."""
