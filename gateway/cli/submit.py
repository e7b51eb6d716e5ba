"""``renkei submit``: files of messages through the HTTPS door, as the sending system whose certificate is used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import ConfigFile, Json
from gateway.cli.support import ExitCode, load_config, say, say_error, show_json
from gateway.cli.wording import t
from gateway.config import suggestion
from gateway.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from gateway.cli.submission import Tally
    from gateway.config import Config

Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, metavar="FILE…", help=t("submit.files"))]


def submit(
    files: Files,
    system: Annotated[str | None, typer.Option("--system", help=t("submit.system"))] = None,
    certificate: Annotated[str | None, typer.Option("--certificate", help=t("submit.certificate"))] = None,
    message_type: Annotated[str | None, typer.Option("--type", help=t("submit.type"))] = None,
    municipality: Annotated[str | None, typer.Option("--municipality", metavar="CODE", help=t("submit.municipality"))] = None,
    bulk: Annotated[bool, typer.Option("--bulk", help=t("submit.bulk"))] = False,
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, max=1000, help=t("submit.in_flight"))] = 64,
    patience: Annotated[float, typer.Option("--patience", min=0, metavar="SECONDS", help=t("submit.patience"))] = 120.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Hand in FILES in their order: XML (one message each), or JSON Lines (.jsonl) of CloudEvents JSON with the XML in data."""
    settings = load_config(config)
    name = _system(settings, system or os.environ.get("RENKEI_SYSTEM"))
    given = {"type": message_type, "municipality": municipality, "lane": "bulk" if bulk else None}
    tally, stopped = asyncio.run(_run(settings, name, certificate or name, files, given, in_flight, patience))
    if as_json:
        ok = not (tally.refused or tally.left or stopped)
        counts = {"accepted": tally.accepted, "earlier": tally.earlier, "left": tally.left}
        show_json({"ok": ok, **counts, "refused": [each.as_json() for each in tally.refused]})
    for each in tally.refused:
        rule = f" [{each.rule}]" if each.rule else ""
        say(t("submit.refused", place=each.place, code=each.code, detail=each.detail, rule=rule))
    counts_text = {"submitted": tally.accepted, "earlier": tally.earlier, "refused": len(tally.refused), "left": tally.left}
    say(t("submit.summary", **counts_text) if any(counts_text.values()) else t("submit.nothing"))
    if stopped is not None:
        say_error(f"{stopped.safe_detail}; {t('submit.resume', left=tally.left)}", code=stopped.code, exit_code=ExitCode.NOT_REACHABLE)
        return int(ExitCode.NOT_REACHABLE)
    return int(ExitCode.REFUSED if tally.refused or tally.left else ExitCode.OK)


async def _run(
    config: Config, system: str, certificate: str, files: list[Path], given: Mapping[str, str | None], in_flight: int, patience_s: float
) -> tuple[Tally, Unavailable | None]:
    from gateway.cli.submission import Receipts, Submission, items_of
    from gateway.delivery.transport import Endpoint, PartyHttp
    from gateway.security.outgoing import Allowed, OutgoingList

    chain, key = config.certificate(certificate)
    address = f"https://{config.intake.https.host}:{config.intake.https.port}"
    endpoint = Endpoint(url=address, peer=config.certificates.peer, connections=in_flight, answer_bytes=1 << 20)
    own_door = OutgoingList([Allowed(host=config.intake.https.host, port=config.intake.https.port)])
    http = PartyHttp.from_files(endpoint, certificate=chain, key=key, ca=config.ca_file, crl=config.crl_file, outgoing=own_door)
    try:
        with _progress(sum(file.stat().st_size for file in files)) as advance:
            run = Submission(http, window=in_flight, patience_s=patience_s, progress=advance, batches=given["lane"] == "bulk")
            stopped: Unavailable | None = None
            for file in files:
                items = items_of(file, system=system, given=given)
                with Receipts(config.data_dir / "submit", system=system, file=file) as receipts:
                    try:
                        if stopped is None:
                            await run.run(items, receipts)
                    except Unavailable as error:
                        stopped = error
                    run.leave(items, receipts)
            return run.tally, stopped
    finally:
        await http.close()


def _system(config: Config, given: str | None) -> str:
    systems = config.intake.systems
    if given is None and len(systems) == 1:
        return next(iter(systems))
    if given not in systems:
        problem = (
            f'"{given}" is not among intake.systems{suggestion(given, systems)}' if given else t("submit.which", names=", ".join(systems))
        )
        raise ConfigurationError("system-unknown", problem)
    return given


@contextmanager
def _progress(total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(t("submit.progress"), total=total_bytes)
        yield lambda size_bytes: bar.advance(task, size_bytes)
