"""``renkei simulate --all``: every simulated party and system for the desk of a register's vendor, in one folder.

The register itself and the gateway are not among them: the one is the vendor's own, the other is started with ``renkei up`` and the
configuration that is written there. Ports are chosen once and kept in the folder. Several processes; all end with this one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from simulators.convenience import family, issuing
from simulators.errors import BadSettings
from simulators.harness.processes import Child
from simulators.harness.town_config import PartyPorts, Ports
from simulators.harness.whole import CENTRE, WholeTown
from simulators.replay.ways import REGISTER, SETS
from simulators.replay.work import town_of

PRESENT = SETS["all"]
FOLDER = Path("var/simulators")
_ASKED = {issuing.SYSTEM: "certificate-issuance", family.SYSTEM: "family-register"}
"""Systems that answer questions, by the command that plays them."""
_TEXT = {
    "all": (
        "Start every simulator, and write a gateway's configuration that fits.",
        "全シミュレーターを起動し、対応する設定を書き出します。",
    ),
    "folder": ("Where everything is kept; the same ports again next time.", "すべてを置くフォルダー（次回も同じポート）。"),
    "population": ("Residents of the synthetic city.", "架空の市の人口。"),
    "json": ("Addresses as one JSON object.", "アドレスを一つの JSON で出力します。"),
    "title": ("Simulators: all people are fictitious", "シミュレーター（住民はすべて架空）"),
    "who": ("party / system", "相手先・システム"),
    "address": ("address (mutual TLS)", "アドレス（相互 TLS）"),
    "page": ("page", "画面"),
    "queue": ("queue {queue} at the gateway", "ゲートウェイのキュー {queue}"),
    "gateway": ("Start the gateway in another terminal:", "別の端末でゲートウェイを起動してください："),
    "register": ("The register's own side, for your software:", "住民記録システム側（御社のソフトウェア）："),
    "kiosks": ("Certificates at kiosks, once the issuing system has their data:", "証明書データ登録後のキオスクからの要求："),
    "tokens": ("The control APIs' tokens lie in {folder} (*.token).", "制御 API のトークンは {folder}（*.token）にあります。"),
    "end": ("Ctrl-C ends everything.", "Ctrl-C ですべて終了します。"),
    "ended": ("All simulators have ended.", "全シミュレーターを終了しました。"),
}


def t(key: str, **values: object) -> str:
    """The text in the language of the command."""
    japanese = os.environ.get("RENKEI_LANG", os.environ.get("LANG", "")).startswith("ja")
    return _TEXT[key][japanese].format(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one of them is."""

    name: str
    url: str = ""
    page: str = ""
    queue: str = ""


