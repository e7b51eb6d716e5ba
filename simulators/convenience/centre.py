"""The certificate issuance centre (証明書交付センター) with its kiosks, simulated: it asks, prints what comes in time, writes it down.

The journal has two entries for each request: ``asked`` (kiosk, request id, card and its holder as references, kind, deadline) before
the first byte leaves, and one end: ``printed`` (digest of the body, what the answer says of itself), ``refused`` (code), ``timed-out``,
``no-answer`` (the connection), or ``late`` (an answer after the deadline: discarded here; it should not have come). A centre that died
without an end for a request writes ``abandoned`` when it comes back: the kiosk has shown an error long since.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from simulators.convenience.soap import Caller, Said
from simulators.convenience.world import Holder
from simulators.journal import Entry, Journal
from simulators.references import References

KINDS = ("1", "2", "3", "4")
GRACE_S = 0.5
"""So long after a kiosk's deadline the centre still listens: what comes then is written down as late."""


OUT = ("no-responder", "broker-not-connected")
"""Nobody can be asked now: kiosks show that the service is out, and people come back later."""
PAUSES = 3


class Calls(Protocol):
    """What is needed of :class:`simulators.convenience.soap.Caller`."""

    async def request(self, items: dict[str, str | None], *, deadline_s: float, timeout_s: float) -> Said: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What the kiosk showed."""

    kind: str
    code: str | None = None
    body: bytes = b""
    items: dict[str, str] | None = None
    request: str = ""


class Centre:
    """Belongs to the event loop."""

    def __init__(self, *, caller: Calls, journal: Path, salt: str, deadline_s: float = 30.0, seed: int = 0) -> None:
        self._caller = caller
        self._references = References(salt)
        self._deadline_s = deadline_s
        self._random = random.Random(seed)
        self._open: dict[str, str] = {}
        self._asked = 0
        self.counts: Counter[str] = Counter()
        self.journal = Journal(journal, on_entry=self._recovered)
        if self._open:
            self.journal.append([{"kind": "abandoned", "request": request} for request in self._open])
            self._open.clear()

    def _recovered(self, entry: Entry) -> None:
        if entry["kind"] == "asked":
            self._asked += 1
            self._open[entry["request"]] = entry["kiosk"]
        else:
            self._open.pop(entry["request"], None)

    @property
    def asked(self) -> int:
        """Requests that the journal has."""
        return self._asked

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    async def ask(
        self,
        kiosk: int,
        holder: Holder,
        kind: str,
        *,
        card: str | None = None,
        request_id: str | None = None,
        deadline_s: float | None = None,
    ) -> End:
        """A citizen holds a card over a kiosk."""
        request = request_id or secrets.token_urlsafe(24)
        deadline_s = deadline_s or self._deadline_s
        asked = {
            "kind": "asked",
            "kiosk": kiosk,
            "request": request,
            "card": self._references.of(card or holder.card),
            "person": self._references.of(holder.atena),
            "type": kind,
            "deadline_s": deadline_s,
        }
        self.journal.append([asked])
        self._asked += 1
        self._open[request] = str(kiosk)
        began = time.monotonic()
        items = {"request_id": request, **holder.key(card), "certificate_type": kind}
        said = await self._caller.request(items, deadline_s=deadline_s, timeout_s=deadline_s + GRACE_S)
        end = self._ended(said, time.monotonic() - began, deadline_s, request)
        facts: dict[str, Any] = {"kind": end.kind, "request": request, "took_s": round(time.monotonic() - began, 4), "code": end.code}
        if end.body:
            own = {name: value for name, value in (end.items or {}).items() if name in ("request_id", "certificate_type")}
            number = (end.items or {}).get("certificate_serial_number") or (end.items or {}).get("identification_number") or ""
            facts |= {"digest": hashlib.sha256(end.body).hexdigest(), "says": {**own, "card": self._references.of(number)}}
            facts["names"] = sorted(end.items or {})
        self.journal.append([facts])
        self._open.pop(request, None)
        self.counts[end.kind if end.code is None else f"{end.kind} {end.code}"] += 1
        return end

    @staticmethod
    def _ended(said: Said, took_s: float, deadline_s: float, request: str) -> End:
        if said.certificate is not None:
            kind = "printed" if took_s <= deadline_s else "late"
            return End(kind=kind, body=said.certificate.body, items=said.certificate.items, request=request)
        if said.fault is not None:
            return End(kind="refused", code=said.fault, request=request)
        kind = "timed-out" if said.problem == "time-out" else "no-answer"
        return End(kind=kind, code=None if kind == "timed-out" else said.problem, request=request)

    def _out(self) -> int:
        return sum(self.counts[f"refused {code}"] for code in OUT)

    async def run(
        self,
        holders: Sequence[Holder],
        count: int,
        *,
        at_once: int = 100,
        every_s: float = 0.0,
        open_below: int = 1,
        surge: int = 0,
        kiosks: int = 1000,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        """So many requests in waves of ``at_once`` that begin in one moment.

        The next wave begins when fewer than ``open_below`` requests are open and ``every_s`` are over since the last began. Every tenth is
        longer by ``surge``, to be more than the gateway takes at once. A third of them are people with one name and birth date, ten after
        another at one kiosk; the others are spread over all kiosks. While most hear that the service is out, a wave comes less often.
        """
        twins = [each for each in holders if (each.name, each.birth) == (holders[0].name, holders[0].birth)]
        done = waves = 0
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            while done < count:
                waves += 1
                wave = min(at_once + (surge if waves % 10 == 0 else 0), count - done)
                began = time.monotonic()
                for number in range(wave):
                    crowd = (number // 10) % 3 == 0
                    holder = self._random.choice(twins if crowd else holders)
                    kiosk = number // 10 if crowd else self._random.randrange(kiosks)
                    group.create_task(self.ask(kiosk, holder, self._random.choice(kinds))).add_done_callback(lambda _: ended.set())
                    if number % 10 == 9:
                        await asyncio.sleep(0)  # hundreds of signatures in a row would keep answers waiting in here
                done += wave
                out = self._out()
                await asyncio.sleep(max(every_s - (time.monotonic() - began), 0))
                while len(self._open) >= open_below:
                    ended.clear()
                    await ended.wait()
                if self._out() - out > wave / 2:
                    await asyncio.sleep(PAUSES * every_s)


__all__ = ["KINDS", "Caller", "Centre", "End"]
