"""``renkei simulate``: the outside world as commands of their own. ``python -m simulators.<party>`` does the same.

Settings come from a YAML file (``--config``) and from flags; flags win. Everything about a resident is fictitious.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from certs.errors import CertificateError
from simulators import desk, verdict
from simulators.cli_mailboxes import applications, immigration
from simulators.cli_running import fail as _fail
from simulators.cli_running import run as _serve
from simulators.convenience.queues import QueueSystem
from simulators.convenience.service import (
    CentreSettings,
    IssuingSettings,
    QueueSettings,
    build_family,
    build_issuing,
    run_centre,
    serve,
)
from simulators.demo.command import demo
from simulators.errors import SimulatorError
from simulators.harness.chaos_cli import chaos
from simulators.harness.pairing import PairingPlan, run_pairing
from simulators.in_house.office import OfficeSettings
from simulators.in_house.service import serve_office
from simulators.intermediate.service import IntermediateSettings
from simulators.intermediate.service import build as build_intermediate
from simulators.journal import read_entries
from simulators.juki_cs.service import JukiCsSettings, serve_city_cs
from simulators.register.service import RegisterSettings, build
from simulators.settings import SettingsType, read_settings
from simulators.world.service import (
    CardManagementSettings,
    PrefectureSettings,
    WorldSettings,
    build_cards,
    build_prefecture,
    serve_alone,
    serve_world,
)

simulate = typer.Typer(no_args_is_help=True, help="Simulated parties, the simulated register, and the verdict over both.")


@simulate.callback(invoke_without_command=True)
def everybody(
    context: typer.Context,
    *,
    everyone: Annotated[bool, typer.Option("--all", help=desk.t("all"))] = False,
    folder: Annotated[Path, typer.Option("--folder", file_okay=False, help=desk.t("folder"))] = desk.FOLDER,
    population: Annotated[int, typer.Option("--population", min=100, max=4_000_000, help=desk.t("population"))] = 400_000,
    as_json: Annotated[bool, typer.Option("--json", help=desk.t("json"))] = False,
) -> None:
    """Simulated parties, the simulated register, and the verdict over both. With --all: every one of them, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    if not everyone:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(desk.run_desk(folder, population=population, as_json=as_json))
    except (SimulatorError, CertificateError) as error:
        _fail(error)
    raise typer.Exit(code)


Config = Annotated[Path | None, typer.Option(help="Settings (YAML); flags win over it.")]


def _without(flags: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if name not in names}


