"""A private PostgreSQL server for tests and the fault harness: Debian's package, a temporary folder, a Unix socket.

The server never listens on a network port, so it cannot be in anybody's way. A guard process removes it when its owner ends in
whatever way (it notices that a pipe closes). ``initdb`` refuses root, so for root everything runs as the user ``postgres``.
The server runs with its durable settings: it is the thing under test, so memory is used for speed (``/dev/shm``), not ``fsync = off``.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, LiteralString, Self

import psycopg
from psycopg import sql

_GUARD: Final = """
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -CONT "$pid" 2>/dev/null
  kill -QUIT "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$1"
"""
_CONFIG: Final = """
listen_addresses = ''
max_connections = 60
shared_buffers = 64MB
max_wal_size = 256MB
log_min_messages = fatal
log_destination = stderr
"""


class PostgresMissing(Exception):
    """The programs of PostgreSQL are not on this machine."""


class PostgresFailed(Exception):
    """The server does not start; the text is the end of its log."""


def programs() -> Path:
    """The newest ``/usr/lib/postgresql/<version>/bin``, or where ``initdb`` is on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise PostgresMissing("PostgreSQL is not installed: apt-get install postgresql")
    return Path(on_path).parent


class PostgresServer:
    """``with PostgresServer() as server: server.create_database("a")`` gives an address for SQLAlchemy. Not thread-safe."""

    def __init__(self, *, settings: str = "") -> None:
        """``settings`` are lines for ``postgresql.conf``, after ours."""
        self._programs = programs()
        self._settings = settings
        self._root = os.geteuid() == 0
        self._folder = Path(tempfile.mkdtemp(prefix="renkei-pg-", dir=_fast_place()))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        if self._process is None:
            raise PostgresFailed("the server is not running")
        return int((self._data / "postmaster.pid").read_text().split()[0])

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start (the first time: after making the cluster) and wait until it answers."""
        if self._guard is None:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", str(self._folder)], stdin=subprocess.PIPE, start_new_session=True
            )
        if not self._data.exists():
            self._create()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_owner([str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._folder)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # an interrupt from the keyboard is for the owner, who then stops it
            )
        self._wait_ready()

    def _create(self) -> None:
        if self._root:
            owner = pwd.getpwnam("postgres")
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            self._as_owner([*command, "--no-locale", "--no-sync", "--no-instructions"]), check=True, capture_output=True, cwd=self._folder
        )
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_CONFIG + self._settings)

    def _as_owner(self, command: list[str]) -> list[str]:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *command] if self._root else command

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    tail = (self._folder / "log").read_text(errors="replace")[-2000:]
                    raise PostgresFailed(tail) from error
                time.sleep(0.02)
            else:
                return

    def _address(self, database: str) -> str:
        return f"host={self._folder} user=postgres dbname={database}"

    def url(self, database: str) -> str:
        """The address of a database for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def create_database(self, name: str | None = None, *, template: str | None = None) -> str:
        """Make an empty database, or a copy of ``template`` (to which nobody is connected), and return its address for SQLAlchemy."""
        self._databases += 1
        name = name or f"test_{self._databases}"
        # a file copy of the template goes by the record, so that no checkpoint is waited for
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(sql.Identifier(name), sql.Identifier(template or "template1"))
        )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, throwing out whoever is connected to it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def terminate_connections(self, database: str) -> int:
        """Cut every connection to a database, as an administrator would; returns how many."""
        rows = self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        return len(rows)

    def execute(self, statement: LiteralString | sql.Composed, parameters: tuple[object, ...] | None = None) -> list[tuple[object, ...]]:
        """Run one statement as the administrator, outside any transaction."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """Crash: the postmaster and its processes die at once, without writing anything more."""
        pid = self.pid
        children = [pid, *_children(pid)]
        for child in children:
            with contextlib.suppress(ProcessLookupError):  # ended by itself meanwhile
                os.kill(child, signal.SIGKILL)
        self._reap()
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self, *, immediately: bool = False) -> None:
        """Stop: by default fast (connections are cut, everything is written), or immediately (recovery at the next start)."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            os.kill(self.pid if self._process.poll() is None else self._process.pid, signal.SIGQUIT if immediately else signal.SIGINT)
        self._reap()

    def restart(self, *, immediately: bool = False) -> None:
        self.stop(immediately=immediately)
        self.start()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=30)
            self._process = None

    def close(self) -> None:
        """Stop and remove everything."""
        self.stop(immediately=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(timeout=30)
            self._guard = None


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _fast_place() -> str | None:
    memory = Path("/dev/shm")  # noqa: S108
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3:
        return str(memory)
    return None
