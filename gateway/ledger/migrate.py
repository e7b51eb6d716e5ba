"""Bring the ledger's schema up to date when a process starts (R21).

Of several processes that start at once one migrates, under a lock; the others wait and find it done. The whole migration is one
transaction on both databases. A process refuses a schema that it does not know: one that was made by a newer version of the gateway.

A ledger that is up to date, the usual case, is seen to be so without Alembic: loading that takes longer than all else here.

Revisions are in ``migrations/versions``. How to make the first one anew while nothing has been released: ``migrations/regenerate.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, column, insert, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import ConfigurationError
from gateway.ledger.clock import OFFSET, PROFILE, Profile
from gateway.ledger.engine import LedgerEngine
from gateway.ledger.failures import Kind, classify
from gateway.ledger.tables import meta

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

HEAD: Final = "0001"
"""The newest revision; a test holds it against the folder."""
INCARNATION: Final = "incarnation"
_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(engine: LedgerEngine, *, profile: Profile = "production") -> str:
    """Upgrade to the newest schema and return its revision. Blocks.

    ``profile`` counts only when the ledger is new; whether business time can be shifted stays with it for life.

    Raises:
        ConfigurationError: the schema is newer than this program (``ledger-schema-newer``), or the database's settings do not do.
        LedgerUnavailable: the database cannot be reached or written; nothing was changed.
    """
    try:
        with engine.backend.migration_lock():
            session = engine.session()
            try:
                session.begin()
                revision = _upgrade(session.connection)
                _first_facts(session.connection, profile)
                session.commit()
            finally:
                session.close()
    except SQLAlchemyError as error:
        failure = classify(error)
        if failure.kind is Kind.STATEMENT:
            raise ConfigurationError(
                "ledger-migration", "the schema of the ledger cannot be brought up to date; nothing was changed"
            ) from error
        raise failure.error() from error
    return revision


def check_schema(engine: LedgerEngine) -> str:
    """For a process that does not migrate: raise ConfigurationError unless the schema is the newest that this program knows. Blocks."""
    current = engine.read_here(current_revision)
    if current != HEAD:
        _refuse_newer(current, _scripts())
        raise ConfigurationError(
            "ledger-schema-older", "the schema of the ledger is older than this program: start `renkei up`, which migrates it"
        )
    return HEAD


def current_revision(connection: Connection) -> str | None:
    """The revision that the database has; None where it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    heads: Sequence[str] = connection.scalars(select(column("version_num")).select_from(table("alembic_version"))).all()
    if len(heads) > 1:
        raise ConfigurationError("ledger-schema-newer", "the schema of the ledger has several revisions at once, which no version makes")
    return str(heads[0]) if heads else None


def alembic_config(connection: Connection | None = None) -> Config:
    """Configuration for Alembic's commands, without a file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(alembic_config())


def _upgrade(connection: Connection) -> str:
    current = current_revision(connection)
    if current != HEAD:
        from alembic import command

        _refuse_newer(current, _scripts())
        command.upgrade(alembic_config(connection), HEAD)
    return HEAD


def _refuse_newer(current: str | None, scripts: ScriptDirectory) -> None:
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigurationError(
            "ledger-schema-newer", "the ledger was migrated by a newer version of the gateway: run that version, or restore a backup"
        )


def _first_facts(connection: Connection, profile: Profile) -> None:
    """What a ledger is told at its birth (under the migration's lock, so nobody else does)."""
    known = set(connection.scalars(select(meta.c.name)))
    facts = {INCARNATION: str(uuid.uuid4()), PROFILE: profile, OFFSET: "0.0"}
    missing = [{"name": name, "value": value} for name, value in facts.items() if name not in known]
    if missing:
        connection.execute(insert(meta), missing)
