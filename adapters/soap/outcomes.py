"""From what a party says to an outcome: the one translation table of all profiles (``message_formats/data/profiles``).

Whatever is not in the table is unknown. Nothing here takes a silence, a contradiction or somebody else's answer for a success.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lxml import etree

from adapters.soap.answer import SoapFault
from gateway.contract import Delivered, Envelope, Outcome, PartyDown, Receipt, Rejected, RejectedCall, RetryLater, Unknown
from message_formats.errors import FormatError

EVIDENCE = "urn:renkei:evidence:1"
LONGEST_PAUSE_S = 3600.0
TWICE = "xsd:cvc-idc"
"""How a delivery id that appears twice shows in the schema check; it concerns those records only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one result says of its record. ``problem``: a code; it is not this record's, or cannot be believed."""

    outcome: str | None = None
    code: str | None = None
    problem: str | None = None


Decided = PartyDown | RejectedCall | RetryLater | Unknown
"""What becomes of a whole call."""
Reads = Callable[[etree._Element, Envelope], Said]
"""Reads one result, which is valid by its schema."""
Check = Callable[[etree._Element], None]
"""Against the envelope schema of the profile; raises FormatError."""


def receipt(result: etree._Element, envelope: Envelope) -> Said:
    """The result of operations without an answer of their own: the profile's ``Receipt``, which names the record by its delivery id."""
    return Said(outcome=result.get("outcome"), code=result.get("code"))


# soap:Client: nothing had effect. These codes are about the records, so that splitting the call finds the one at fault (R11).
_ABOUT_RECORDS = frozenset({"schema-invalid", "too-many-records", "delivery-id-twice", "too-large", "not-xml", "dtd-forbidden"})

# HTTP statuses that refuse a request before it is carried out (RFC 9110 section 15.5); none is about one record, except 413
_REFUSALS = frozenset({401, 403, 404, 405, 415, 421})


def of_status(status: int, headers: Mapping[str, str], now: datetime) -> Decided | None:
    """The outcome of a status that decides without the body; ``None``: the body decides."""
    if status == 503 and (pause := pause_s(headers.get("Retry-After"), now)) is not None:
        return PartyDown(code="http-503", after_s=pause)
    if status == 413:
        return RejectedCall(code="http-413")
    if status in _REFUSALS:
        return PartyDown(code=f"http-{status}")
    return None if status in {200, 500} else Unknown(code=f"http-{status}")


def pause_s(value: str | None, now: datetime) -> float | None:
    """The seconds of a Retry-After header (RFC 9110 section 10.2.3), at most an hour; ``None`` if it says nothing."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_PAUSE_S)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max((until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds(), 0.0), LONGEST_PAUSE_S)


def of_fault(fault: SoapFault, namespace: str, check: Check) -> Decided:
    """The outcome of a SOAP fault for every record of the call. Only a fault with the profile's own detail says that nothing had effect."""
    detail = fault.detail
    if detail is None or detail.tag != f"{{{namespace}}}Fault":
        return Unknown(code="fault-without-detail")
    try:
        check(detail)
    except FormatError:
        return Unknown(code="fault-malformed")
    code = detail.get("code", "")
    if fault.code == "Client":
        return RejectedCall(code=code) if code in _ABOUT_RECORDS else PartyDown(code=code)
    if fault.code == "Server" and code == "busy":
        return RetryLater(code=code)
    return Unknown(code=f"fault-{code}")


def results_of(response: etree._Element, namespace: str, check: Check) -> dict[str, list[etree._Element]]:
    """The results of a response by delivery id.

    :raises FormatError: it is not valid; what appears twice is left to the reader, since it concerns those records only.
    """
    try:
        check(response)
    except FormatError as error:
        if error.rule != TWICE:
            raise
    results: dict[str, list[etree._Element]] = {}
    for each in response.iterchildren(f"{{{namespace}}}Result"):
        results.setdefault(each.get("deliveryId", ""), []).append(each)
    return results


def of_results(
    results: Mapping[str, Sequence[etree._Element]], envelopes: Sequence[Envelope], body: bytes, *, signed: bool, reads: Reads
) -> list[Outcome]:
    """One outcome for each of ``envelopes``, in order. A record whose result is missing, doubled or not its own is unknown.

    The evidence of a call with one record is the answer as it came. With several it is the result of the record; if the answer is signed,
    the first record keeps the answer as it came, since nothing less proves anything, and the others name its delivery and the digest.
    """
    strangers = results.keys() - {each.delivery_id for each in envelopes}
    missing = "answer-other-delivery" if strangers else "answer-result-missing"
    outcomes: list[Outcome] = []
    keeper: str | None = None
    digest = hashlib.sha256(body).hexdigest() if signed and len(envelopes) > 1 else ""
    for envelope in envelopes:
        mine = results.get(envelope.delivery_id, ())
        if len(mine) != 1:
            outcomes.append(Unknown(code="answer-result-twice" if mine else missing))
            continue
        whole = len(envelopes) == 1 or (signed and keeper is None)
        said = reads(mine[0], envelope)
        outcome = _of_result(said, mine[0].get("duplicate") in {"true", "1"}, body if whole else _part(mine[0], keeper, digest))
        if whole and not isinstance(outcome, Unknown):
            keeper = envelope.delivery_id
        outcomes.append(outcome)
    return outcomes


def _part(result: etree._Element, keeper: str | None, digest: str) -> bytes:
    """The result of one record of several, and where the signed answer is that it was taken from."""
    form = etree.tostring(result, method="c14n", exclusive=True)
    if keeper is None:
        return form
    return f'<PartOfAnswer xmlns="{EVIDENCE}" keptBy="{keeper}" sha256="{digest}">'.encode() + form + b"</PartOfAnswer>"


def _of_result(said: Said, duplicate: bool, evidence: bytes) -> Outcome:
    if said.problem is not None:
        return Unknown(code=said.problem)
    if said.outcome == "accepted" and said.code is None:
        return Delivered(receipt=Receipt(code="accepted", body=evidence), duplicate=duplicate)
    # a party remembers effects only, so a refusal that claims to be a repetition contradicts itself
    if said.outcome == "rejected" and said.code is not None and not duplicate:
        return Rejected(code=said.code, receipt=Receipt(code=said.code, body=evidence))
    return Unknown(code="answer-contradictory")
