"""What the commands share that one person gives and another decides: the question before, the answer after, content in clear."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from gateway.cli.support import ExitCode, local_time, say, show_json
from gateway.cli.wording import t


def sure(question: str, yes: bool) -> bool:
    """Whether the person wants it."""
    if yes or typer.confirm(question, err=True):
        return True
    say(t("not.done"))
    return False


def recorded(record: dict[str, Any], as_json: bool) -> int:
    """Say what became of a request; its exit code."""
    waits = record["status"] == "waiting"
    if as_json:
        show_json(record)
    elif waits:
        say(t("waits", command=record["command"], id=record["request_id"], until=local_time(record["expires_at"])))
    elif record["status"] == "approved":
        say(t("approved", command=record["command"], id=record["request_id"], until=local_time(record["expires_at"])))
    else:
        say(t("done", command=record["command"], id=record["request_id"]))
    return int(ExitCode.WAITS if waits else ExitCode.OK)


def write_private(file: Path, content: bytes) -> None:
    """Content in clear: a new file that nobody else can read; an existing one is never written over."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)


def show_changes(found: Sequence[dict[str, Any]]) -> None:
    """What a policy would change, entry by entry."""
    if not found:
        say(t("policy.same"))
    for each in found:
        mark = {"added": "+", "removed": "-", "changed": "~"}[each["kind"]]
        more = "".join(f" +{x}" for x in each["gained"]) + "".join(f" -{x}" for x in each["lost"])
        say(f"{mark} {each['place']}{more if each['kind'] == 'changed' else ''}")
