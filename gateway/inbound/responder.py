"""A dialogue from the party's question to the answer that may leave: checked on both ways, about one request and one person.

    question: type and way ──▶ read ──▶ gate ──▶ policy ──▶ is what we have current? ──▶ our system is asked (``dialogues.py``)
    answer:   checked, filtered, recorded, released (``answers.py``)

Where a system that is asked has messages about the resident, too, its answer is released only if it has all of them
(:mod:`gateway.ledger.currency`). A system that is being asked may ask another one before it answers; that is a dialogue of the same kind,
within the deadline of the first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

from gateway.errors import InputRefused
from gateway.ids import random_id
from gateway.inbound.answers import MARGIN_S, AnswerRefused, Answers, Case, NotReleased
from gateway.inbound.dialogues import Ask, NoAnswer, RawAnswer
from gateway.inbound.gate import NotTaken
from gateway.inbound.soap import Call
from gateway.intake.cloudevents import of_party
from gateway.ledger.clock import boot_time
from gateway.ledger.currency import NotCurrent, look
from gateway.ledger.dialogues import ANSWER_REFUSED
from gateway.policy.connections import Arrival
from gateway.policy.rights import Standing
from gateway.policy.routes import PolicyTables
from message_formats import catalogue
from message_formats.message import Message

HOLDER = "atena_number"
"""By what an answer about the holder of a card says whom it is about."""
FAMILY_REGISTER = "4"
WITHIN: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "family-register-certificate-request": ("certificate-request", {"certificate_type": FAMILY_REGISTER}),
}
"""What one of our systems may ask while it is asked: the type of the open question, and what that one asks for."""


class Gate(Protocol):
    """What is needed of :class:`gateway.inbound.gate.Gate`."""

    def require_room(self) -> None: ...

    def enter(self, question: Message, offset_s: float) -> AbstractContextManager[None]: ...


ALWAYS_OPEN: Mapping[str, Gate] = {}


class Responder:
    """Answers the dialogues of the parties. For one event loop."""

    def __init__(
        self,
        *,
        policy: PolicyTables,
        parties: frozenset[str],
        answers: Answers,
        ask: Mapping[str, Ask],
        gates: Mapping[str, Gate] = ALWAYS_OPEN,
    ) -> None:
        """``ask``: how each of our systems is asked; ``gates``: by party, where questions are not always taken."""
        self._policy, self._parties, self._answers, self._ask, self._gates = policy, parties, answers, ask, gates

    async def respond(self, party: str, call: Call) -> bytes:
        """The content of the answer, recorded and filtered.

        :raises InputRefused: the question; :raises Unavailable: it is not taken now, or nobody answered in time;
        :raises AnswerRefused, NotCurrent: the answer may not go; :raises LedgerUnavailable: it cannot be recorded, so nothing is said.
        """
        [record], answer_type = call.records, call.operation.answer
        assert answer_type is not None
        left_s = (call.expires - dt.datetime.now(dt.UTC)).total_seconds() - MARGIN_S
        return await self._respond(_case(party, answer_type, left_s), call.operation.type, record.delivery_id, record.content)

    async def _respond(self, case: Case, kind: str, source_id: str, content: bytes, within: Message | None = None) -> bytes:
        answers = self._answers
        try:
            case.source_id = of_party(id=source_id, party=case.asked_by, type=kind).id
            arrival = self._policy.arrival(kind, case.asked_by, self._parties)
            case.recipient, case.responder, case.ways = arrival.sender, arrival.route.party, arrival.legs_back
            question = answers.read(content, kind)
            if within is not None:
                _belongs(question, within)
            case.identifiers = answers.indexes(iter(question.identifiers))
            if case.left_s is not None and case.left_s <= 0:
                raise NotTaken("request-expired", "whoever asks does not wait for an answer any more")
            gate = self._gates.get(case.asked_by)
            if gate is not None:
                gate.require_room()
            standing = await answers.rights.refresh()
            with gate.enter(question, standing.offset_s) if gate is not None else nullcontext():
                return await self._asked(case, arrival, question, standing)
        except NotReleased:
            raise  # on record already
        except (NoAnswer, NotTaken) as error:
            await answers.record(case, "no-answer", error)
            raise
        except (AnswerRefused, InputRefused) as error:
            await answers.record(case, "refused" if isinstance(error, InputRefused) else ANSWER_REFUSED, error)
            raise

    async def _asked(self, case: Case, arrival: Arrival, question: Message, standing: Standing) -> bytes:
        system, answers = arrival.route.party, self._answers
        ask = self._ask.get(system)
        content = self._onward(standing, arrival, question)
        if ask is None:
            raise NoAnswer("no-responder", f"{system} answers nothing here")
        if any(item.id == HOLDER for item in catalogue.get(case.answer_type).items):
            streams = self._policy.streams(system)
            try:
                case.current = await answers.ledger.read(lambda conn: look(conn, case.identifiers, system, streams))
            except NotCurrent as error:
                await answers.record(case, "refused", error)
                raise

        async def back(kind: str, own_id: str, raw: RawAnswer, left_s: float) -> bytes:
            reply = catalogue.get(kind).reply if kind in catalogue.names() else None
            content = answers.opened(raw) if reply is not None else b""
            return await self._respond(_case(system, reply or kind, left_s), kind, own_id, content, within=question)

        raw = await ask(case.id, question.type_name, content, within_s=case.left_s, back=back)
        answer = answers.answer(raw, question, case.answer_type)
        if case.current is not None:
            about = answer.items.get(HOLDER)
            indexes = answers.indexes(iter([("atena-number", about)])) if about else ()
            case.current = replace(case.current, answer=indexes)
        return await answers.release(case, answer)

    def _onward(self, standing: Standing, arrival: Arrival, question: Message) -> bytes:
        """The question as our system may have it, by every way that it goes.

        :raises InputRefused: the policy refuses one of them.
        """
        for sender, receiver in arrival.legs:
            filtered = standing.grant(question.type_name, sender, receiver).plan.apply(question)
            if filtered.removed:
                question = self._answers.read(filtered.content, question.type_name)
        return filtered.content


def _case(asked_by: str, answer_type: str, left_s: float) -> Case:
    return Case(
        id=random_id(),
        asked_by=asked_by,
        recipient=asked_by,
        responder="integration-gateway",
        answer_type=answer_type,
        ends=boot_time() + left_s,
    )


def _belongs(question: Message, within: Message) -> None:
    """What a system asks is asked for the question that it was asked itself.

    :raises InputRefused: it is not.
    """
    outer, items = WITHIN.get(question.type_name, ("", {}))
    if within.type_name != outer or any(within.items.get(name) != value for name, value in items.items()):
        raise InputRefused("not-within-a-request", "this is asked only while such a request is open", place="type", rule="F5-2")
    if question.items.get("request_id") != within.items.get("request_id"):
        raise InputRefused("not-within-a-request", "this is asked for another request", place="/*/request_id", rule="F5-2")
