"""From what the city CS says to an outcome: the one translation table of this adapter (profile: ``message_formats/wsdl/juki_cs.wsdl``).

Whatever is not in the table is unknown. Nothing here takes a silence, a contradiction or somebody else's answer for a success.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lxml import etree

from adapters.soap.answer import SoapFault
from gateway.contract import Delivered, Envelope, Outcome, PartyDown, Receipt, Rejected, RejectedCall, RetryLater, Unknown
from message_formats import schemas
from message_formats.errors import FormatError

PROFILE = "urn:renkei:profile:juki-cs:1"
RESULT = "urn:renkei:format:identity-update-result:1"
EVIDENCE = "urn:renkei:evidence:1"
LONGEST_PAUSE_S = 3600.0
TWICE = "xsd:cvc-idc"
"""How a delivery id that appears twice shows in the schema check; it concerns those records only."""

_FAULT, _RESULT = f"{{{PROFILE}}}Fault", f"{{{PROFILE}}}Result"
_ITEM = f"{{{RESULT}}}IdentityUpdateResult/{{{RESULT}}}"

# soap:Client: nothing had effect. These codes are about the records, so that splitting the call finds the one at fault (R11).
_ABOUT_RECORDS = frozenset({"schema-invalid", "too-many-records", "delivery-id-twice", "too-large", "not-xml", "dtd-forbidden"})

# HTTP statuses that refuse a request before it is carried out (RFC 9110 section 15.5); none is about one record, except 413
_REFUSALS = frozenset({401, 403, 404, 405, 415, 421})


def of_status(status: int, headers: Mapping[str, str], now: datetime) -> Outcome | None:
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


def of_fault(fault: SoapFault) -> Outcome:
    """The outcome of a SOAP fault for every record of the call. Only a fault with the profile's own detail says that nothing had effect."""
    detail = fault.detail
    if detail is None or detail.tag != _FAULT:
        return Unknown(code="fault-without-detail")
    try:
        _validate(detail)
    except FormatError:
        return Unknown(code="fault-malformed")
    code = detail.get("code", "")
    if fault.code == "Client":
        return RejectedCall(code=code) if code in _ABOUT_RECORDS else PartyDown(code=code)
    if fault.code == "Server" and code == "busy":
        return RetryLater(code=code)
    return Unknown(code=f"fault-{code}")


def of_results(response: etree._Element, envelopes: Sequence[Envelope], body: bytes, *, signed: bool) -> list[Outcome]:
    """One outcome for each of ``envelopes``, in order. A record whose result is missing, doubled or not its own is unknown.

    The evidence of a call with one record is the answer as it came. With several it is the result of the record; if the answer is signed,
    the first record keeps the answer as it came, since nothing less proves anything, and the others name its delivery and the digest.
    """
    try:
        _validate(response)
    except FormatError as error:
        if error.rule != TWICE:
            return [Unknown(code="answer-schema-invalid")] * len(envelopes)
    results: dict[str, list[etree._Element]] = {}
    for each in response.iterchildren(_RESULT):
        results.setdefault(each.get("deliveryId", ""), []).append(each)
    strangers = results.keys() - {each.delivery_id for each in envelopes}
    missing = "answer-other-delivery" if strangers else "answer-result-missing"
    outcomes: list[Outcome] = []
    keeper: str | None = None
    digest = hashlib.sha256(body).hexdigest() if signed and len(envelopes) > 1 else ""
    for envelope in envelopes:
        mine = results.get(envelope.delivery_id, [])
        if len(mine) != 1:
            outcomes.append(Unknown(code="answer-result-twice" if mine else missing))
            continue
        whole = len(envelopes) == 1 or (signed and keeper is None)
        outcome = _of_result(mine[0], envelope, body if whole else _part(mine[0], keeper, digest))
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


def _of_result(result: etree._Element, envelope: Envelope, evidence: bytes) -> Outcome:
    outcome, error = result.findtext(f"{_ITEM}outcome"), result.findtext(f"{_ITEM}error_code")
    if result.findtext(f"{_ITEM}request_control_number") != envelope.party_key:
        return Unknown(code="answer-other-key")
    duplicate = result.get("duplicate") in {"true", "1"}
    if outcome == "accepted" and error is None:
        return Delivered(receipt=Receipt(code="accepted", body=evidence), duplicate=duplicate)
    # the party remembers effects only, so a refusal that claims to be a repetition contradicts itself
    if outcome == "rejected" and error is not None and not duplicate:
        return Rejected(code=error, receipt=Receipt(code=error, body=evidence))
    return Unknown(code="answer-contradictory")


_validate = schemas.profile_validator("juki_cs")
