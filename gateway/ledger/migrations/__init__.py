"""Revisions of the ledger's schema (Alembic), run by :mod:`gateway.ledger.migrate`."""
