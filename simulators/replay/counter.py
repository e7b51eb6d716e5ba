"""The register at work for days: hands in what it has, takes what comes to its queue, and does what follows from it.

An update of which the city CS's result says *rejected* is replaced, with what it should have said (R4). What depends on an Individual
Number goes when the number has come (F3-1). Everything is in the register's record before it is sent, and in the inbox's journal before it
is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from simulators.errors import SimulatorError
from simulators.harness.town import REGISTER, Town
from simulators.references import References
from simulators.register.inbox import Inbox
from simulators.register.messages import Outgoing, random_looking_id, replacement
from simulators.register.record import RegisterRecord
from simulators.register.service import AmqpSettings, RegisterSettings, doors
from simulators.replay.concerned import Concerned
from simulators.replay.month import DayPlan, Month, Planned
from simulators.replay.ways import PAIR, RESULT, SUPPLEMENT_IN, UPDATE

HTTPS_SHARE = 0.1
IN_HAND = 1000


class Counter:
    """One register. A context manager; belongs to the event loop."""

    def __init__(self, town: Town, month: Month, references: References, *, https_share: float = HTTPS_SHARE) -> None:
        own: dict[str, Any] = town.files.identity(REGISTER)
        settings = RegisterSettings(
            url=f"https://127.0.0.1:{town.ports.https}",
            **own,
            amqp=AmqpSettings(port=town.ports.broker_tls, tls=True),
            https_share=https_share,
            record=town.record,
            salt_file=town.salt_file,
        )
        self.record: RegisterRecord
        self.record, self._lanes, self._https, self._amqp = doors(settings)
        self._month, self._references = month, references
        self._inbox: Inbox = town.inbox(self._came)
        self._failure: BaseException | None = None
        self._day = 0
        self._right: dict[str, bytes] = {}
        self._updates: dict[str, Outgoing] = {}
        """Updates without a result, by 依頼管理番号."""
        self._numbers: set[str] = set()
        """Resident record codes whose number has come."""
        self._waiting: dict[str, deque[Outgoing]] = {}
        """What waits for a number, by resident (reference); what is behind it waits as well."""
        self._waits: dict[str, str] = {}
        """Resident record code that is waited for → resident (reference)."""
        self._rejected: list[Outgoing] = []
        """Not replaced yet."""
        self.replacing = True
        """Replace what is rejected at once; else with :meth:`replace`."""
        self.replaced = 0
        self.changed: Callable[[Concerned], None] = lambda who: None
        """Told of each update that the city CS has taken."""
        self.paired: Callable[[Mapping[str, str]], None] = lambda items: None
        """Told of each processing number with its Individual Number that came."""
        self._concerned: dict[str, Concerned] = {}

    async def __aenter__(self) -> Counter:
        for door in (self._https, self._amqp):
            if door is not None:
                door.on_failure = self._failed
        await self._https.start()
        if self._amqp is not None:
            await self._amqp.start()
        self._inbox.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._inbox.stop()
        await self._https.stop()
        if self._amqp is not None:
            await self._amqp.stop()
        self.record.close()

    def _failed(self, error: BaseException) -> None:
        self._failure = error

    # ---- out -------------------------------------------------------------------------------------------------------------------

    async def hand_in(self, plan: DayPlan, *, per_s: float | None = None) -> None:
        """All of a day; returns when the doors have taken it, or it waits for a number. ``per_s``: messages a second.

        :raises SimulatorError: the gateway cannot be used as configured.
        """
        self._day = plan.number
        self._right |= plan.right
        self._concerned |= plan.concerned
        loop = asyncio.get_running_loop()
        began = loop.time()
        for place, planned in enumerate(plan.messages):
            if self._failure is not None:
                raise SimulatorError("door-failed", str(self._failure))
            await self._lanes.room(IN_HAND)
            self._put(planned)
            if per_s is not None and (ahead_s := began + place / per_s - loop.time()) > 0:
                await asyncio.sleep(ahead_s)
            elif place % 20 == 0:
                await asyncio.sleep(0)

    def _put(self, planned: Planned) -> None:
        message, code = planned.message, planned.waits_for_number_of
        if message.type == UPDATE:
            self._updates[message.request] = message
            behind = self._waiting.get(message.resident)
            if behind is not None:
                behind.append(message)
                return
            if code is not None and code not in self._numbers:
                self._waiting[message.resident] = deque([message])
                self._waits[code] = message.resident
                return
        self._lanes.put(message)

    @property
    def quiet(self) -> bool:
        """Everything has its receipt, every update its result, every number has come."""
        counts = self.record.counts
        unanswered = self._lanes.size + counts["submitted"] - counts["accepted"] - counts["refused"]
        return unanswered == 0 and not self._updates and not self._waiting and not self._month.special

    def pending(self) -> dict[str, int]:
        """What is missing, for who waits in vain."""
        counts = self.record.counts
        return {
            "in_hand": self._lanes.size,
            "without_receipt": counts["submitted"] - counts["accepted"] - counts["refused"],
            "without_result": len(self._updates),
            "waiting_for_number": len(self._waiting),
            "special_move_ins": len(self._month.special),
        }

    # ---- in --------------------------------------------------------------------------------------------------------------------

    def _came(self, kind: str, items: Mapping[str, str]) -> str:
        """Something came to the queue. It is taken; what follows from it goes out later in this turn of the loop."""
        now = datetime.now(UTC)
        code = items.get("resident_record_code", "")
        if kind == RESULT:
            self._result(items)
        elif kind == "individual-number-notice":
            self._number(code)
        elif kind == "move-out-certificate-data":
            self._later(*self._month.arrived(code, self._day, now))
        elif kind == PAIR:
            self.paired(items)
        elif kind == SUPPLEMENT_IN:
            name = random_looking_id("handed-on", str(self._day), *items.values())
            self._later(*self._month.handed_on(kind, dict(items), name, now))
        return "accepted"

    def put(self, message: Outgoing) -> None:
        """Hand in a message that nothing waits for."""
        self._later(message)

    def _later(self, *messages: Outgoing) -> None:
        for message in messages:
            if not self.record.was_sent(message.id):
                self._lanes.put(message)

    def _number(self, code: str) -> None:
        self._numbers.add(code)
        resident = self._waits.pop(code, None)
        for message in self._waiting.pop(resident, ()) if resident is not None else ():
            self._lanes.put(message)

    def _result(self, items: Mapping[str, str]) -> None:
        request = items["request_control_number"]
        if items["outcome"] == "accepted":
            taken = self._updates.pop(request, None)
            if taken is not None and (who := self._concerned.pop(taken.corrects or taken.id, None)) is not None:
                self.changed(who)
        elif request in self._updates:
            self._rejected.append(self._updates[request])
            if self.replacing:
                self.replace()

    def replace(self) -> None:
        """What was rejected goes again, as it should have been."""
        rejected, self._rejected = self._rejected, []
        for message in rejected:
            self._replace(message)

    def _replace(self, message: Outgoing) -> None:
        del self._updates[message.request]
        abnormal = self.record.next_abnormal(message.resident)
        content = self._right.get(message.id, message.content)
        made = replacement(message.id, content, time=message.time, abnormal=abnormal, references=self._references)
        made = made.handled_by(message.operator, message.terminal)
        self._updates[made.request] = made
        self._lanes.put(made, first=True)
        self.replaced += 1

    @property
    def came(self) -> int:
        """Messages that came to the queue."""
        return sum(self._inbox.counts.values())
