"""What becomes of an answer while somebody waits: the same for what a party asks us and for what our systems ask a party.

    opened ──▶ read ──▶ same request, same person ──▶ policy, items filtered ──▶ recorded in the ledger ──▶ released

Nothing of question or answer is kept. A refusal and a silence are recorded like an answer (C-2-5-2). The transaction that records an answer
decides by the policy and the marks that count in it; what was decided by others is decided anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import GatewayError, InputRefused, PartyError
from gateway.inbound.dialogues import RawAnswer
from gateway.ledger.dialogues import ANSWERED, Inquiry, RecordDialogue
from gateway.policy.items import Filtered, leaves
from gateway.policy.marks import NONE, Flags
from gateway.policy.rights import PolicyRefused, Rights, StalePolicy, Standing, Terms
from gateway.security.blind import BlindIndex
from gateway.security.jwe import MEDIA_TYPE
from message_formats import reading
from message_formats.errors import FormatError
from message_formats.message import Message

REQUEST = "request_id"
PERSON = ("resident_record_code", "individual_number")
"""Items that say about whom question and answer are: wherever the answer has one that was asked by, it must be that one."""
_AGAIN = 8
_CODE = re.compile(r"[a-z0-9-]{1,40}")
_PLACE = re.compile(r"\[[0-9]+\]")


class AnswerRefused(PartyError):
    """An answer is not released: it is none, is about another request or person, or may not go."""


class Opener(Protocol):
    """What is needed of :class:`gateway.security.jwe.JweKeys`."""

    def decrypt(self, token: bytes) -> tuple[bytes, str]: ...


class Records(Protocol):
    """What is needed of the ledger."""

    async def submit(self, operation: Any) -> Any: ...


@dataclass(slots=True, kw_only=True)
class Case:
    """One dialogue under way."""

    id: str
    asked_by: str
    """Who put the question to us."""
    recipient: str
    """Who has the answer."""
    responder: str
    answer_type: str
    source_id: str = ""
    identifiers: tuple[tuple[str, bytes], ...] = ()
    inquiry: Inquiry | None = None
    """What is on record of a question of ours besides (C-2-3-8)."""


class Answers:
    """Checks, filters, records and releases answers. For one event loop."""

    def __init__(
        self, *, rights: Rights, blind: Callable[[], BlindIndex], opener: Opener, ledger: Records, message_bytes: int = 1_048_576
    ) -> None:
        self.rights, self._blind = rights, blind
        self._opener, self._ledger = opener, ledger
        self._limits = reading.Limits(size_bytes=message_bytes)

    def read(self, content: bytes, kind: str) -> Message:
        """:raises InputRefused: it is no valid message of that type."""
        try:
            return reading.read(content, expected=kind, limits=self._limits)
        except FormatError as error:
            raise InputRefused(error.code, error.safe_detail, place=error.place, rule=error.rule) from error

    def indexes(self, pairs: Iterator[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
        """Blind indexes of identifiers, in every generation that counts."""
        blind = self._blind()
        return tuple((kind, index) for kind, value in pairs for index in blind.both(kind, value) if index)

    def answer(self, raw: RawAnswer, question: Message, kind: str) -> Message:
        """The answer, if it is one to this question.

        :raises AnswerRefused: see there.
        """
        if raw.content_type == "application/json":
            raise AnswerRefused(refusal_code(raw.body), "the answer is refused by who was asked")
        if raw.content_type != MEDIA_TYPE:
            raise AnswerRefused("answer-malformed", "the answer is neither a JWE nor a refusal")
        try:
            message = self.read(self._opener.decrypt(raw.body)[0], kind)
        except InputRefused as error:
            raise AnswerRefused("answer-malformed", f"the answer cannot be read: {error.code}") from error
        require_same(question, message)
        return message

    async def release(self, case: Case, answer: Message) -> bytes:
        """Filter by what counts, and record in the same transaction that it counted.

        :raises AnswerRefused: the policy refuses it; :raises LedgerUnavailable: it cannot be recorded.
        """
        marks, stale = NONE, StalePolicy()
        found_in_it = self.indexes(_persons(answer))
        for _ in range(_AGAIN):
            standing = await self.rights.refresh()
            try:
                filtered, terms = _filtered(standing, case, answer, marks)
            except PolicyRefused as error:
                raise AnswerRefused(error.code, error.safe_detail, rule=error.rule) from error
            recorded = _operation(case, ANSWERED, also=found_in_it, standing=standing.token, marks=marks, terms=terms)
            found = await self._submit(recorded)
            if found is None:
                return filtered.content
            stale, marks = found, found.marks.get(case.id, marks)
        raise stale

    async def record(self, case: Case, outcome: str, error: GatewayError) -> None:
        """That there was no answer, and why."""
        await self._ledger.submit(_operation(case, outcome, code=error.code, rule=error.rule))

    async def _submit(self, operation: RecordDialogue) -> StalePolicy | None:
        try:
            await self._ledger.submit(operation)
        except StalePolicy as error:
            return error
        return None


def require_same(question: Message, answer: Message) -> None:
    """The answer is to this request, and about this person.

    :raises AnswerRefused: ``answer-for-another-request`` or ``answer-for-another-person``.
    """
    asked = question.items
    if REQUEST in asked and REQUEST in answer.items and asked[REQUEST] != answer.items[REQUEST]:
        raise AnswerRefused("answer-for-another-request", "the answer is not to what was asked", rule="same request, same person")
    for path, value in answer.items.items():
        name = path.rpartition("/")[2]
        if name in PERSON and value is not None and asked.get(name) is not None and asked[name] != value:
            raise AnswerRefused("answer-for-another-person", "the answer is not about whom was asked", rule="same request, same person")


def _persons(answer: Message) -> Iterator[tuple[str, str]]:
    """(kind, value) of every number of a person in an answer, wherever it stands: a list of matches names several."""
    known = leaves(answer.type_name)
    for path, value in answer.items.items():
        item = known.get(_PLACE.sub("", path))
        if value is not None and item is not None and item.id in PERSON:
            yield item.id.replace("_", "-"), value


def _filtered(standing: Standing, case: Case, answer: Message, marks: Flags) -> tuple[Filtered, Terms]:
    grant = standing.grant(answer.type_name, case.responder, case.recipient, marks=marks)
    filtered = grant.plan.apply(answer)
    return filtered, grant.terms(filtered.items)


def _operation(case: Case, outcome: str, **more: Any) -> RecordDialogue:
    return RecordDialogue(
        dialogue_id=case.id,
        asked_by=case.asked_by,
        recipient=case.recipient,
        responder=case.responder,
        message_type=case.answer_type,
        source_id=case.source_id,
        outcome=outcome,
        identifiers=case.identifiers,
        inquiry=case.inquiry,
        **more,
    )


def refusal_code(body: bytes) -> str:
    """The code of a refusal; one of our own where it names none that may be repeated."""
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "answer-malformed"
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "answer-malformed"
