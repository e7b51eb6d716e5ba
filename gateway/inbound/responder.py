"""A dialogue from the party's question to the answer that may leave: checked on both ways, about one request and one person.

question: type and way ──▶ read ──▶ policy ──▶ our system is asked (``dialogues.py``)
answer:   checked, filtered, recorded, released (``answers.py``)
"""

from __future__ import annotations

from gateway.errors import InputRefused
from gateway.ids import random_id
from gateway.inbound.answers import AnswerRefused, Answers, Case
from gateway.inbound.dialogues import Ask, NoAnswer
from gateway.inbound.soap import Call
from gateway.intake.cloudevents import of_party
from gateway.policy.routes import PolicyTables


class Responder:
    """Answers the dialogues of the parties. For one event loop."""

    def __init__(self, *, policy: PolicyTables, parties: frozenset[str], answers: Answers, ask: dict[str, Ask]) -> None:
        """``ask``: how each of our systems is asked."""
        self._policy, self._parties, self._answers, self._ask = policy, parties, answers, ask

    async def respond(self, party: str, call: Call) -> bytes:
        """The content of the answer, recorded and filtered.

        :raises InputRefused: the question; :raises NoAnswer: nobody answered in time; :raises AnswerRefused: the answer may not go.
        :raises LedgerUnavailable: it cannot be recorded, so nothing is said.
        """
        [record], answer_type, answers = call.records, call.operation.answer, self._answers
        assert answer_type is not None
        case = Case(id=random_id(), asked_by=party, recipient=party, responder="integration-gateway", answer_type=answer_type)
        try:
            case.source_id = of_party(id=record.delivery_id, party=party, type=call.operation.type).id
            arrival = self._policy.arrival(call.operation.type, party, self._parties)
            case.recipient, case.responder = arrival.sender, arrival.route.party
            ask = self._ask.get(arrival.route.party)
            question = answers.read(record.content, call.operation.type)
            case.identifiers = answers.indexes(iter(question.identifiers))
            standing = await answers.rights.refresh()
            content = standing.grant(question.type_name, arrival.sender, arrival.route.party).plan.apply(question).content
            if ask is None:
                raise NoAnswer("no-responder", f"{arrival.route.party} answers nothing here")
            answer = answers.answer(await ask(case.id, question.type_name, content), question, answer_type)
            return await answers.release(case, answer)
        except InputRefused as error:
            await answers.record(case, "refused", error)
            raise
        except NoAnswer as error:
            await answers.record(case, "no-answer", error)
            raise
        except AnswerRefused as error:
            await answers.record(case, "answer-refused", error)
            raise
