"""Alembic runs this. The connection, already within a transaction, comes from :func:`gateway.ledger.migrate.migrate`."""

from alembic import context

from gateway.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
