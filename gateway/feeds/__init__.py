"""Feeds: messages that are expected at certain times, and what is said when they do not come (FM-1, C-1-7-8)."""