@simulate.command("city-cs")
def city_cs(
    *,
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the SOAP endpoint (mutual TLS); 0: any.")] = None,
    control_port: Annotated[int | None, typer.Option(help="Port of the control API and page on loopback; 0: any.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Where the control API's bearer token is written (0600).")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key (PEM, 0600).")] = None,
    ca: Annotated[Path | None, typer.Option(help="Authority of the callers (PEM).")] = None,
    crl: Annotated[Path | None, typer.Option(help="Revocation lists (PEM).")] = None,
    wrong_certificate: Annotated[Path | None, typer.Option(help="For the fault wrong-certificate.")] = None,
    wrong_key: Annotated[Path | None, typer.Option(help="For the fault wrong-certificate.")] = None,
    signing_certificate: Annotated[Path | None, typer.Option(help="Certificate for signing answers; calls must be signed then.")] = None,
    signing_key: Annotated[Path | None, typer.Option(help="Its private key (PEM, 0600).")] = None,
    caller_signing_certificate: Annotated[Path | None, typer.Option(help="The caller's signing certificate.")] = None,
    caller: Annotated[str | None, typer.Option(help="Who may call: CN=… or an alternative name.")] = None,
    journal: Annotated[Path | None, typer.Option(help="The journal (JSON Lines); the state is rebuilt from it.")] = None,
    journal_sync: Annotated[str | None, typer.Option(help="os: survives the process; disk: survives the machine.")] = None,
    salt: Annotated[str | None, typer.Option(help="Salt of the run, shared with the register.")] = None,
    salt_file: Annotated[Path | None, typer.Option(help="File with the salt of the run.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Script of faults (YAML).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of faults by chance.")] = None,
    population: Annotated[int | None, typer.Option(help="Residents who are there from the beginning.")] = None,
    city_seed: Annotated[int | None, typer.Option(help="Seed of the synthetic city.")] = None,
    memory_s: Annotated[float | None, typer.Option(help="How long request control numbers are remembered.")] = None,
    keepalive_s: Annotated[float | None, typer.Option(help="How long an idle connection is kept.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written (JSON: pid, port, control_port) when it serves.")] = None,
) -> None:
    """The city CS (市町村CS) of the Juki-net."""
    flags = _without(locals(), "config")
    _serve(lambda: serve_city_cs(read_settings(JukiCsSettings, config, flags)))


Population = Annotated[int | None, typer.Option(help="Residents who are there from the beginning.")]
Faults = Annotated[Path | None, typer.Option(help="Script of faults (YAML).")]


simulate.command("immigration")(immigration)
simulate.command("applications")(applications)


@simulate.command("prefecture-server")
def prefecture_server(
    *,
    config: Annotated[Path, typer.Option(help="Settings (YAML); flags win over it.")],
    port: Annotated[int | None, typer.Option(help="Port of the SOAP endpoint (mutual TLS); 0: any.")] = None,
    control_port: Annotated[int | None, typer.Option(help="Port of the control API and page on loopback; 0: any.")] = None,
    population: Population = None,
    faults: Faults = None,
) -> None:
    """The prefecture server (都道府県サーバ) by itself."""
    flags = _without(locals(), "config")
    _serve(lambda: serve_alone(build_prefecture, read_settings(PrefectureSettings, config, flags)))


@simulate.command("card-management")
def card_management(
    *,
    config: Annotated[Path, typer.Option(help="Settings (YAML); flags win over it.")],
    port: Annotated[int | None, typer.Option(help="Port of the SOAP endpoint (mutual TLS); 0: any.")] = None,
    control_port: Annotated[int | None, typer.Option(help="Port of the control API and page on loopback; 0: any.")] = None,
    faults: Faults = None,
) -> None:
    """The card management system (個人番号カード管理システム) by itself."""
    flags = _without(locals(), "config")
    _serve(lambda: serve_alone(build_cards, read_settings(CardManagementSettings, config, flags)))


@simulate.command("intermediate-server")
def intermediate_server(
    *,
    config: Annotated[Path, typer.Option(help="Settings (YAML); flags win over it.")],
    port: Annotated[int | None, typer.Option(help="Port of the SOAP endpoint (mutual TLS); 0: any.")] = None,
    control_port: Annotated[int | None, typer.Option(help="Port of the control API and page on loopback; 0: any.")] = None,
    faults: Faults = None,
) -> None:
    """The intermediate server (中間サーバー) and the information provision network behind it."""
    flags = _without(locals(), "config")
    _serve(lambda: serve_alone(build_intermediate, read_settings(IntermediateSettings, config, flags)))


@simulate.command("world")
def world(*, config: Annotated[Path, typer.Option(help="Settings (YAML) of each party: city_cs, prefecture_server, …")]) -> None:
    """Everything outside in one process: city CS, J-LIS, municipalities, prefecture server, card management, intermediate server."""
    _serve(lambda: serve_world(read_settings(WorldSettings, config, {})))


@simulate.command("register")
def register(
    *,
    config: Annotated[Path, typer.Option(help="Settings (YAML); flags win over it.")],
    record: Annotated[Path | None, typer.Option(help="The register's own record (JSON Lines); goes on from it.")] = None,
    salt: Annotated[str | None, typer.Option(help="Salt of the run, shared with the parties.")] = None,
    population: Annotated[int | None, typer.Option(help="Residents of the synthetic city.")] = None,
    city_seed: Annotated[int | None, typer.Option(help="Seed of the synthetic city.")] = None,
    events_a_day: Annotated[int | None, typer.Option(help="Events a day; default: a peak day first, then average ones.")] = None,
    spoil: Annotated[int | None, typer.Option(help="In-city moves that are sent with a mistake (E102).")] = None,
    per_s: Annotated[float | None, typer.Option(help="Messages a second; default: as fast as they are taken.")] = None,
    watch_every_s: Annotated[float | None, typer.Option(help="Ask after messages this often and replace what is held.")] = None,
    progress_s: Annotated[float | None, typer.Option(help="Print progress (JSON, to standard error) this often.")] = None,
) -> None:
    """The resident record system (住民記録システム): hands its messages in until all have a receipt. SIGUSR1 ends the feed early."""
    flags = _without(locals(), "config", "progress_s")
    try:
        settings = read_settings(RegisterSettings, config, flags)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            progress = runner.run(_run_register(settings, progress_s))
    except (SimulatorError, CertificateError) as error:
        _fail(error)
    typer.echo(json.dumps(progress))


async def _run_register(settings: RegisterSettings, progress_s: float | None) -> dict[str, Any]:
    one = build(settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, one.end_feed)

    async def report(every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            print(json.dumps(one.progress()), file=sys.stderr, flush=True)

    reporting = asyncio.get_running_loop().create_task(report(progress_s)) if progress_s is not None else None
    try:
        await one.run()
        return one.progress()
    finally:
        if reporting is not None:
            reporting.cancel()
        one.record.close()


@simulate.command("certificate-issuance")
def certificate_issuance(*, config: Annotated[Path, typer.Option(help="Settings (YAML).")]) -> None:
    """The certificate issuance system (証明発行システム): has its messages by queue, and makes certificates."""
    _serve_queues(config, IssuingSettings, build_issuing)


@simulate.command("family-register")
def family_register(*, config: Annotated[Path, typer.Option(help="Settings (YAML).")]) -> None:
    """The family register system (戸籍システム): asked while a certificate of the family register is made."""
    _serve_queues(config, QueueSettings, build_family)


def _serve_queues(config: Path, model: type[SettingsType], build_it: Callable[[SettingsType], QueueSystem]) -> None:
    try:
        settings: Any = read_settings(model, config, {})

        async def main() -> None:
            await serve(build_it(settings), settings.ready_file)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except (SimulatorError, CertificateError) as error:
        _fail(error)


@simulate.command("certificate-centre")
def certificate_centre(
    *,
    config: Annotated[Path, typer.Option(help="Settings (YAML); flags win over it.")],
    requests: Annotated[int | None, typer.Option(help="Certificate requests in all, with those that the journal has.")] = None,
    at_once: Annotated[int | None, typer.Option(help="Requests that begin in the same moment.")] = None,
) -> None:
    """The certificate issuance centre (証明書交付センター) with its kiosks: asks for certificates until all have ended."""
    try:
        settings = read_settings(CentreSettings, config, {"requests": requests, "at_once": at_once})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            ends = runner.run(run_centre(settings))
    except (SimulatorError, CertificateError) as error:
        _fail(error)
    typer.echo(json.dumps(ends))


@simulate.command("pairing")
def pairing(
    *,
    requests: Annotated[int, typer.Option(min=100, help="Certificate requests.")] = 20_000,
    at_once: Annotated[int, typer.Option(min=10, help="Requests that begin in the same moment.")] = 160,
    people: Annotated[int, typer.Option(min=20, help="Holders of cards; five names and three birth dates among them.")] = 300,
    kills: Annotated[int, typer.Option(min=0, help="Processes that are killed meanwhile.")] = 12,
    seed: Annotated[int, typer.Option(help="What happens to whom is drawn from it.")] = 1,
    folder: Annotated[Path | None, typer.Option(help="Where to work; a new temporary folder by default.")] = None,
) -> None:
    """Whose certificate comes out of which kiosk: under time-outs, exchanged and late answers and deaths of every process.

    Judged from the journals of kiosks and issuing system alone. Exit 0 only if no certificate was wrong or late, and every request ended.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="renkei-pairing-"))
    plan = PairingPlan(requests=requests, at_once=at_once, people=people, kills=kills, seed=seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run_pairing(place, plan, lambda text: typer.echo(text, err=True)))
    typer.echo(json.dumps(found, ensure_ascii=False))
    if found["ok"] and folder is None:
        shutil.rmtree(place, ignore_errors=True)
    raise typer.Exit(0 if found["ok"] else 1)


@simulate.command("verdict")
def judge(
    record: Annotated[Path, typer.Argument(help="The register's record.")],
    journal: Annotated[Path, typer.Argument(help="The party's journal.")],
    time_up: Annotated[bool, typer.Option(help="Nobody waits any longer: what is not through is stuck, not lost.")] = False,
) -> None:
    """What was lost, doubled, reordered or stuck, from the register's record and the party's journal alone. Exit 1 if anything."""
    try:
        result = verdict.judge(read_entries(record), read_entries(journal), time_up=time_up)
    except SimulatorError as error:
        _fail(error)
    except OSError as error:
        _fail(SimulatorError("cannot-read", error.strerror or str(error)))
    typer.echo(json.dumps(result.shown(), ensure_ascii=False))
    raise typer.Exit(0 if result.ok and result.complete else 1)


@simulate.command("in-house")
def in_house(config: Annotated[Path, typer.Option(help="Settings (YAML).")]) -> None:
    """Our own systems (庁内の各システム): any set of accounts, at their queues, folders or the REST listener."""
    try:
        settings = read_settings(OfficeSettings, config, {})
        asyncio.run(serve_office(settings))
    except (SimulatorError, CertificateError) as error:
        _fail(error)


def run_alone(command: str) -> None:
    """For ``python -m``: one of the commands without its name."""
    simulate(args=[command, *sys.argv[1:]], prog_name=f"simulate {command}")


__all__ = ["chaos", "demo", "run_alone", "simulate"]
