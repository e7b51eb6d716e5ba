"""renkei reconcile: the whole register compared with what a party holds; what differs, and its correction by two persons.

The comparison runs here, from two files of keyed digests; the gateway has the run, its worklist and its record. The secret of the run stays
with who compares: the gateway never has it.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, sure
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t
from gateway.errors import CommandRefused, InputRefused
from gateway.reconciliation import digests, steps
from gateway.reconciliation.digests import DigestFile, RunKeys

reconcile = typer.Typer(help=t("command.reconcile"), no_args_is_help=True)
Run = Annotated[str, typer.Argument(metavar="RUN", help=t("reconcile.run"))]
SecretFile = Annotated[Path, typer.Option("--secret", exists=True, dir_okay=False, help=t("reconcile.secret"))]
Ours = Annotated[Path, typer.Option("--ours", exists=True, dir_okay=False, help=t("reconcile.ours"))]
Theirs = Annotated[Path, typer.Option("--theirs", exists=True, dir_okay=False, help=t("reconcile.theirs"))]


@reconcile.command(help=t("reconcile.secret_new"))
def secret(file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(secrets.token_hex(32) + "\n")


@reconcile.command(help=t("reconcile.digest"))
def digest(
    records: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="RECORDS", help=t("reconcile.records"))],
    out: Annotated[Path, typer.Option("--out", help=t("reconcile.out"))],
    run: Annotated[str, typer.Option("--run", help=t("reconcile.run"))],
    cut_off: Annotated[str, typer.Option("--cut-off", metavar="TIME", help=t("reconcile.cut_off"))],
    secret_file: SecretFile,
    as_json: Json = False,
) -> None:
    with _bar(records.stat().st_size, t("reconcile.digesting")) as advance:
        header = digests.write(
            steps.counted(digests.records_of(records), advance), _keys(secret_file, run), run=run, cut_off=_time(cut_off), file=out
        )
    if as_json:
        show_json({"run": run, "records": header.records, "digest": digests.digest_of_file(out)})
    else:
        say(t("reconcile.digested", count=header.records, file=out))


@reconcile.command(help=t("reconcile.start"))
def start(
    other: Annotated[str, typer.Option("--with", metavar="PARTY", help=t("reconcile.with"))],
    ours: Ours,
    theirs: Theirs,
    secret_file: SecretFile,
    reason: Reason,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    with DigestFile(ours) as here, DigestFile(theirs) as there:
        steps.require_same_run(here.header, there.header)
        keys = _keys(secret_file, here.header.run, here.header.check)
        body = {
            "run": here.header.run, "other": other, "cut_off": here.header.cut_off.isoformat(), "buckets": digests.BUCKETS,
            "ours_digest": digests.digest_of_file(ours), "theirs_digest": digests.digest_of_file(theirs),
            "ours_records": here.header.records, "theirs_records": there.header.records, "reason": reason,
        }  # fmt: skip
        with AdminClient(load_config(config), operator) as client:
            return _go_on(client, client.post("reconciliations", body=body), here, there, keys, as_json)


@reconcile.command(help=t("reconcile.resume"))
def resume(
    run: Run, ours: Ours, theirs: Theirs, secret_file: SecretFile, reason: Reason, config: ConfigFile = None, operator: As = None,
    as_json: Json = False,
) -> int:  # fmt: skip
    with DigestFile(ours) as here, DigestFile(theirs) as there, AdminClient(load_config(config), operator) as client:
        found = client.get("reconciliations", run)
        if [digests.digest_of_file(each) for each in (ours, theirs)] != [found["ours_digest"], found["theirs_digest"]]:
            raise InputRefused("other-files", t("reconcile.other_files"))
        keys = _keys(secret_file, run, here.header.check)
        if found["status"] == "paused":
            found = client.post("reconciliations", run, "resume", body={"reason": reason})
        return _go_on(client, found, here, there, keys, as_json)


@reconcile.command(help=t("reconcile.pause"))
def pause(run: Run, reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    with AdminClient(load_config(config), operator) as client:
        return _show(client.post("reconciliations", run, "pause", body={"reason": reason}), as_json)


@reconcile.command(help=t("reconcile.status"))
def status(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help=t("reconcile.run"))] = None, config: ConfigFile = None,
    operator: As = None, as_json: Json = False,
) -> int:  # fmt: skip
    with AdminClient(load_config(config), operator) as client:
        if run is not None:
            return _show(client.get("reconciliations", run), as_json)
        found = client.get("reconciliations")["items"]
    if as_json:
        show_json(found)
    else:
        names = ("run", "with", "status", "cut_off", "progress", "count")
        show_table([t(f"label.{name}") for name in names], [_row(each) for each in found])
    return int(ExitCode.OK)


@reconcile.command(help=t("reconcile.worklist"))
def worklist(
    run: Run,
    state: Annotated[list[str] | None, typer.Option("--state", help=t("reconcile.state"))] = None,
    secret_file: Annotated[Path | None, typer.Option("--open-with", exists=True, dir_okay=False, help=t("reconcile.open_with"))] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    with AdminClient(load_config(config), operator) as client:
        found = [each for page in _pages(client, run, state or []) for each in page["items"]]
    if secret_file is not None:
        keys = _keys(secret_file, run)
        for each in found:
            if each["protected"]:
                continue  # 支援措置: not in a list; who must know opens the reference in the register
            each["resident_record_code"] = keys.code_of(bytes.fromhex(each["reference"]))
    if as_json:
        show_json({"run": run, "items": found})
        return
    headings = [t(f"label.{name}") for name in ("number", "kind", "items", "resident", "state", "correction")]
    show_table(
        headings,
        [
            [
                each["number"], each["kind"], ", ".join(each["items"]),
                each.get("resident_record_code", f"{each['reference'][:16]}{t('reconcile.protected') if each['protected'] else ''}"),
                each["state"], each["correction"] or "",
            ]
            for each in found
        ],
    )  # fmt: skip


@reconcile.command(help=t("reconcile.again"))
def again(
    run: Run, ours: Ours, theirs: Theirs, secret_file: SecretFile, config: ConfigFile = None, operator: As = None, as_json: Json = False
) -> int:
    """What is not resolved yet, from files of a later cut-off."""
    with DigestFile(ours) as here, DigestFile(theirs) as there, AdminClient(load_config(config), operator) as client:
        steps.require_same_run(here.header, there.header)
        keys = _keys(secret_file, run, here.header.check)
        found = [each for page in _pages(client, run, ["postponed", "open", "released"]) for each in page["items"]]
        cut_off = here.header.cut_off.isoformat()
        for part in steps.again([bytes.fromhex(each["reference"]) for each in found], here, there, keys):
            client.post("reconciliations", run, "compared-again", body={"cut_off": cut_off, "found": part})
        return _show(client.get("reconciliations", run), as_json)


@reconcile.command(help=t("reconcile.release"))
def release(
    run: Run,
    correction: Annotated[str, typer.Option("--correction", help=t("reconcile.correction"))],
    reason: Reason,
    number: Annotated[list[int] | None, typer.Option("--number", help=t("reconcile.number"))] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Asks page by page: one request for at most a thousand differences."""
    code = int(ExitCode.OK)
    with AdminClient(load_config(config), operator) as client:
        for page in _pages(client, run, ["open"]):
            wanted = [each for each in page["items"] if not number or each["number"] in number]
            if not wanted:
                continue
            seen = page["digest"] if len(wanted) == len(page["items"]) else steps.digest_of(wanted)
            if not sure(t("reconcile.sure", count=len(wanted), run=run, correction=correction), yes or as_json):
                return int(ExitCode.OK)
            body = {"numbers": [each["number"] for each in wanted], "correction": correction, "seen_digest": seen, "reason": reason}
            code = recorded(client.post("reconciliations", run, "corrections", body=body), as_json)
    return code


