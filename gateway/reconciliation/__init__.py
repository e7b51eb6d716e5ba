"""Reconciliation of the whole register: keyed digests of both sides, and what differs between them. Pure, but for files."""
