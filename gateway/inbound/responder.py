"""A dialogue from the party's question to the answer that may leave: checked on both ways, about one request and one person.

    question: type and way ──▶ read ──▶ policy ──▶ our system is asked (``dialogues.py``)
    answer:   opened ──▶ read ──▶ same request, same person ──▶ policy, items filtered ──▶ recorded in the ledger ──▶ released

Nothing of either is kept. A refusal and a silence are recorded like an answer (C-2-5-2). Where a system that is asked has messages about
the resident, too, its answer is released only if it has all of them (:mod:`gateway.ledger.currency`).

A system that is being asked may ask another one before it answers; that is a dialogue of the same kind, within the deadline of the first.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import Connection

from gateway.errors import GatewayError, InputRefused, PartyError
from gateway.ids import random_id
from gateway.inbound.dialogues import Ask, NoAnswer, RawAnswer
from gateway.inbound.gate import NotTaken
from gateway.inbound.soap import Call
from gateway.intake.cloudevents import of_party
from gateway.ledger.clock import boot_time
from gateway.ledger.currency import Currency, NotCurrent, look
from gateway.ledger.dialogues import ANSWER_REFUSED, ANSWERED, RecordDialogue, RecordLateAnswer
from gateway.policy.items import Filtered
from gateway.policy.marks import NONE, Flags
from gateway.policy.rights import PolicyRefused, Rights, StalePolicy, Standing, Terms
from gateway.policy.routes import Arrival, PolicyTables
from gateway.security.blind import BlindIndex
from gateway.security.jwe import MEDIA_TYPE
from message_formats import catalogue, reading
from message_formats.errors import FormatError
from message_formats.message import Message

SAME = {
    "request_id": "answer-for-another-request",
    "resident_record_code": "answer-for-another-person",
    "certificate_serial_number": "answer-for-another-card",
    "identification_number": "answer-for-another-card",
    "certificate_type": "answer-of-another-kind",
}
"""Items in which an answer must agree with its question, where both have them, and what is said where it does not."""
FAMILY_REGISTER = "4"
PERSON = "atena_number"
"""By what an answer about the holder of a card says whom it is about."""
WITHIN: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "family-register-certificate-request": ("certificate-request", {"certificate_type": FAMILY_REGISTER}),
}
"""What one of our systems may ask while it is asked: the type of the open question, and what that one asks for."""
MARGIN_S = 1.0
"""So long before the caller's own deadline (``wsu:Expires``) a question is over: an answer must be signed and travel, too."""
_AGAIN = 8
_CODE = re.compile(r"[a-z0-9-]{1,40}")


class AnswerRefused(PartyError):
    """What our own system answered is not released: it is none, is about another request or person, or may not go."""


class NotReleased(NoAnswer):
    """An answer that was recorded too late to be of use, which is on record as well."""


class Opener(Protocol):
    """What is needed of :class:`gateway.security.jwe.JweKeys`."""

    def decrypt(self, token: bytes) -> tuple[bytes, str]: ...


class Records(Protocol):
    """What is needed of the ledger."""

    async def submit(self, operation: Any) -> Any: ...

    async def read(self, fn: Callable[[Connection], Any]) -> Any: ...


class Gate(Protocol):
    """What is needed of :class:`gateway.inbound.gate.Gate`."""

    def enter(self, question: Message, offset_s: float) -> AbstractContextManager[None]: ...


ALWAYS_OPEN: Mapping[str, Gate] = {}


@dataclass(slots=True, kw_only=True)
class _Case:
    """One dialogue under way."""

    id: str
    party: str
    answer_type: str
    arrival: Arrival | None = None
    """How it came in; None: it may not."""
    source_id: str = ""
    identifiers: tuple[tuple[str, bytes], ...] = ()
    ends: float | None = None
    """Its deadline (boot-time clock), where somebody has set one."""
    current: Currency | None = None

    @property
    def left_s(self) -> float | None:
        return None if self.ends is None else self.ends - boot_time()


