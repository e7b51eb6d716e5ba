"""Our own systems at work for days, besides the register (:mod:`.counter`): what each hands in by its own door, what comes to its queue and
what follows from it.

The internal link system, the atena system, the certificate issuance system, the family register, the tax system and the departments behind
the administrative columns each have a certificate and a record of their own. What they do is decided in :mod:`.network` and :mod:`.beside`.
They run inside this process: what they cost is not what is looked at.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from message_formats import writing
from simulators.convenience.queues import QueueSystem
from simulators.convenience.service import build_family, build_issuing
from simulators.errors import SimulatorError
from simulators.harness.whole import WholeTown
from simulators.in_house.books import Books
from simulators.in_house.mailbox import Mailbox
from simulators.references import References
from simulators.register.amqp_door import Broker
from simulators.register.https_door import HttpsDoor
from simulators.register.messages import Outgoing, of_type, random_looking_id
from simulators.register.record import RegisterRecord
from simulators.register.service import doors
from simulators.replay.month import stamp
from simulators.replay.ways import FAMILY, ISSUING, REGISTER

AT_ONCE = 8
"""Messages under way of each system."""
Items = Mapping[str, Any]
Heard = Callable[[Items], None]


class House:
    """All of them. A context manager; belongs to the event loop."""

    def __init__(self, town: WholeTown, references: References) -> None:
        self.town, self.references = town, references
        self.by_register: Callable[[Outgoing], None] = lambda message: None
        """How the register hands in what is decided here."""
        self.heard: dict[tuple[str, str], Heard] = {}
        """What a system does when a message of a type took effect at it: (system, type)."""
        self._types = {REGISTER: frozenset(town.plan.types), **{name: frozenset(types) for name, types in town.senders.items()}}
        self._doors: dict[str, tuple[HttpsDoor, RegisterRecord]] = {}
        self._room: dict[str, asyncio.Semaphore] = {}
        self._mailboxes: list[Mailbox] = []
        self._asked: list[QueueSystem] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self.refused: Counter[str] = Counter()
        """By system and type."""

    async def __aenter__(self) -> Self:
        for system in self.town.senders:
            record, _, door, _ = doors(self.town.sender_settings(system))
            await door.start(sending=False)
            self._doors[system], self._room[system] = (door, record), asyncio.Semaphore(AT_ONCE)
        salt = self.town.salt_file.read_text().strip()
        for system in self.town.plan.systems:
            if not (self.town.kiosks and system in (ISSUING, FAMILY)):
                self._mailboxes.append(self._mailbox(system, salt))
        if self.town.kiosks:
            self._asked = [build_issuing(self.town.issuing_settings()), build_family(self.town.family_settings())]
        consumers: list[Mailbox | QueueSystem] = [*self._mailboxes, *self._asked]
        for each in consumers:
            each.start()
        while not all(each.consuming for each in consumers):  # noqa: ASYNC110  pika tells nobody
            await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks,):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for system in self._asked:
            await system.stop()
        for mailbox in self._mailboxes:
            await mailbox.stop()
            mailbox.books.close()
        for door, record in self._doors.values():
            await door.stop()
            record.close()

    def _mailbox(self, system: str, salt: str) -> Mailbox:
        town = self.town
        books = Books(system, system, town.journal_of_system(system), salt)
        books.heard = lambda kind, items: self._hear(system, kind, items)
        context = town.context_of(system)
        broker = Broker(host="127.0.0.1", port=town.ports.broker_tls, user=system, context=context, server_name="broker")
        return Mailbox(books, broker, town.files.keys_of(system)[0])

    async def away(self, name: str, for_s: float) -> None:
        """A system is not at its queue for so long; who answers questions goes on doing that."""
        for mailbox in self._mailboxes:
            if mailbox.books.account == name:
                await mailbox.stop()
                await asyncio.sleep(for_s)
                mailbox.start()
        for each in self._asked:
            if each.system == name:
                await each.stop_messages()
                await asyncio.sleep(for_s)
                each.take_messages()

    def system(self, name: str) -> Any:
        """What a system at its queue remembers."""
        return next(each.books.system for each in self._mailboxes if each.books.account == name)

    def _hear(self, system: str, kind: str, items: Items) -> None:
        if (react := self.heard.get((system, kind))) is not None:
            react(items)

    # ---- handing in ------------------------------------------------------------------------------------------------------------------

    def carries(self, system: str, kind: str) -> bool:
        """Whether the system hands messages of that type in, in this town."""
        return kind in self._types.get(system, ())

    def register(self, kind: str, items: Mapping[str, str | None], name: str) -> None:
        """The register hands in a message of a type that is no update. What has one name is one message."""
        if self.carries(REGISTER, kind):
            self.by_register(self._made(REGISTER, kind, items, name))

    async def hand_in(self, system: str, kind: str, items: Mapping[str, str | None], name: str, *, work: str | None = None) -> bool:
        """A system hands a message in; whether it was accepted. What has one name is one message. What is refused is counted, and
        nothing follows from it."""
        if not self.carries(system, kind):
            return False
        door, _ = self._doors[system]
        async with self._room[system]:
            accepted = await door.hand_in(replace(self._made(system, kind, items, name), work=work))
        if not accepted:
            self.refused[f"{system} {kind}"] += 1
        return accepted

    def _made(self, system: str, kind: str, items: Mapping[str, str | None], name: str) -> Outgoing:
        id = random_looking_id(system, kind, name)  # a name may hold the number of a resident
        xml = writing.write(kind, items).to_bytes()
        return of_type(kind, xml, id=id, time=stamp(datetime.now(UTC)), references=self.references, source=system)

    def go(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done; nothing is quiet before it is."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    @property
    def in_hand(self) -> int:
        """How much is being done."""
        return len(self._tasks)

    @property
    def quiet(self) -> bool:
        """Nobody has anything in hand.

        :raises SimulatorError: something failed.
        """
        if self._failure is not None:
            raise SimulatorError("house-failed", f"{type(self._failure).__name__}: {self._failure}") from self._failure
        return not self._tasks
