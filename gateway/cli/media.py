"""renkei media: output to media, approved by a second person, to configured places only, each on record."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, sure
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t
from gateway.errors import CommandRefused

media = typer.Typer(help=t("command.media"), no_args_is_help=True)
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, metavar="FILE")]
_PIECE = 1 << 20


@media.command("list", help=t("media.list"))
def media_list(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    with AdminClient(load_config(config), operator) as client:
        found = client.get("media")
    if as_json:
        show_json(found)
        return
    show_table(
        [t(f"label.{name}") for name in ("target", "detail", "type")],
        [[each["name"], each["directory"], ", ".join(each["types"])] for each in found["targets"]],
    )
    names = ("medium", "target", "type", "count", "operator", "by", "detail", "at")
    show_table(
        [t(f"label.{name}") for name in names],
        [
            [
                each["medium"], each["target"], each["type"], each["count"], each["operator"], each["approved_by"], each["digest"][:16],
                local_time(each["ended_at"]),
            ]
            for each in found["outputs"]
        ],
    )  # fmt: skip


@media.command(help=t("media.ask"))
def ask(
    file: File,
    target: Annotated[str, typer.Option("--target", help=t("media.target"))],
    medium: Annotated[str, typer.Option("--medium", help=t("media.medium"))],
    message_type: Annotated[str, typer.Option("--type", help=t("media.type"))],
    reason: Reason,
    records: Annotated[int | None, typer.Option("--records", min=1, help=t("media.records"))] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    digest, lines = _digest(file)
    count = records or max(1, lines)
    if not sure(t("media.sure", count=count, type=message_type, target=target, medium=medium), yes or as_json):
        return int(ExitCode.OK)
    body = {
        "medium": medium, "type": message_type, "count": count, "size_bytes": file.stat().st_size, "digest": digest, "reason": reason,
    }  # fmt: skip
    with AdminClient(load_config(config), operator) as client:
        return recorded(client.post("media", target, "outputs", body=body), as_json)


@media.command(help=t("media.write"))
def write(
    file: File,
    request: Annotated[str, typer.Option("--request", help=t("media.request"))],
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    with AdminClient(load_config(config), operator) as client:
        asked = client.get("requests", request)
        digest, _ = _digest(file)
        if asked["seen_digest"] != digest:
            raise CommandRefused("other-content", t("media.other"), rule="C-2-5-6")
        begun = client.post("requests", request, "medium-output", body={"digest": digest})
        out = Path(begun["directory"]) / f"{begun['type']}-{begun['medium']}-{digest[:8]}{file.suffix}"
        _copy(file, out)
        if _digest(out)[0] != digest:
            raise CommandRefused("medium-differs", t("media.differs"), rule="C-2-5-6")
        done = client.post("requests", request, "medium-output", "written", body={"digest": digest})
    if as_json:
        show_json({**done, "file": str(out)})
    else:
        say(t("media.written", file=out))


def _copy(file: Path, out: Path) -> None:
    """To the byte (C-3-5-6), as a new file."""
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandRefused("file-exists", t("media.is_there")) from error
    with os.fdopen(descriptor, "wb") as stream, file.open("rb") as source:
        while piece := source.read(_PIECE):
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())


def _digest(file: Path) -> tuple[str, int]:
    """SHA-256, and the number of lines."""
    made, lines = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            made.update(piece)
            lines += piece.count(b"\n")
    return made.hexdigest(), lines
