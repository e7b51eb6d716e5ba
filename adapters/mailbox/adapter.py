"""What the adapters of parties with a mailbox share: calls and their answers. A subclass gives the manifest and says what differs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from lxml import etree

from adapters.mailbox import protocol
from adapters.mailbox.protocol import Request, Result
from gateway.contract import (
    Adapter,
    CallNotSent,
    CallUnanswered,
    Delivered,
    Envelope,
    FetchedBatch,
    FetchedRecord,
    FetchFailed,
    Finding,
    HttpAnswer,
    Outcome,
    PartyDown,
    Receipt,
    RecordResult,
    Rejected,
    RejectedCall,
    RetryLater,
    Unknown,
)
from message_formats import reading, schemas
from message_formats.errors import FormatError


class MailboxAdapter(Adapter):
    """Base of the adapters; see the module's text."""

    prefix: ClassVar[str]
    """Of its paths."""

    @property
    def tenant(self) -> str | None:
        """Our municipality, where the party serves several; every answer must name it (C-1-2-22)."""
        return None

    def outgoing(self, envelope: Envelope) -> etree._Element:
        """The record as the party takes it.

        :raises FormatError: it must not be sent.
        """
        root = reading.parse(envelope.content)
        schemas.validator(envelope.message_type)(root)
        return root

    def incoming(self, record: FetchedRecord) -> FetchedRecord:
        """A fetched record in our form."""
        return record

    def listing(self, identifier: str, since: datetime) -> Request:
        """The question what waits."""
        return protocol.listing(identifier, self.tenant, since=since.astimezone(UTC).isoformat(timespec="seconds"))

    # ---- the contract

    async def check(self) -> Sequence[Finding]:
        """A connection with both certificates accepted; no request is sent."""
        name = self.manifest.party
        try:
            await self.host.http.probe()
        except CallNotSent as error:
            remedy = f"see that {name} can be reached, that url and peer are right, and that each side trusts the other's certificate"
            return [Finding(name=name, ok=False, detail=error.code, remedy=remedy)]
        return [Finding(name=name, ok=True, detail="reachable, certificates accepted")]

    async def waiting(self, *, since: datetime) -> Sequence[str]:
        """See :meth:`gateway.contract.Adapter.waiting`."""
        request = self.listing(_id(), since)
        return protocol.waiting(await self._ask("list", request), request)

    async def fetch(self, batch_id: str) -> FetchedBatch:
        """See :meth:`gateway.contract.Adapter.fetch`."""
        request = protocol.fetch(_id(), self.tenant, batch_id)
        found, records = protocol.batch(await self._ask("fetch", request), request)
        return FetchedBatch(batch_id=found, records=tuple(self.incoming(each) for each in records))

    async def acknowledge(self, batch_id: str, results: Sequence[RecordResult]) -> None:
        """See :meth:`gateway.contract.Adapter.acknowledge`."""
        request = protocol.acknowledgement(_id(), self.tenant, batch_id, results)
        protocol.acknowledged(await self._ask("acknowledge", request), request, batch_id)

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """One call with all records that may be sent; see :meth:`gateway.contract.Adapter.deliver`."""
        found: list[Outcome | None] = [None] * len(envelopes)
        records: list[tuple[str, etree._Element]] = []
        for place, envelope in enumerate(envelopes):
            try:
                records.append((envelope.delivery_id, self.outgoing(envelope)))
            except FormatError as error:
                found[place] = Rejected(code=f"not-sent-{error.code}"[:40], fields=_fields(error))
        if records:
            request = protocol.delivery(_id(), self.tenant, records)
            said = await self._put(request)
            for place, envelope in enumerate(envelopes):
                if found[place] is None:
                    found[place] = said if not isinstance(said, _Said) else said.of(envelope.delivery_id)
        return [each if each is not None else Unknown(code="not-decided") for each in found]

    # ---- calls

    async def _ask(self, name: str, request: Request) -> bytes:
        answer = await self._post(name, request)
        if answer.status != 200:
            told = protocol.fault(answer.body, request)
            raise FetchFailed(f"party-{told[1]}"[:40] if told is not None else f"http-{answer.status}")
        return answer.body

    async def _post(self, name: str, request: Request) -> HttpAnswer:
        return await self.host.http.post(f"{self.prefix}/{name}", request.body, protocol.HEADERS)

    async def _put(self, request: Request) -> Outcome | _Said:
        try:
            answer = await self._post("deliver", request)
        except CallNotSent as error:
            return PartyDown(code=error.code)
        except CallUnanswered as error:
            return Unknown(code=error.code)
        if answer.status == 503:
            return PartyDown(code="http-503", after_s=_seconds(answer.headers.get("Retry-After")))
        if answer.status != 200:
            return _of_fault(protocol.fault(answer.body, request), answer.status)
        try:
            return _Said(protocol.results(answer.body, request), answer)
        except FetchFailed as error:
            return Unknown(code=error.code)


class _Said:
    """The results of one call, as outcomes."""

    def __init__(self, results: dict[str, Result], answer: HttpAnswer) -> None:
        self._results, self._answer = results, answer

    def of(self, delivery_id: str) -> Outcome:
        found = self._results.get(delivery_id)
        if found is None:
            return Unknown(code="no-result")
        receipt = Receipt(code=found.code or found.outcome, body=self._answer.body)
        if found.outcome in ("accepted", "duplicate"):
            return Delivered(receipt=receipt, duplicate=found.outcome == "duplicate")
        if found.outcome == "busy":
            return RetryLater(code=found.code or "busy")
        return Rejected(code=found.code or "refused", receipt=receipt)


def _of_fault(told: tuple[str, str] | None, status: int) -> Outcome:
    if told is None:
        return Unknown(code=f"http-{status}")
    kind, code = told
    if kind == "refused":
        return RejectedCall(code=code)
    return RetryLater(code=code) if kind == "busy" else Unknown(code=code)


def _id() -> str:
    return str(uuid.uuid4())


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _fields(error: FormatError) -> tuple[str, ...]:
    name = error.place.rpartition("/")[2].partition("[")[0]
    return (name,) if name.isidentifier() and name.islower() else ()
