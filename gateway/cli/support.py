"""What all commands share: exit codes, output as text or JSON, the configuration."""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.wording import t
from gateway.errors import CommandRefused, ConfigurationError, GatewayError, InputRefused, PartyError, PeerRefused, Unavailable

if TYPE_CHECKING:
    from gateway.config import Config


class ExitCode(enum.IntEnum):
    """What ``renkei`` ends with."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    CONFIGURATION = 3
    NOT_REACHABLE = 4
    REFUSED = 5
    WAITS = 6
    NOT_FOUND = 7
    FINDINGS = 8
    INTERRUPTED = 130


EXIT_CODES: dict[ExitCode, tuple[str, str]] = {
    ExitCode.OK: ("done", "完了"),
    ExitCode.INTERNAL: ("a fault in renkei itself", "renkei 自体の不具合"),
    ExitCode.USAGE: ("wrong usage of the command", "コマンドの使い方の誤り"),
    ExitCode.CONFIGURATION: ("configuration, key or certificate is wrong", "設定・鍵・証明書の誤り"),
    ExitCode.NOT_REACHABLE: (
        "gateway, broker, ledger or party cannot be reached now",
        "ゲートウェイ・ブローカー・台帳・相手先に到達できない",
    ),
    ExitCode.REFUSED: ("refused: not permitted, not valid, or the state has changed", "拒否（権限なし・不正・状態の変化）"),
    ExitCode.WAITS: ("on record, and waits for a second person", "記録済み、承認待ち"),
    ExitCode.NOT_FOUND: ("there is no such message, delivery, request or party", "該当なし"),
    ExitCode.FINDINGS: ("check found something to put right", "点検で対処が必要な項目を検出"),
    ExitCode.INTERRUPTED: ("interrupted by the user", "利用者による中断"),
}

ID = (20, 40)
"""Characters of what is not broken in a table; the ids of the gateway have 32 or 36."""

wants_json: ContextVar[bool] = ContextVar("wants_json", default=False)
"""Set once the arguments are known, so that errors too are said to a machine in its way."""


def exit_code_of(error: GatewayError) -> ExitCode:
    """The exit code that says ``error``."""
    from gateway.admin.service import NotFound

    for kinds, code in (
        ((NotFound,), ExitCode.NOT_FOUND),
        ((ConfigurationError,), ExitCode.CONFIGURATION),
        ((Unavailable, PartyError), ExitCode.NOT_REACHABLE),
        ((PeerRefused, CommandRefused, InputRefused), ExitCode.REFUSED),
    ):
        if isinstance(error, kinds):
            return code
    return ExitCode.INTERNAL


def say_error(text: str, *, code: str, exit_code: ExitCode) -> None:
    """One clear line on standard error; with ``--json`` also an object on standard output."""
    for line in text.splitlines() or [""]:
        print(f"renkei: {t('error')}: {line}", file=sys.stderr)
    if wants_json.get():
        print(json.dumps({"ok": False, "error": {"code": code, "detail": text, "exit": int(exit_code)}}, ensure_ascii=False))


def say(text: str) -> None:
    """A line for people, on standard error with ``--json`` so that standard output stays JSON."""
    print(text, file=sys.stderr if wants_json.get() else sys.stdout)


def show_json(data: Any) -> None:
    """The result for a machine: one JSON document."""
    print(json.dumps(data, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells = [["–" if cell is None else str(cell) for cell in row] for row in rows]
    headed = any(headings)
    table = Table(box=box.SIMPLE_HEAD if headed else None, show_header=headed, pad_edge=False)
    for number, heading in enumerate(headings):
        # ids stay in one piece, so that they can be copied; the others give way
        lengths = [len(row[number]) for row in cells if " " not in row[number]]
        whole = len(lengths) == len(cells) and ID[0] <= max(lengths, default=0) <= ID[1]
        table.add_column(heading, overflow="fold", no_wrap=whole)
    for row in cells:
        table.add_row(*row)
    # Without a terminal nothing is cut: whoever pipes the output wants whole ids.
    Console(width=None if sys.stdout.isatty() else 400, markup=False, highlight=False).print(table)


def local_time(stamp: str | None) -> str | None:
    """A time of the API in the zone of this terminal."""
    if stamp is None:
        return None
    return dt.datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def short_time(stamp: str | None) -> str | None:
    """The same for a narrow column: without the date if it is today's."""
    if stamp is None:
        return None
    at = dt.datetime.fromisoformat(stamp).astimezone()
    return at.strftime("%H:%M:%S" if at.date() == dt.datetime.now().astimezone().date() else "%Y-%m-%d %H:%M:%S")


def config_path(given: Path | None) -> Path:
    """``--config``, else ``RENKEI_CONFIG``, else ``config.yaml`` here."""
    return given or Path(os.environ.get("RENKEI_CONFIG") or "config.yaml")


def load_config(given: Path | None) -> Config:
    """:raises ConfigurationError: see :func:`gateway.config.load`."""
    from gateway.config import load

    return load(config_path(given))
