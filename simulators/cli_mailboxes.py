"""``renkei simulate immigration`` and ``applications``: the parties whose messages wait to be fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from simulators.applications.service import ApplicationsSettings
from simulators.applications.service import build as build_applications
from simulators.cli_running import run
from simulators.immigration.service import ImmigrationSettings
from simulators.immigration.service import build as build_immigration
from simulators.party import Party
from simulators.serving import serve
from simulators.settings import read_settings

Config = Annotated[Path | None, typer.Option(help="Settings (YAML); flags win over it.")]
Listen = Annotated[int | None, typer.Option(help="Port of the mailbox (mutual TLS); 0: any.")]
ControlPort = Annotated[int | None, typer.Option(help="Port of the control API and page on loopback; 0: any.")]
TokenFile = Annotated[Path | None, typer.Option(help="Where the control API's bearer token is written (0600).")]
Certificate = Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")]
Key = Annotated[Path | None, typer.Option(help="Private key (PEM, 0600).")]
Authorities = Annotated[Path | None, typer.Option(help="Authority of the callers (PEM).")]
Lists = Annotated[Path | None, typer.Option(help="Revocation lists (PEM).")]
Wrong = Annotated[Path | None, typer.Option(help="For the fault wrong-certificate.")]
Caller = Annotated[str | None, typer.Option(help="Who may call: CN=… or an alternative name.")]
JournalFile = Annotated[Path | None, typer.Option(help="The journal (JSON Lines); the state is rebuilt from it.")]
Salt = Annotated[str | None, typer.Option(help="Salt of the run, shared with the register.")]
Faults = Annotated[Path | None, typer.Option(help="Script of faults (YAML).")]
Ready = Annotated[Path | None, typer.Option(help="Written (JSON: pid, port, control_port) when it serves.")]


def immigration(
    *,
    config: Config = None,
    port: Listen = None,
    control_port: ControlPort = None,
    token_file: TokenFile = None,
    certificate: Certificate = None,
    key: Key = None,
    ca: Authorities = None,
    crl: Lists = None,
    wrong_certificate: Wrong = None,
    wrong_key: Wrong = None,
    caller: Caller = None,
    journal: JournalFile = None,
    salt: Salt = None,
    faults: Faults = None,
    day_offset: Annotated[int | None, typer.Option(help="Its calendar is so many days ahead.")] = None,
    ready_file: Ready = None,
) -> None:
    """The residence card issuing system (在留カード等発行システム): takes address notices, has status notices in its mailbox."""
    _serve_party(ImmigrationSettings, build_immigration, dict(locals()))


def applications(
    *,
    config: Config = None,
    port: Listen = None,
    control_port: ControlPort = None,
    token_file: TokenFile = None,
    certificate: Certificate = None,
    key: Key = None,
    ca: Authorities = None,
    crl: Lists = None,
    wrong_certificate: Wrong = None,
    wrong_key: Wrong = None,
    caller: Caller = None,
    journal: JournalFile = None,
    salt: Salt = None,
    faults: Faults = None,
    municipality: Annotated[str | None, typer.Option(help="The tenant that its callers must be (全国地方公共団体コード).")] = None,
    applicants: Annotated[Path | None, typer.Option(help="Folder with certificates and keys of fictitious citizens.")] = None,
    ready_file: Ready = None,
) -> None:
    """The application management system (申請管理システム) with the portal behind it."""
    _serve_party(ApplicationsSettings, build_applications, dict(locals()))


def _serve_party(model: type[Any], build: Callable[[Any], Party], flags: dict[str, Any]) -> None:
    config = flags.pop("config")

    async def served() -> None:
        settings = read_settings(model, config, flags)
        await serve(build(settings), settings)

    run(served)
