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

from sqlalchemy import Connection

from gateway.errors import GatewayError, InputRefused, PartyError
from gateway.inbound.dialogues import NoAnswer, RawAnswer
from gateway.ledger.clock import boot_time
from gateway.ledger.currency import Currency
from gateway.ledger.dialogues import ANSWERED, Inquiry, RecordDialogue, RecordLateAnswer
from gateway.policy.items import Filtered, leaves
from gateway.policy.marks import NONE, Flags
from gateway.policy.rights import PolicyRefused, Rights, StalePolicy, Standing, Terms
from gateway.security.blind import BlindIndex
from gateway.security.jwe import MEDIA_TYPE
from message_formats import reading
from message_formats.errors import FormatError
from message_formats.message import Message

REQUEST = "request_id"
SAME = {
    "certificate_serial_number": "answer-for-another-card",
    "identification_number": "answer-for-another-card",
    "certificate_type": "answer-of-another-kind",
}
"""Items that must be the same where both have them, also where they are left out; and what is said where they are not."""
MARGIN_S = 2.0
"""So long before the caller's own deadline (``wsu:Expires``) a question is over: an answer must be signed and travel, too; half
of it is left to that."""
PERSON = ("resident_record_code", "individual_number")
"""Items that say about whom question and answer are: wherever the answer has one that was asked by, it must be that one."""
_AGAIN = 8
_CODE = re.compile(r"[a-z0-9-]{1,40}")
_PLACE = re.compile(r"\[[0-9]+\]")


class AnswerRefused(PartyError):
    """An answer is not released: it is none, is about another request or person, or may not go."""


class NotReleased(NoAnswer):
    """An answer that was recorded too late to be of use, which is on record as well."""


class Opener(Protocol):
    """What is needed of :class:`gateway.security.jwe.JweKeys`."""

    def decrypt(self, token: bytes) -> tuple[bytes, str]: ...


class Records(Protocol):
    """What is needed of the ledger."""

    async def submit(self, operation: Any) -> Any: ...

    async def read(self, fn: Callable[[Connection], Any]) -> Any: ...


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
    ways: tuple[tuple[str, str], ...] = ()
    """The ways of the answer in the sense of the policy, where it is more than from responder to recipient."""
    ends: float | None = None
    """Its deadline (boot-time clock), where whoever asks has set one."""
    current: Currency | None = None
    """What was seen of the resident before the question was asked."""

    @property
    def left_s(self) -> float | None:
        """Seconds until its deadline."""
        return None if self.ends is None else self.ends - boot_time()


class Answers:
    """Checks, filters, records and releases answers. For one event loop."""

    def __init__(
        self, *, rights: Rights, blind: Callable[[], BlindIndex], opener: Opener, ledger: Records, message_bytes: int = 1_048_576
    ) -> None:
        self.rights, self._blind = rights, blind
        self._opener, self.ledger = opener, ledger
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

    def opened(self, raw: RawAnswer) -> bytes:
        """The content of what one of our own systems asks.

        :raises InputRefused: it is no JWE for the gateway.
        """
        if raw.content_type != MEDIA_TYPE:
            raise InputRefused("not-encrypted", "a question of our own systems is a JWE for the gateway", place="body", rule="RFC 7516")
        return self._opener.decrypt(raw.body)[0]

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

        :raises AnswerRefused: the policy refuses it; :raises NotCurrent: it is not about the resident as it is now, or comes too late;
        :raises NotReleased: nobody waits any more; :raises LedgerUnavailable: it cannot be recorded.
        """
        marks, stale = NONE, StalePolicy()
        found_in_it = self.indexes(_persons(answer))
        for attempt in range(_AGAIN):
            # as far as this process knows; the transaction tells whether that counts, and then the ledger is asked
            standing = await self.rights.refresh() if attempt else self.rights.standing
            try:
                filtered, terms = self._filtered(standing, case, answer, marks)
            except PolicyRefused as error:
                if not attempt:
                    continue
                raise AnswerRefused(error.code, error.safe_detail, rule=error.rule) from error
            more = {"standing": standing.token, "marks": marks, "terms": terms, "current": case.current, "until": case.ends}
            recorded = _operation(case, ANSWERED, also=found_in_it, **more)
            found = await self._submit(recorded)
            if found is None:
                return await self._in_time(case, filtered.content)
            stale, marks = found, found.marks.get(case.id, marks)
        raise stale

    async def _in_time(self, case: Case, content: bytes) -> bytes:
        """What was recorded leaves only if somebody still waits: a commit may take long when a disk is in trouble."""
        if case.left_s is None or case.left_s > -MARGIN_S / 2:
            return content
        await self.ledger.submit(RecordLateAnswer(system=case.responder, dialogue_id=case.id, size_bytes=len(content)))
        raise NotReleased("no-answer-in-time", "the answer was recorded after its deadline, and not released")

    async def record(self, case: Case, outcome: str, error: GatewayError) -> None:
        """That there was no answer, and why."""
        await self.ledger.submit(_operation(case, outcome, code=error.code, rule=error.rule))

    def _filtered(self, standing: Standing, case: Case, answer: Message, marks: Flags) -> tuple[Filtered, Terms]:
        """What of the answer may leave, by every way that it goes, and on which terms it leaves by the last one."""
        listed = names_several(answer)
        for sender, receiver in case.ways or ((case.responder, case.recipient),):
            grant = standing.grant(answer.type_name, sender, receiver, marks=marks, listed=listed)
            filtered = grant.plan.apply(answer)
            if filtered.removed:
                answer = self.read(filtered.content, answer.type_name)
        return filtered, grant.terms(filtered.items)

    async def _submit(self, operation: RecordDialogue) -> StalePolicy | None:
        try:
            await self.ledger.submit(operation)
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
    for name, code in SAME.items():
        if name in asked and name in answer.items and asked[name] != answer.items[name]:
            raise AnswerRefused(code, "the answer is not about what was asked", rule="same request, same person")
    for path, value in answer.items.items():
        name = path.rpartition("/")[2]
        if name in PERSON and value is not None and asked.get(name) is not None and asked[name] != value:
            raise AnswerRefused("answer-for-another-person", "the answer is not about whom was asked", rule="same request, same person")


def names_several(answer: Message) -> bool:
    """It is a list of persons of whom one is meant."""
    places = {found.group() for path in answer.items if path.rpartition("/")[2] in PERSON for found in [_PLACE.search(path)] if found}
    return len(places) > 1


def _persons(answer: Message) -> Iterator[tuple[str, str]]:
    """(kind, value) of every number of a person in an answer, wherever it stands: a list of matches names several."""
    known = leaves(answer.type_name)
    for path, value in answer.items.items():
        item = known.get(_PLACE.sub("", path))
        if value is not None and item is not None and item.id in PERSON:
            yield item.id.replace("_", "-"), value


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
