"""What a party has to send: journalled before anybody tries, tried until the other side has said what it makes of it, in order of its kind.

To the gateway a record goes by the party's own operation; to another party of the same world directly (:attr:`Outbox.neighbours`), if that
one is up. The delivery id stays the same for every attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulators.errors import BadFault
from simulators.journal import Entry
from simulators.soap.notices import Notice

if TYPE_CHECKING:
    from simulators.soap.party import SoapParty

GATEWAY = "gateway"
FIRST_S, LONGEST_S = 0.2, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One record to be sent.

    :ivar to: :data:`GATEWAY`, or the id of a party of the same world.
    :ivar delay_s: not before so much time has passed.
    """

    operation: str
    delivery_id: str
    xml: str = field(repr=False)
    to: str = GATEWAY
    municipality: str | None = None
    delay_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Waiting:
    operation: str
    to: str
    seq: int
    due: float
    municipality: str | None
    tries: int = 0


Neighbour = Callable[[str, Notice, str], str | None]
"""(operation, record, by whom): why it is refused, or None. Raises ConnectionError where nobody is there."""


class Outbox:
    """Of one party. Belongs to the event loop."""

    def __init__(self, party: SoapParty) -> None:
        self._party = party
        self.neighbours: dict[str, Neighbour] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._refused = 0
        self._task: asyncio.Task[None] | None = None
        self._bell = asyncio.Event()

    # ---- what is to be sent ----------------------------------------------------------------------------------------------------

    def entry(self, what: Outgoing) -> dict[str, Any]:
        """The line of the journal that makes it so."""
        entry = {
            "kind": "outgoing",
            "operation": what.operation,
            "delivery": what.delivery_id,
            "to": what.to,
            "due": time.time() + what.delay_s,
            "sealed": self._party.vault.seal(what.xml, what.delivery_id),
        }
        return entry if what.municipality is None else {**entry, "municipality": what.municipality}

    def recover(self, entry: Entry) -> None:
        """Take over a line of the journal."""
        if entry["kind"] == "arrived":
            self._waiting.pop(entry["delivery"], None)
            self._refused += entry["outcome"] != "accepted"
            return
        self._waiting[entry["delivery"]] = _Waiting(
            operation=entry["operation"], to=entry["to"], seq=entry["seq"], due=entry["due"], municipality=entry.get("municipality")
        )
        self._bell.set()

    def forget(self) -> None:
        """Nothing is to be sent any more."""
        self._waiting.clear()
        self._refused = 0

    def state(self) -> dict[str, Any]:
        """Counts."""
        return {"to_send": len(self._waiting), "sent_refused": self._refused}

    # ---- sending ---------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Stop sending; what is left stays in the journal."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        while True:
            self._bell.clear()
            now = time.time()
            wake = now + LONGEST_S
            behind: set[tuple[str, str]] = set()  # a kind of which an earlier one did not get through
            for delivery, each in list(self._waiting.items()):
                lane = (each.to, each.operation)
                if lane in behind or (each.to == GATEWAY and self._party.notices is None):
                    continue
                if each.due > now:
                    wake = min(wake, each.due)
                elif not await self._try(delivery, each):
                    each.tries += 1
                    each.due = time.time() + min(FIRST_S * 2**each.tries, LONGEST_S)
                    wake = min(wake, each.due)
                if delivery in self._waiting:
                    behind.add(lane)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), max(0.01, wake - time.time()))

    async def _try(self, delivery: str, each: _Waiting) -> bool:
        """Whether the other side has said what it makes of it."""
        if self._party.journal.count < each.seq:
            return False  # put aside meanwhile
        entry = self._party.journal.entries(each.seq - 1, 1)[0]
        record = Notice(
            delivery_id=delivery, xml=self._party.vault.unseal(entry["sealed"], delivery), municipality=entry.get("municipality")
        )
        try:
            said = self._neighbour(each, record) if each.to != GATEWAY else await self._gateway(each, record)
        except (BadFault, ConnectionError):
            return False
        if said is None:
            return False
        if delivery in self._waiting:
            self._party.note({"kind": "arrived", "operation": each.operation, "delivery": delivery, "to": each.to, **said})
        return True

    def _neighbour(self, each: _Waiting, record: Notice) -> Mapping[str, Any]:
        neighbour = self.neighbours.get(each.to)
        if neighbour is None:
            raise ConnectionError(each.to)
        code = neighbour(each.operation, record, self._party.name)
        return {"outcome": "accepted" if code is None else "rejected", "code": code}

    async def _gateway(self, each: _Waiting, record: Notice) -> Mapping[str, Any] | None:
        said = await self._party.send(each.operation, [record])
        if not said.signed or not said.results:
            return None  # no receipt that could be believed, or a fault: nothing was taken
        return {"outcome": said.results[0]["outcome"], "code": said.results[0]["code"]}