class Responder:
    """Answers the dialogues of the parties. For one event loop."""

    def __init__(
        self,
        *,
        policy: PolicyTables,
        parties: frozenset[str],
        rights: Rights,
        blind: Callable[[], BlindIndex],
        opener: Opener,
        ledger: Records,
        ask: dict[str, Ask],
        gates: Mapping[str, Gate] = ALWAYS_OPEN,
        message_bytes: int = 1_048_576,
    ) -> None:
        """``ask``: how each of our systems is asked; ``gates``: by party, where questions are not always taken."""
        self._policy, self._parties, self._rights, self._blind = policy, parties, rights, blind
        self._opener, self._ledger, self._ask, self._gates = opener, ledger, ask, gates
        self._limits = reading.Limits(size_bytes=message_bytes)

    async def respond(self, party: str, call: Call) -> bytes:
        """The content of the answer, recorded and filtered.

        :raises InputRefused: the question; :raises Unavailable: it is not taken now, or nobody answered in time;
        :raises AnswerRefused, NotCurrent: the answer may not go; :raises LedgerUnavailable: it cannot be recorded, so nothing is said.
        """
        [record], answer_type = call.records, call.operation.answer
        assert answer_type is not None
        left_s = (call.expires - dt.datetime.now(dt.UTC)).total_seconds() - MARGIN_S
        case = _Case(id=random_id(), party=party, answer_type=answer_type, ends=boot_time() + left_s)
        return await self._respond(case, call.operation.type, record.delivery_id, record.content)

    async def _respond(self, case: _Case, kind: str, source_id: str, content: bytes, within: Message | None = None) -> bytes:
        try:
            case.source_id = of_party(id=source_id, party=case.party, type=kind).id
            arrival = case.arrival = self._policy.arrival(kind, case.party, self._parties)
            question = self._read(content, kind)
            if within is not None:
                _belongs(question, within)
            blind = self._blind()
            case.identifiers = _indexes(blind, question.identifiers)
            if case.left_s is not None and case.left_s <= 0:
                raise NotTaken("request-expired", "whoever asks does not wait for an answer any more")
            standing = await self._rights.refresh()
            gate = self._gates.get(case.party)
            with gate.enter(question, standing.offset_s) if gate is not None else nullcontext():
                return await self._asked(case, arrival, question, standing)
        except NotReleased:
            raise  # on record already
        except (NoAnswer, NotTaken) as error:
            await self._record(case, "no-answer", error)
            raise
        except (AnswerRefused, InputRefused) as error:
            await self._record(case, "refused" if isinstance(error, InputRefused) else ANSWER_REFUSED, error)
            raise

    async def _asked(self, case: _Case, arrival: Arrival, question: Message, standing: Standing) -> bytes:
        system = arrival.route.party
        ask = self._ask.get(system)
        content = self._onward(standing, arrival, question)
        if ask is None:
            raise NoAnswer("no-responder", f"{system} answers nothing here")
        if any(item.id == PERSON for item in catalogue.get(case.answer_type).items):
            streams = self._policy.streams(system)
            try:
                case.current = await self._ledger.read(lambda conn: look(conn, case.identifiers, system, streams))
            except NotCurrent as error:
                await self._record(case, "refused", error)
                raise

        async def back(kind: str, own_id: str, raw: RawAnswer, left_s: float) -> bytes:
            reply = catalogue.get(kind).reply if kind in catalogue.names() else None
            inner = _Case(id=random_id(), party=system, answer_type=reply or kind, ends=boot_time() + left_s)
            content = self._opened(raw) if reply is not None else b""
            return await self._respond(inner, kind, own_id, content, within=question)

        raw = await ask(case.id, question.type_name, content, within_s=case.left_s, back=back)
        answer = self._answer(raw, question, case.answer_type)
        if case.current is not None:
            about = answer.items.get(PERSON)
            indexes = _indexes(self._blind(), (("atena-number", about),)) if about else ()
            case.current = replace(case.current, answer=indexes)
        return await self._release(case, arrival, answer)

    def _onward(self, standing: Standing, arrival: Arrival, question: Message) -> bytes:
        """The question as our system may have it, by every way that it goes.

        :raises InputRefused: the policy refuses one of them.
        """
        for sender, receiver in arrival.legs:
            filtered = standing.grant(question.type_name, sender, receiver).plan.apply(question)
            if filtered.removed:
                question = self._read(filtered.content, question.type_name)
        return filtered.content

    def _opened(self, raw: RawAnswer) -> bytes:
        """The content of a question of our own system.

        :raises InputRefused: it is no JWE for the gateway.
        """
        if raw.content_type != MEDIA_TYPE:
            raise InputRefused("not-encrypted", "a question of our own systems is a JWE for the gateway", place="body", rule="RFC 7516")
        return self._opener.decrypt(raw.body)[0]

    def _read(self, content: bytes, kind: str) -> Message:
        try:
            return reading.read(content, expected=kind, limits=self._limits)
        except FormatError as error:
            raise InputRefused(error.code, error.safe_detail, place=error.place, rule=error.rule) from error

    def _answer(self, raw: RawAnswer, question: Message, kind: str) -> Message:
        """The answer, if it is one to this question.

        :raises AnswerRefused: see there.
        """
        if raw.content_type == "application/json":
            raise AnswerRefused(_refusal(raw.body), "our system refuses the answer")
        if raw.content_type != MEDIA_TYPE:
            raise AnswerRefused("answer-malformed", "the answer is neither a JWE nor a refusal")
        try:
            message = self._read(self._opener.decrypt(raw.body)[0], kind)
        except InputRefused as error:
            raise AnswerRefused("answer-malformed", f"the answer cannot be read: {error.code}") from error
        _same(question, message)
        return message

    async def _release(self, case: _Case, arrival: Arrival, answer: Message) -> bytes:
        """Filter by what counts, and record in the same transaction that it counted.

        :raises AnswerRefused: the policy refuses it.
        """
        marks, stale = NONE, StalePolicy()
        for _ in range(_AGAIN):
            standing = await self._rights.refresh()
            try:
                filtered, terms = self._filtered(standing, arrival, answer, marks)
            except PolicyRefused as error:
                raise AnswerRefused(error.code, error.safe_detail, rule=error.rule) from error
            more = {"standing": standing.token, "marks": marks, "terms": terms, "current": case.current, "until": case.ends}
            recorded = self._operation(case, ANSWERED, **more)
            found = await self._submit(recorded)
            if found is None:
                return await self._in_time(case, arrival, filtered.content)
            stale, marks = found, found.marks.get(case.id, marks)
        raise stale

    async def _in_time(self, case: _Case, arrival: Arrival, content: bytes) -> bytes:
        """What was recorded leaves only if somebody still waits: a commit may take long when a disk is in trouble.

        :raises NotReleased: nobody does.
        """
        if case.left_s is None or case.left_s > -MARGIN_S / 2:
            return content
        await self._ledger.submit(RecordLateAnswer(system=arrival.route.party, dialogue_id=case.id, size_bytes=len(content)))
        raise NotReleased("no-answer-in-time", "the answer was recorded after its deadline, and not released")

    async def _submit(self, operation: RecordDialogue) -> StalePolicy | None:
        try:
            await self._ledger.submit(operation)
        except StalePolicy as error:
            return error
        return None

    def _filtered(self, standing: Standing, arrival: Arrival, answer: Message, marks: Flags) -> tuple[Filtered, Terms]:
        """What of the answer may leave, by every way that it goes, and on which terms it leaves by the last one."""
        for sender, receiver in arrival.legs_back:
            grant = standing.grant(answer.type_name, sender, receiver, marks=marks)
            filtered = grant.plan.apply(answer)
            if filtered.removed:
                answer = self._read(filtered.content, answer.type_name)
        return filtered, grant.terms(filtered.items)

    async def _record(self, case: _Case, outcome: str, error: GatewayError) -> None:
        await self._ledger.submit(self._operation(case, outcome, code=error.code, rule=error.rule))

    def _operation(self, case: _Case, outcome: str, **more: Any) -> RecordDialogue:
        return RecordDialogue(
            dialogue_id=case.id,
            asked_by=case.party,
            recipient=case.arrival.sender if case.arrival is not None else case.party,
            responder=case.arrival.route.party if case.arrival is not None else "integration-gateway",
            message_type=case.answer_type,
            source_id=case.source_id,
            outcome=outcome,
            identifiers=case.identifiers,
            **more,
        )


def _same(question: Message, answer: Message) -> None:
    """What both say must be the same; of the two ways to name a card, both or neither.

    :raises AnswerRefused: it is not.
    """
    for name, code in SAME.items():
        if name in question.items and name in answer.items and question.items[name] != answer.items[name]:
            raise AnswerRefused(code, "the answer is not about what was asked", rule="same request, same person")


def _belongs(question: Message, within: Message) -> None:
    """What a system asks is asked for the question that it was asked itself.

    :raises InputRefused: it is not.
    """
    outer, items = WITHIN.get(question.type_name, ("", {}))
    if within.type_name != outer or any(within.items.get(name) != value for name, value in items.items()):
        raise InputRefused("not-within-a-request", "this is asked only while such a request is open", place="type", rule="F5-2")
    if question.items.get("request_id") != within.items.get("request_id"):
        raise InputRefused("not-within-a-request", "this is asked for another request", place="/*/request_id", rule="F5-2")


def _indexes(blind: BlindIndex, identifiers: Iterable[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((kind, index) for kind, value in identifiers for index in blind.both(kind, value) if index)


def _refusal(body: bytes) -> str:
    """The code of a refusal; one of our own where it names none that may be repeated."""
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "answer-malformed"
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "answer-malformed"
