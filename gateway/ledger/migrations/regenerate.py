"""Make the first revision anew from ``gateway.ledger.tables``: ``python -m gateway.ledger.migrations.regenerate``.

Only until the first release. Afterwards every change of the tables is a revision of its own, written by hand and reviewed; a test
holds the migrated schema against the tables on both databases.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from gateway.ledger.tables import metadata

_HEAD = '''"""The tables of the ledger as first released; made by ``regenerate.py``, explicit: it never changes with the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build everything."""
'''


def main() -> None:
    """Write ``versions/r0001_initial.py``."""
    with create_engine("sqlite://").connect() as connection:
        script = produce_migrations(MigrationContext.configure(connection), metadata)
    operations = script.upgrade_ops
    if operations is None:
        raise RuntimeError("gateway.ledger.tables holds no tables")
    body = render_python_code(operations, render_as_batch=False)
    target = Path(__file__).parent / "versions" / "r0001_initial.py"
    lines = [line for line in body.splitlines() if not line.strip().startswith("#")]
    target.write_text(_HEAD + "\n".join(f"    {line.removeprefix('    ')}" for line in lines) + "\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(target)], check=True)


if __name__ == "__main__":
    main()