class Desk:
    """All of them. A context manager; belongs to the event loop."""

    def __init__(self, folder: Path, *, population: int = 400_000) -> None:
        self.town = _town(folder, population)
        self._started: list[str] = []

    async def __aenter__(self) -> Desk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.town.stop()

    async def start(self) -> None:
        """Start all, and wait for those that need no gateway; the others connect when there is one.

        :raises SimulatorError: one does not start.
        """
        town = self.town
        await asyncio.to_thread(town.set_up)
        outside = list({id(child): child for child in map(town.simulator, (*PRESENT.parties, *PRESENT.mailboxes))}.values())
        for child in (*outside, *self._inside()):
            child.start()
            self._started.append(child.name)
        for child in outside:
            await child.wait_ready(90)

    def _inside(self) -> Iterator[Child]:
        town = self.town
        yield town.office_of([system for system in PRESENT.systems if system not in _ASKED])
        settings = {issuing.SYSTEM: town.issuing_settings(), family.SYSTEM: town.family_settings()}
        for system, command in _ASKED.items():
            file, ready = (
                self._write(command, settings[system].model_dump(mode="json", exclude_none=True)),
                town.folder / f"{command}.ready",
            )
            yield town.processes.python(command, "simulators", command, "--config", str(file), ready_file=ready)
        self._write(CENTRE, town.centre_settings(deadline_s=30.0).model_dump(mode="json", exclude_none=True))

    def _write(self, name: str, settings: Mapping[str, Any]) -> Path:
        file = self.town.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
        return file

    def ended(self) -> str | None:
        """Who has ended though nobody asked, if anybody has."""
        return next((name for name in self._started if not self.town[name].running), None)

    # ---- where they are

    def places(self) -> list[Place]:
        """Of everybody."""
        ports = self.town.ports.parties
        found = [
            Place(name=name, url=f"https://127.0.0.1:{each.party}", page=f"http://127.0.0.1:{each.control}/")
            for name, each in ports.items()
        ]
        return [*found, *(Place(name=system, queue=f"in-house.{system}") for system in PRESENT.systems)]

    def register(self) -> dict[str, str]:
        """What a vendor's register needs."""
        town, own = self.town, self.town.files.identity(REGISTER)
        return {
            "https": f"https://127.0.0.1:{town.ports.https}/v1/messages",
            "amqps": f"amqps://127.0.0.1:{town.ports.broker_tls}/renkei",
            "queue": f"in-house.{REGISTER}",
            "certificate": own["certificate"],
            "key": own["key"],
            "ca": own["ca"],
            "private_jwk": str(town.inbox_keys[0]),
        }

    def commands(self) -> dict[str, str]:
        """What can be typed next."""
        return {
            "gateway": f"renkei up --config {self.town.config}",
            "kiosks": f"renkei simulate certificate-centre --config {self.town.folder / f'{CENTRE}.yaml'}",
        }

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "places": [asdict(each) for each in self.places()], "register": self.register(), "commands": self.commands(),
            "folder": str(self.town.folder), "config": str(self.town.config),
        }  # fmt: skip


def _town(folder: Path, population: int) -> WholeTown:
    """With the ports of the last time."""
    town = town_of(folder, PRESENT, population=population)
    kept = folder / "ports.json"
    if kept.exists():
        try:
            found = json.loads(kept.read_text())
            parties = {name: PartyPorts(**each) for name, each in found["ports"].pop("parties").items()}
            town.use_ports(Ports(**found["ports"], parties=parties), listener=found["listener"], centre=found["centre"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadSettings("ports-unreadable", f"{kept} is not as it was written; delete it for new ports") from error
    else:
        kept.write_text(json.dumps({"ports": asdict(town.ports), "listener": town.listener, "centre": town.centre_port}), encoding="utf-8")
    return town


async def run_desk(folder: Path, *, population: int, as_json: bool) -> int:
    """Until SIGINT or SIGTERM; 0, or 1 if one of them ended by itself.

    :raises SimulatorError, CertificateError: they cannot be started.
    """
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with Desk(folder, population=population) as desk:
        starting = asyncio.ensure_future(desk.start())
        waiting = asyncio.ensure_future(told.wait())
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        starting.result()
        print(json.dumps(desk.shown(), ensure_ascii=False), flush=True) if as_json else _show(desk)
        while not told.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), 1.0)
            if (name := desk.ended()) is not None and not told.is_set():
                raise BadSettings("simulator-ended", f"{name} ended; see {desk.town.folder / 'log'}")
    if not as_json:
        Console().print(t("ended"))
    return 0


def _show(desk: Desk) -> None:
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    table = Table(title=t("title"), title_justify="left", box=None, header_style="bold")
    for name in ("who", "address", "page"):
        table.add_column(t(name), no_wrap=True)
    for each in desk.places():
        table.add_row(each.name, each.url or t("queue", queue=each.queue), each.page)
    console.print(table)
    commands = desk.commands()
    for key in ("gateway", "kiosks"):
        console.print(t(key), style="bold")
        console.print(f"  {commands[key]}")
    console.print(t("register"), style="bold")
    for name, value in desk.register().items():
        console.print(f"  {name}: {value}")
    console.print(t("tokens", folder=desk.town.folder))
    console.print(t("end"), style="bold")


__all__ = ["FOLDER", "Desk", "run_desk", "t"]
