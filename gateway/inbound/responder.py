"""A dialogue from the party's question to the answer that may leave: checked on both ways, about one request and one person.

    question: type and way ──▶ read ──▶ policy ──▶ our system is asked (``dialogues.py``)
    answer:   opened ──▶ read ──▶ same request, same person ──▶ policy, items filtered ──▶ recorded in the ledger ──▶ released

Nothing of either is kept. A refusal and a silence are recorded like an answer (C-2-5-2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import GatewayError, InputRefused, PartyError
from gateway.ids import random_id
from gateway.inbound.dialogues import Ask, NoAnswer, RawAnswer
from gateway.inbound.soap import Call
from gateway.intake.cloudevents import of_party
from gateway.ledger.dialogues import ANSWERED, RecordDialogue
from gateway.policy.items import Filtered
from gateway.policy.marks import NONE, Flags
from gateway.policy.rights import PolicyRefused, Rights, StalePolicy, Standing, Terms
from gateway.policy.routes import Arrival, PolicyTables
from gateway.security.blind import BlindIndex
from gateway.security.jwe import MEDIA_TYPE
from message_formats import reading
from message_formats.errors import FormatError
from message_formats.message import Message

SAME = ("request_id", "resident_record_code")
"""Items in which an answer must agree with its question, where both have them."""
_AGAIN = 8
_CODE = re.compile(r"[a-z0-9-]{1,40}")


class AnswerRefused(PartyError):
    """What our own system answered is not released: it is none, is about another request or person, or may not go."""


class Opener(Protocol):
    """What is needed of :class:`gateway.security.jwe.JweKeys`."""

    def decrypt(self, token: bytes) -> tuple[bytes, str]: ...


class Records(Protocol):
    """What is needed of the ledger."""

    async def submit(self, operation: Any) -> Any: ...


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
        message_bytes: int = 1_048_576,
    ) -> None:
        """``ask``: how each of our systems is asked."""
        self._policy, self._parties, self._rights, self._blind = policy, parties, rights, blind
        self._opener, self._ledger, self._ask = opener, ledger, ask
        self._limits = reading.Limits(size_bytes=message_bytes)

    async def respond(self, party: str, call: Call) -> bytes:
        """The content of the answer, recorded and filtered.

        :raises InputRefused: the question; :raises NoAnswer: nobody answered in time; :raises AnswerRefused: the answer may not go.
        :raises LedgerUnavailable: it cannot be recorded, so nothing is said.
        """
        [record], answer_type = call.records, call.operation.answer
        assert answer_type is not None
        case = _Case(id=random_id(), party=party, answer_type=answer_type)
        try:
            case.source_id = of_party(id=record.delivery_id, party=party, type=call.operation.type).id
            arrival = case.arrival = self._policy.arrival(call.operation.type, party, self._parties)
            ask = self._ask.get(arrival.route.party)
            question = self._read(record.content, call.operation.type)
            blind = self._blind()
            case.identifiers = tuple((kind, index) for kind, value in question.identifiers for index in blind.both(kind, value) if index)
            standing = await self._rights.refresh()
            content = standing.grant(question.type_name, arrival.sender, arrival.route.party).plan.apply(question).content
            if ask is None:
                raise NoAnswer("no-responder", f"{arrival.route.party} answers nothing here")
            answer = self._answer(await ask(case.id, question.type_name, content), question, answer_type)
            return await self._release(case, arrival, answer)
        except InputRefused as error:
            await self._record(case, "refused", error)
            raise
        except NoAnswer as error:
            await self._record(case, "no-answer", error)
            raise
        except AnswerRefused as error:
            await self._record(case, "answer-refused", error)
            raise

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
        for name in SAME:
            if name in question.items and name in message.items and question.items[name] != message.items[name]:
                code = "answer-for-another-person" if name == "resident_record_code" else "answer-for-another-request"
                raise AnswerRefused(code, "the answer is not about what was asked", rule="same request, same person")
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
            recorded = self._operation(case, ANSWERED, standing=standing.token, marks=marks, terms=terms)
            found = await self._submit(recorded)
            if found is None:
                return filtered.content
            stale, marks = found, found.marks.get(case.id, marks)
        raise stale

    async def _submit(self, operation: RecordDialogue) -> StalePolicy | None:
        try:
            await self._ledger.submit(operation)
        except StalePolicy as error:
            return error
        return None

    def _filtered(self, standing: Standing, arrival: Arrival, answer: Message, marks: Flags) -> tuple[Filtered, Terms]:
        grant = standing.grant(answer.type_name, arrival.route.party, arrival.sender, marks=marks)
        filtered = grant.plan.apply(answer)
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


def _refusal(body: bytes) -> str:
    """The code of a refusal; one of our own where it names none that may be repeated."""
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "answer-malformed"
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "answer-malformed"
