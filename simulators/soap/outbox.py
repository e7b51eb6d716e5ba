"""What a party has to send: journalled before anybody tries, tried until the other side has said what it makes of it, in order of its kind.

To the gateway a record goes by the party's own operation; to another party of the same world directly (:attr:`Outbox.neighbours`), if that
one is up. The delivery id stays the same for every attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
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
    seq: int
    due: float
    tries: int = 0


Neighbour = Callable[[str, Notice, str], str | None]
"""(operation, record, by whom): why it is refused, or None. Raises ConnectionError where nobody is there."""


class Outbox:
    """Of one party. Belongs to the event loop."""

    def __init__(self, party: SoapParty) -> None:
        self._party = party
        self.neighbours: dict[str, Neighbour] = {}
        self._lanes: dict[tuple[str, str], dict[str, _Waiting]] = {}
        """What waits, by receiver and operation, in order."""
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
        lane = self._lanes.setdefault((entry["to"], entry["operation"]), {})
        if entry["kind"] == "arrived":
            lane.pop(entry["delivery"], None)
            self._refused += entry["outcome"] != "accepted"
            return
        lane[entry["delivery"]] = _Waiting(seq=entry["seq"], due=entry["due"])
        self._bell.set()

    def forget(self) -> None:
        """Nothing is to be sent any more."""
        self._lanes.clear()
        self._refused = 0

    def state(self) -> dict[str, Any]:
        """Counts."""
        return {"to_send": sum(map(len, self._lanes.values())), "sent_refused": self._refused}

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
            wake = time.time() + LONGEST_S
            for lane in list(self._lanes):
                if lane[0] != GATEWAY or self._party.notices is not None:
                    wake = min(wake, await self._go(*lane))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), max(0.01, wake - time.time()))

    async def _go(self, to: str, operation: str) -> float:
        """Send what is due of one kind, in order; returns when to look again. What did not get through keeps what is behind it waiting, and
        goes alone from then on."""
        while waiting := self._lanes.get((to, operation)):
            now = time.time()
            leader = next(iter(waiting.values()))
            if leader.due > now:
                return leader.due
            most = 1 if leader.tries or to != GATEWAY else self._party.profile.operation(operation).records
            group = {delivery: each for delivery, each in itertools.islice(waiting.items(), most) if each is leader or each.due <= now}
            if not await self._try(to, operation, group):
                for each in group.values():
                    each.tries += 1
                leader.due = time.time() + min(FIRST_S * 2**leader.tries, LONGEST_S)
                return leader.due
        return time.time() + LONGEST_S

    async def _try(self, to: str, operation: str, group: Mapping[str, _Waiting]) -> bool:
        """Whether the other side has said what it makes of each."""
        party = self._party
        records = []
        for delivery, each in group.items():
            if party.journal.count < each.seq:
                return False  # put aside meanwhile
            entry = party.journal.entries(each.seq - 1, 1)[0]
            xml = party.vault.unseal(entry["sealed"], delivery)
            records.append(Notice(delivery_id=delivery, xml=xml, municipality=entry.get("municipality")))
        try:
            said = await self._gateway(operation, records) if to == GATEWAY else self._neighbour(to, operation, records[0])
        except (BadFault, ConnectionError):
            return False
        for delivery in [each for each in said if each in self._lanes.get((to, operation), {})]:
            party.note({"kind": "arrived", "operation": operation, "delivery": delivery, "to": to, **said[delivery]})
        return set(said) >= set(group)

    def _neighbour(self, to: str, operation: str, record: Notice) -> Mapping[str, Mapping[str, Any]]:
        neighbour = self.neighbours.get(to)
        if neighbour is None:
            raise ConnectionError(to)
        code = neighbour(operation, record, self._party.name)
        return {record.delivery_id: {"outcome": "accepted" if code is None else "rejected", "code": code}}

    async def _gateway(self, operation: str, records: Sequence[Notice]) -> Mapping[str, Mapping[str, Any]]:
        """What the gateway said of each. A fault, or what is not proven to be its answer, says nothing: nothing was taken."""
        said = await self._party.send(operation, records)
        if not said.signed:
            return {}
        return {found["delivery"]: {"outcome": found["outcome"], "code": found["code"]} for found in said.results}
