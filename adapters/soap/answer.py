"""Answers of a party: is it SOAP 1.1, is it the answer to *this* request, and is it a fault?

What cannot be read, or does not say by ``wsa:RelatesTo`` that it belongs to the request, is no answer at all: the outcome is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from adapters.soap.operation import SOAP, WSA
from message_formats import reading
from message_formats.errors import FormatError

_ENVELOPE, _HEADER, _BODY, _FAULT = (f"{{{SOAP}}}{name}" for name in ("Envelope", "Header", "Body", "Fault"))
_MUST_UNDERSTAND = f"{{{SOAP}}}mustUnderstand"
_RELATES_TO, _ACTION = f"{{{WSA}}}RelatesTo", f"{{{WSA}}}Action"
_REPLY = (None, f"{WSA}/reply", "")


class BadAnswer(Exception):
    """No answer to this request can be read from what came; ``code`` is stable and holds nothing of it."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapFault:
    """A fault of the party that relates to the request."""

    code: str
    """Local name of the SOAP 1.1 fault code: ``Client``, ``Server``, ``MustUnderstand``, ``VersionMismatch``."""
    detail: etree._Element | None
    """The one element in the detail, unchecked."""


def read_answer(
    answer: bytes | etree._Element, *, relates_to: str, actions: frozenset[str], limits: reading.Limits = reading.DEFAULT
) -> etree._Element | SoapFault:
    """The one element of the Body, or the fault. ``answer``: the bytes as they came, or the envelope of a verified message (and nothing
    else: what was not signed must not be read). ``actions``: what wsa:Action may say.

    :raises BadAnswer: it is not SOAP 1.1, is not well-formed, has a DTD, or does not relate to the request.
    """
    try:
        envelope = reading.parse(answer, limits) if isinstance(answer, bytes) else answer
    except FormatError as error:
        raise BadAnswer(f"answer-{error.code}") from error
    header, content = _parts(envelope)
    related: list[str] = []
    action = ""
    for each in header if header is not None else ():
        if each.tag == _RELATES_TO:
            if each.get("RelationshipType") not in _REPLY:
                continue
            related.append((each.text or "").strip())
        elif each.tag == _ACTION:
            action = (each.text or "").strip()
        elif each.get(_MUST_UNDERSTAND) in ("1", "true") and not str(each.tag).startswith(f"{{{WSA}}}"):
            raise BadAnswer("answer-must-understand")
    if related != [relates_to]:
        raise BadAnswer("answer-unrelated")
    if action not in actions:
        raise BadAnswer("answer-action-unknown")
    return _fault(content) if content.tag == _FAULT else content


def _parts(envelope: etree._Element) -> tuple[etree._Element | None, etree._Element]:
    if envelope.tag != _ENVELOPE:
        raise BadAnswer("answer-not-soap")
    parts = list(envelope)
    header = parts.pop(0) if parts and parts[0].tag == _HEADER else None
    if len(parts) != 1 or parts[0].tag != _BODY or len(parts[0]) != 1:
        raise BadAnswer("answer-not-soap")
    return header, parts[0][0]


def _fault(fault: etree._Element) -> SoapFault:
    code = fault.find("faultcode")
    prefix, _, local = ("" if code is None else code.text or "").strip().rpartition(":")
    if code is None or code.nsmap.get(prefix or None) != SOAP:
        raise BadAnswer("answer-fault-malformed")
    detail = fault.find("detail")
    entries = list(detail) if detail is not None else []
    return SoapFault(code=local.partition(".")[0], detail=entries[0] if len(entries) == 1 else None)