# ---- shared --------------------------------------------------------------------------------------------------------------------


def _go_on(
    client: AdminClient, found: dict[str, Any], here: DigestFile, there: DigestFile, keys: RunKeys, as_json: bool
) -> int:  # fmt: skip
    place, run = found["next_bucket"], found["run"]
    here.skip(place)
    there.skip(place)
    with _bar(found["buckets"], t("reconcile.comparing")) as advance:
        advance(place)
        for step in steps.compared(here, there, keys, place):
            found = client.post("reconciliations", run, "compared", body=step)
            if found["next_bucket"] != step["until"]:
                if found["status"] == "paused":
                    break
                raise CommandRefused("run-elsewhere", t("reconcile.elsewhere", run=run))
            advance(step["until"] - step["first"])
    return _show(found, as_json)


def _pages(client: AdminClient, run: str, states: list[str]) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        page = client.get("reconciliations", run, "worklist", query={"states": ",".join(states), "after": str(after), "limit": "1000"})
        yield page
        after = page["next_after"]


def _keys(file: Path, run: str, check: str | None = None) -> RunKeys:
    try:
        made = RunKeys.of(bytes.fromhex(file.read_text(encoding="ascii").strip()), run)
    except ValueError as error:
        raise InputRefused("secret-malformed", t("reconcile.secret_malformed")) from error
    if check is not None and made.check != check:
        raise InputRefused("secret-other", t("reconcile.secret_other"))
    return made


def _time(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(t("reconcile.cut_off")) from error
    return found if found.tzinfo is not None else found.astimezone()


def _show(found: dict[str, Any], as_json: bool) -> int:
    if as_json:
        show_json(found)
    else:
        row = _row(found)
        say(t("reconcile.now", run=row[0], other=row[1], status=row[2], progress=row[4], records=found["ours_records"]))
        for name in ("open", "postponed", "released", "resolved"):
            if found["states"].get(name):
                say(f"  {t(f'reconcile.{name}')}: {found['states'][name]}")
    return int(ExitCode.OK)


def _row(each: dict[str, Any]) -> list[Any]:
    progress = f"{each['next_bucket']}/{each['buckets']}"
    return [each["run"], each["other"], each["status"], local_time(each["cut_off"]), progress, each["found"]]


@contextmanager
def _bar(total: int, title: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)
