"""A dialogue that one of our systems begins: somebody at a counter waits for what the party knows (F2-2, F2-4, F2-5, F1-8).

    question: who may ask what ──▶ read ──▶ operator, terminal, reference ──▶ policy ──▶ a worker asks the party (``delivery/questions.py``)
    answer:   checked, filtered, recorded, released (``answers.py``)

Nothing of either is kept. What is on record of every question, answered or not: who asked at which terminal for which application, and by
which items, their values masked (C-2-3-8, C-2-5-2). The id of the dialogue is the delivery id at the party, so that both journals can be
laid side by side (C-1-5-1). Nothing is asked again by itself, and nothing is answered from what was answered before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.errors import InputRefused, PartyError
from gateway.ids import random_id
from gateway.inbound.answers import AnswerRefused, Answers, Case, refusal_code
from gateway.inbound.dialogues import NoAnswer, RawAnswer
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.prepare import Preparer, check_municipality
from gateway.ledger.dialogues import Inquiry
from gateway.policy.items import present
from gateway.policy.routes import PolicyTables
from gateway.security.masking import mask
from message_formats.message import Message

BUSINESS = ("operator", "terminal", "reference")
Incomplete = Literal["refuse", "flag"]
_NOT_ASKED_BY = frozenset({"request_id"})


class PartyAsk(Protocol):
    """:meth:`gateway.inbound.dialogues.Dialogues.ask` of one party."""

    async def __call__(
        self, dialogue_id: str, message_type: str, content: bytes, *, answer_s: float | None, headers: Mapping[str, str]
    ) -> RawAnswer: ...


class PartyUnasked(PartyError):
    """The party was not reached, does not answer this question, or nobody can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """An answer that goes back to who asked."""

    dialogue_id: str
    type: str
    content: bytes = field(repr=False)


class Asking:
    """Puts the questions of our systems. For one event loop."""

    def __init__(
        self,
        *,
        policy: PolicyTables,
        parties: frozenset[str],
        preparer: Preparer,
        answers: Answers,
        ask: Mapping[str, PartyAsk],
        incomplete: Incomplete = "refuse",
    ) -> None:
        """``ask``: how each party is asked. ``incomplete``: what becomes of a question without operator, terminal or reference."""
        self._policy, self._parties, self._preparer = policy, parties, preparer
        self._answers, self._ask, self._incomplete = answers, ask, incomplete
        self._open: set[tuple[str, str]] = set()

    async def ask(self, system: str, door: str, attributes: EventAttributes, data: bytes) -> Released:
        """The answer to the question of ``system``.

        :raises InputRefused: the question; :raises NoAnswer: nobody answered in time; :raises PartyError: the party does not answer, or its
            answer may not be released; :raises LedgerUnavailable: it cannot be recorded, so nothing is said.
        """
        case = Case(id=random_id(), asked_by=system, recipient=system, responder="integration-gateway", answer_type=attributes.type)
        case.source_id = attributes.id
        place = (system, attributes.id)
        try:
            if place in self._open:
                raise InputRefused(
                    "dialogue-open", "a question of this id waits for its answer", place="attribute id", rule="one at a time"
                )
            self._open.add(place)
            try:
                return await self._put(case, door, attributes, data)
            finally:
                self._open.discard(place)
        except InputRefused as error:
            await self._answers.record(case, "refused", error)
            raise
        except NoAnswer as error:
            await self._answers.record(case, "no-answer", error)
            raise
        except AnswerRefused as error:
            await self._answers.record(case, "answer-refused", error)
            raise
        except PartyUnasked as error:
            await self._answers.record(case, "not-answered", error)
            raise

    async def _put(self, case: Case, door: str, attributes: EventAttributes, data: bytes) -> Released:
        kind = self._preparer.may_hand_in(case.asked_by, door, attributes)
        asking = self._policy.asking(kind.name, case.asked_by, self._parties)
        case.responder, case.answer_type = asking.to, asking.answer
        check_municipality((asking,), attributes)
        if attributes.lane is not None:
            raise InputRefused("unknown-attribute", "a question is answered at once", place="attribute lane", rule="routes")
        question = self._preparer.read(data, kind)
        case.identifiers = self._answers.indexes(iter(question.identifiers))
        case.inquiry = inquiry(question, attributes)
        if case.inquiry.missing and self._incomplete == "refuse":
            detail = "a question about a person names who asks, where, and for which application"
            raise InputRefused("business-record-missing", detail, place=f"attribute {case.inquiry.missing[0]}", rule="C-2-3-8")
        standing = await self._answers.rights.refresh()
        grant = standing.grant(kind.name, case.asked_by, asking.to, work=attributes.work, basis=attributes.legalbasis)
        ask = self._ask.get(asking.party)
        if ask is None:
            raise NoAnswer("not-asked-here", f"nobody here can ask {asking.party}: its adapter carries no questions")
        headers = {} if attributes.municipality is None else {"cloudEvents:municipality": attributes.municipality}
        raw = await ask(case.id, kind.name, grant.plan.apply(question).content, answer_s=asking.answer_s, headers=headers)
        _require_answer(raw, asking.party)
        answer = self._answers.answer(raw, question, asking.answer)
        return Released(dialogue_id=case.id, type=asking.answer, content=await self._answers.release(case, answer))


def inquiry(question: Message, attributes: EventAttributes) -> Inquiry:
    """What is kept of a question."""
    given = {"operator": attributes.operator, "terminal": attributes.terminal, "reference": attributes.reference}
    asked_by = (path for path in present(question) if path not in _NOT_ASKED_BY)
    return Inquiry(
        question=question.type_name,
        **given,
        condition={path: mask(question.items.get(path) or "") for path in asked_by},
        missing=tuple(name for name in BUSINESS if given[name] is None),
    )


def _require_answer(raw: RawAnswer, party: str) -> None:
    """:raises PartyUnasked: the worker says that there is none, and why."""
    if raw.content_type != "application/json":
        return
    code = refusal_code(raw.body)
    status = json.loads(raw.body).get("status") if code != "answer-malformed" else None
    if status == "refused":
        raise PartyUnasked("party-refused", f"{party} does not answer this question: {code}", rule=code)
    if status == "not-asked":
        raise PartyUnasked("party-not-reached", f"{party} was not reached: {code}", rule=code)
    raise PartyUnasked("party-unanswered", f"{party} gave no answer that can be believed: {code}", rule=code)
