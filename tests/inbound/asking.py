"""What the tests of dialogues that the register begins share: a door, a worker and a ledger around a real broker, and a party to play."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from certs.authority import TestAuthority
from gateway.broker import BrokerEndpoint, Consumer, Publisher, topology
from gateway.contract import Adapter, AdapterHost, Envelope, Finding, Manifest, Outcome, Question, Reply
from gateway.delivery.questions import Questions
from gateway.inbound.answers import Answers
from gateway.inbound.asking import Asking, Incomplete
from gateway.inbound.dialogues import Dialogues
from gateway.intake.submission import Sender
from gateway.ledger import policies
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.policy.rights import Rights
from gateway.policy.routes import tables
from gateway.security.blind import BlindIndex
from gateway.security.jwe import JweKeys
from gateway.security.jwe_out import Own
from message_formats import samples, writing
from tests.intake.kit import REGISTER, House, headers, house, preparer
from tests.intake.web import Answer, Web, serve

QUESTIONS = tuple(tables().dialogues)
BUSINESS = {"ce_operator": "staff-0001", "ce_terminal": "terminal-07", "ce_reference": "2026-000123"}


class PlayedParty(Adapter):
    """A party of the tests: answers what ``says`` makes of a question, after ``wait`` is set."""

    manifest = Manifest(
        name="played", party="city-cs", description_en="a party of the tests", description_ja="試験用の相手先", message_types=(),
        questions=QUESTIONS,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(AdapterHost(settings={}, http=None))  # type: ignore[arg-type]
        self.asked: list[Question] = []
        self.says: Callable[[Question], bytes] = answer_to
        self.wait: asyncio.Event | None = None

    async def check(self) -> Sequence[Finding]:
        return ()

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        raise NotImplementedError

    async def ask(self, question: Question, *, timeout_s: float) -> Reply:
        self.asked.append(question)
        content = self.says(question)
        if self.wait is not None:
            await self.wait.wait()
        return Reply(message_type=tables().dialogues[question.message_type].answer, content=content)


def question(kind: str = "identity-confirmation-request", serial: int = 1, **changes: str | None) -> bytes:
    """A valid, fictitious question."""
    return writing.write(kind, {**samples.items(kind, serial), "request_id": f"req-{uuid.uuid4()}", **changes}).to_bytes()


def answer_to(asked: Question, **changes: str | None) -> bytes:
    """The fictitious answer to it, about the same request and person."""
    from message_formats import reading

    items = reading.read(asked.content, expected=asked.message_type).items
    kind = tables().dialogues[asked.message_type].answer
    made = {**samples.items(kind, 1), "request_id": items["request_id"]}
    code = items.get("resident_record_code")
    if code is not None:
        made |= {path: code for path in made if path.rpartition("/")[2] == "resident_record_code"}
    return writing.write(kind, {**made, **changes}).to_bytes()


@dataclass
class Counter:
    """A register's counter: asks at the door, and looks into the ledger afterwards."""

    web: Web
    ledger: Ledger
    party: PlayedParty
    asking: Asking
    dialogues: Dialogues
    questions: Questions
    folder: Path

    async def ask(self, body: bytes | None = None, kind: str = "identity-confirmation-request", **changes: str | None) -> Answer:
        where = {"ce_municipality": "992011"} if kind == "wide-area-certificate-request" else {}
        head = headers(**{"ce_type": kind, **BUSINESS, **where, **changes})
        return await self.web.send(path="/v1/dialogues", body=question(kind) if body is None else body, head=head)

    async def record(self, kind: str = "dialogue") -> list[dict[str, Any]]:
        query = select(t.audit_entry).where(t.audit_entry.c.kind == kind).order_by(t.audit_entry.c.id)
        rows = await self.ledger.read(lambda conn: conn.execute(query).mappings().all())
        return [{"actor": row["actor"], **json.loads(row["detail"])} for row in rows]

    async def rows(self, table: Any) -> list[Any]:
        return await self.ledger.read(lambda conn: list(conn.execute(select(table)).mappings()))


@contextlib.asynccontextmanager
async def counter(
    folder: Path, endpoint: BrokerEndpoint, people: TestAuthority, *, answer_s: float = 5.0, incomplete: Incomplete = "refuse"
) -> AsyncIterator[Counter]:
    """Everything but the party real: TLS, broker, ledger."""
    home: House = house(folder)
    ledger = await asyncio.to_thread(Ledger.open, f"sqlite:///{folder}/renkei.db", profile="test")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(ledger.close)
        publisher, consumer = Publisher(endpoint, name="test publish"), Consumer(endpoint, name="test consume")
        for each in (publisher, consumer):
            await each.start()
            stack.push_async_callback(each.close)
        await topology.declare(endpoint, topology.build(systems=[], parties=[], asked=["city-cs"]))
        jwe = JweKeys(home.keys)
        party = PlayedParty()
        questions = Questions("city-cs", party, consumer, publisher, jwe, Own(jwe), at_once=4)
        await questions.start()
        stack.push_async_callback(questions.stop)
        dialogues = Dialogues("city-cs", endpoint, publisher, consumer, Own(jwe), ledger, answer_s=answer_s)
        await dialogues.start()
        stack.push_async_callback(dialogues.stop)

        async def ask(*args: Any, **more: Any) -> Any:
            return await dialogues.ask(*args, **{**more, "answer_s": answer_s})

        rights = Rights(load=lambda: ledger.read(policies.active))
        sender = Sender(system=REGISTER, peer=REGISTER, types=frozenset(QUESTIONS))
        answers = Answers(rights=rights, blind=BlindIndex.following(home.keys), opener=jwe, ledger=ledger)
        asking = Asking(
            policy=tables(), parties=frozenset({"city-cs"}), preparer=preparer(home.keys, senders={REGISTER: sender}, rights=rights),
            answers=answers, ask={"city-cs": ask}, incomplete=incomplete,
        )  # fmt: skip
        web = await stack.enter_async_context(serve(home, people, ask=asking.ask))
        yield Counter(web, ledger, party, asking, dialogues, questions, folder)
