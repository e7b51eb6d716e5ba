"""The targets of the attacks: the real HTTPS door on a real port, and the real client of a party; and a witness that remembers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from certs.peer import Authority
from certs.tls import client_context, server_context
from gateway.delivery.transport import Endpoint, PartyHttp
from gateway.intake.https import HttpsDoor, open_door
from gateway.intake.peers import PeerDirectory
from gateway.intake.submission import Sender
from gateway.security.refusals import Refusal, Refusals
from tests.security.forgery import CLIENT, SERVER, Forger
from tests.support.data import read_yaml

TABLE: dict[str, list[dict[str, Any]]] = read_yaml((Path(__file__).parent / "attacks.yaml").read_text(encoding="utf-8"))
LIMIT = 64 * 1024


def lines(section: str, direction: str) -> list[Any]:
    """The attacks of one section that come from that side, as parameters of a test."""
    return [pytest.param(line, id=f"{line['id']}-{line['make']}") for line in TABLE[section] if direction in line]


@dataclass
class Watcher:
    """Hands on to the gateway's own counter, which writes to a ledger (``conftest.on_record``), and lets a test wait for it."""

    notes: list[dict[str, Any]] = field(default_factory=list)
    event: asyncio.Event = field(default_factory=asyncio.Event)
    rows: list[Refusal] = field(default_factory=list)
    made: ClassVar[list[Watcher]] = []
    """All of this test."""

    def __post_init__(self) -> None:
        self._refusals = Refusals(self._write)
        self.made.append(self)

    def note(self, **what: Any) -> None:
        self.notes.append(what)
        self._refusals.note(**what)
        self.event.set()

    async def _write(self, rows: Sequence[Refusal]) -> None:
        self.rows += rows

    async def counted(self) -> list[Refusal]:
        """What the gateway would write when the minute is over."""
        await self._refusals.flush(all_of_them=True)
        return self.rows

    async def first(self) -> dict[str, Any]:
        await asyncio.wait_for(self.event.wait(), 10)
        return self.notes[0]


@dataclass
class Door:
    port: int
    watcher: Watcher
    authority: Authority
    admitted: list[Any]
    """What came through: must stay empty under every attack."""
    metered: list[str]
    """Results of messages as the metrics count them."""


@contextlib.asynccontextmanager
async def open_to_attack(
    forger: Forger,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    issuer: str | None = None,
    pins: frozenset[str] = frozenset(),
    body_timeout_s: float = 5.0,
) -> AsyncIterator[Door]:
    """The HTTPS door for the register and one more system."""
    watcher, admitted, metered = Watcher(), [], []
    authority = Authority(forger.ca, forger.crl, issuer_sha256=issuer)
    authority.RECHECK_FILES_S = 0.0

    async def admit(submission: Any) -> Any:
        admitted.append(submission)
        raise AssertionError("an attack came through")

    async def keep(refused: Any) -> None:
        """Input that the checks refuse is kept for operators; there is no ledger here."""

    door = HttpsDoor(
        intake=SimpleNamespace(message_bytes=LIMIT, admit_one=admit, keep=keep),  # type: ignore[arg-type]
        peers=PeerDirectory(
            [Sender(system=CLIENT, peer=CLIENT, pins=pins), Sender(system="atena-system", peer="atena-system", pins=pins)], authority
        ),
        pressure=SimpleNamespace(closed=None),  # type: ignore[arg-type]
        status=None,  # type: ignore[arg-type]
        jwks=dict,
        meter=SimpleNamespace(intake=lambda _system, _door, result, _s: metered.append(result)),  # type: ignore[arg-type]
        body_timeout_s=body_timeout_s,
        witness=watcher,
    )
    ours = forger.authority.files("gateway")
    tls = server_context(ours.certificate, ours.key, forger.ca, forger.crl, minimum=minimum)
    tls.RECHECK_FILES_S = 0.0
    runner = await open_door(door, host="127.0.0.1", port=0, tls=tls, witness=watcher, authority=authority)
    try:
        yield Door(port=runner.addresses[0][1], watcher=watcher, authority=authority, admitted=admitted, metered=metered)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def connecting_to(
    forger: Forger,
    port: int,
    watcher: Watcher,
    *,
    peer: str = SERVER,
    issuer: str | None = None,
    pins: frozenset[str] = frozenset(),
    **endpoint: Any,
) -> AsyncIterator[PartyHttp]:
    """The gateway's client for a party that should be ``peer``."""
    ours = forger.authority.files("gateway")
    context = client_context(ours.certificate, ours.key, forger.ca, forger.crl)
    context.check_hostname = False
    authority = Authority(forger.ca, forger.crl, issuer_sha256=issuer)
    authority.RECHECK_FILES_S = context.RECHECK_FILES_S = 0.0
    where = Endpoint(
        **{"url": f"https://127.0.0.1:{port}", "peer": peer, "pins": pins, "connect_s": 3.0, "call_s": 5.0, "party": SERVER, **endpoint}
    )
    http = PartyHttp(where, context, authority, witness=watcher)
    try:
        yield http
    finally:
        await http.close()
