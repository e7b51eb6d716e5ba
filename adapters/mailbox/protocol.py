"""The mailbox protocol of this project (``docs/adapters/immigration.md``): XML documents of one namespace over POST. Pure.

========================  ======================================================  ==================================================
path                      request                                                 answer
========================  ======================================================  ==================================================
``PREFIX/list``           ``List since=``, or a message inside                    ``Waiting`` with ``Batch id= records=``
``PREFIX/fetch``          ``Fetch batch=``                                        ``Batch id= records=`` with ``Record id=``
``PREFIX/acknowledge``    ``Acknowledge batch=`` with ``Result record= …``        ``Acknowledged batch=``
``PREFIX/deliver``        ``Deliver`` with ``Record id=``                         ``Results`` with ``Result record= outcome= code=``
========================  ======================================================  ==================================================

Every request has an ``id`` that its answer names as ``request``; where a party serves several municipalities, both name the ``tenant``.
Nothing is read that stands elsewhere, and an answer that is not exactly of this form is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from gateway.contract import FetchedRecord, FetchFailed, RecordResult
from message_formats import reading
from message_formats.errors import FormatError

NAMESPACE: Final = "urn:renkei:mailbox:1"
_NSMAP: Final[Any] = {None: NAMESPACE}
HEADERS: Final = {"Content-Type": "application/xml; charset=utf-8"}
_ID = re.compile(r"[A-Za-z0-9._:-]{1,120}")
_CODE = re.compile(r"[A-Za-z0-9-]{1,40}")
_MOST_RECORDS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the party said of one record that was put there."""

    record: str
    outcome: str
    """``accepted`` | ``duplicate`` | ``refused`` | ``busy``."""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of ours, as bytes, and what its answer must name."""

    id: str
    tenant: str | None
    body: bytes = field(repr=False)


def _request(name: str, identifier: str, tenant: str | None, attributes: Mapping[str, str], children: Sequence[etree._Element]) -> Request:
    root = etree.Element(_q(name), nsmap=_NSMAP)
    root.set("id", identifier)
    if tenant is not None:
        root.set("tenant", tenant)
    for key, value in attributes.items():
        root.set(key, value)
    root.extend(children)
    return Request(id=identifier, tenant=tenant, body=etree.tostring(root, encoding="UTF-8", xml_declaration=True))


def listing(identifier: str, tenant: str | None, *, since: str, message: etree._Element | None = None) -> Request:
    """What waits?"""
    return _request("List", identifier, tenant, {"since": since}, [] if message is None else [message])


def fetch(identifier: str, tenant: str | None, batch: str) -> Request:
    """One batch."""
    return _request("Fetch", identifier, tenant, {"batch": batch}, [])


def acknowledgement(identifier: str, tenant: str | None, batch: str, results: Sequence[RecordResult]) -> Request:
    """What became of every record of a batch."""
    children = []
    for each in results:
        child = etree.Element(_q("Result"))
        child.set("record", each.record_id)
        child.set("outcome", each.outcome)
        if each.code is not None:
            child.set("code", each.code)
        children.append(child)
    return _request("Acknowledge", identifier, tenant, {"batch": batch}, children)


def delivery(identifier: str, tenant: str | None, records: Sequence[tuple[str, etree._Element]]) -> Request:
    """Records for the party, each under its delivery id."""
    children = []
    for record, element in records:
        child = etree.Element(_q("Record"))
        child.set("id", record)
        child.append(element)
        children.append(child)
    return _request("Deliver", identifier, tenant, {}, children)


# ---- answers -----------------------------------------------------------------------------------------------------------------------------


def waiting(body: bytes, request: Request) -> list[str]:
    """Ids of the batches that wait.

    :raises FetchFailed: it is no answer to this request.
    """
    root = _answer(body, request, "Waiting")
    return [_identifier(each.get("id")) for each in _children(root, "Batch")]


def batch(body: bytes, request: Request) -> tuple[str, list[FetchedRecord]]:
    """A batch with all its records.

    :raises FetchFailed: it is no answer to this request, or not whole.
    """
    return _batch(_answer(body, request, "Batch"))


def batch_file(body: bytes, tenant: str | None) -> tuple[str, list[FetchedRecord]]:
    """A batch from a file, which answers no request.

    :raises FetchFailed: it is none, or another municipality's.
    """
    root = _parsed(body)
    if root.tag != _q("Batch"):
        raise FetchFailed("answer-other-element")
    _require_tenant(root, tenant)
    return _batch(root)


def _batch(root: etree._Element) -> tuple[str, list[FetchedRecord]]:
    records = _children(root, "Record")
    if root.get("records") != str(len(records)):
        raise FetchFailed("batch-not-whole")
    found = []
    for each in records:
        [content] = list(each) if len(each) == 1 else [None]
        if content is None:
            raise FetchFailed("answer-malformed")
        bytes_ = etree.tostring(content, encoding="UTF-8", xml_declaration=False, with_tail=False)
        found.append(FetchedRecord(record_id=_identifier(each.get("id")), content=bytes_))
    return _identifier(root.get("id")), found


def acknowledged(body: bytes, request: Request, batch: str) -> None:
    """:raises FetchFailed: the party does not say that it has our acknowledgement of this batch."""
    if _answer(body, request, "Acknowledged").get("batch") != batch:
        raise FetchFailed("other-batch")


def results(body: bytes, request: Request) -> dict[str, Result]:
    """What was said of each record, by its id.

    :raises FetchFailed: it is no answer to this request.
    """
    found: dict[str, Result] = {}
    for each in _children(_answer(body, request, "Results"), "Result"):
        record, outcome, code = _identifier(each.get("record")), each.get("outcome", ""), each.get("code", "")
        if outcome not in ("accepted", "duplicate", "refused", "busy") or (code and not _CODE.fullmatch(code)) or record in found:
            raise FetchFailed("answer-malformed")
        found[record] = Result(record=record, outcome=outcome, code=code)
    return found


def fault(body: bytes, request: Request) -> tuple[str, str] | None:
    """(*refused* | *busy* | *failed*, code) where the answer is a fault of this request."""
    try:
        root = _answer(body, request, "Fault")
    except FetchFailed:
        return None
    kind, code = root.get("kind", ""), root.get("code", "")
    return (kind, code) if kind in ("refused", "busy", "failed") and _CODE.fullmatch(code) else None


def _answer(body: bytes, request: Request, name: str) -> etree._Element:
    root = _parsed(body)
    if root.tag != _q(name):
        raise FetchFailed("answer-other-element")
    if root.get("request") != request.id:
        raise FetchFailed("answer-to-another-request")
    _require_tenant(root, request.tenant)
    return root


def _require_tenant(root: etree._Element, tenant: str | None) -> None:
    if tenant is not None and root.get("tenant") != tenant:
        raise FetchFailed("other-municipality")


def _parsed(body: bytes) -> etree._Element:
    try:
        return reading.parse(body, reading.Limits(size_bytes=len(body)))
    except FormatError as error:
        raise FetchFailed(f"answer-{error.code}") from error


def _children(root: etree._Element, name: str) -> list[etree._Element]:
    found = list(root)
    if any(each.tag != _q(name) for each in found) or len(found) > _MOST_RECORDS:
        raise FetchFailed("answer-malformed")
    return found


def _identifier(text: str | None) -> str:
    if text is None or _ID.fullmatch(text) is None:
        raise FetchFailed("answer-malformed")
    return text


def _q(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
