"""Batches of events for the bulk lane: the batched mode of CloudEvents (HTTP binding 1.0, section 3.3), with an answer for each event.

A request a message is what live work needs. For 400,000 messages that nobody waits for, most of the work would be requests; in the
interpreter in which live messages are accepted (I4). So a batch is for what goes by the bulk lane, and for nothing else. Its events are
admitted in their order. A batch is no transaction: one that is refused does not hold up the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import structlog

from gateway.errors import GatewayError, InputRefused
from gateway.intake.admit import Answer, Intake, Refused
from gateway.intake.bulk import BulkAdmission
from gateway.intake.cloudevents import EventAttributes, batch_from_json
from gateway.intake.measures import result_of
from gateway.intake.problems import body_of, status_of
from gateway.intake.submission import Submission

log = structlog.get_logger("gateway.intake")
_NOT_BULK = InputRefused("batch-not-bulk", "the event does not go by the bulk lane", place="attribute lane", rule="batches are for it")
_FAILED = GatewayError("internal", "the gateway failed; it is not known whether the message was accepted")


async def admit_batch(intake: Intake, bulk: BulkAdmission, body: bytes, *, system: str, supplier: str | None) -> tuple[bytes, list[str]]:
    """The answer to a batch, a JSON array with an object for each event in its place; and for each in a word what became of it.

    :raises InputRefused: the body is no batch; it is kept.
    :raises Unavailable: what is to be kept could not be.
    """
    try:
        events = batch_from_json(body)
    except InputRefused as e:
        await intake.keep([Refused(system=system, door="https", error=e, body=body)])
        raise
    said: list[Answer | Exception | None] = [None] * len(events)
    refused: list[Refused] = []
    good: list[tuple[int, Submission]] = []
    for place, (attributes, data) in enumerate(events):
        error = _NOT_BULK
        if isinstance(attributes, InputRefused):
            error = attributes
        else:
            submission = Submission(system=system, door="https", attributes=attributes, data=data, supplier=supplier)
            if intake.is_bulk(submission):
                good.append((place, submission))
                continue
        said[place] = error
        refused.append(Refused(system=system, door="https", error=error, body=data))
    if refused:
        await intake.keep(refused)
    for (place, _), answer in zip(good, await bulk.admit_in_order([submission for _, submission in good]), strict=True):
        said[place] = answer
    return _written(events, said)


def _written(
    events: Sequence[tuple[EventAttributes | InputRefused, bytes]], said: Sequence[Answer | Exception | None]
) -> tuple[bytes, list[str]]:
    parts, words = [], []
    for (attributes, _), answer in zip(events, said, strict=True):
        identity = attributes.id if isinstance(attributes, EventAttributes) else None
        if isinstance(answer, Answer) and answer.refusal is None:
            status, name, content, word = 202, "receipt", answer.receipt, result_of(answer.duplicate)
        else:
            error = answer.refusal if isinstance(answer, Answer) else answer
            if not isinstance(error, GatewayError):
                log.error("intake-failed", door="https", system="bulk", error=type(error).__name__)
                error = _FAILED
            status = status_of(error, 409 if isinstance(answer, Answer) and answer.by_ledger else 422)
            name, content, word = "problem", body_of(error, status), error.code
        parts.append(b'{"id":%b,"status":%d,"%b":%b}' % (json.dumps(identity).encode(), status, name.encode(), content))
        words.append(word)
    return b"[" + b",".join(parts) + b"]", words
