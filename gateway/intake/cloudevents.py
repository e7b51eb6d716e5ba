"""CloudEvents 1.0 attributes, from HTTP headers, AMQP application properties or the JSON form, into one strict value.

Rules of this door, beyond the CloudEvents specification:

- *Required*: ``specversion`` (``1.0``), ``id``, ``source``, ``type``. *Optional*: ``time``, ``dataschema``, and the extensions
  ``operator``, ``terminal`` (staff ids of the sender), ``corrects`` (id of the held message that this one replaces), ``work`` (what it is
  handed over for, by its id in the policy), ``reference`` (the application or notification that it belongs to, by its number at the
  sender), ``legalbasis`` (a claim that must match the way's own), ``municipality`` (the one at the other end, of types that a party
  relays to several: required or refused as the type's route says), ``lane`` (``bulk``: behind everything that somebody waits for; of
  types whose routes permit it), ``effectiveon`` (a day in Japan before which it is not sent),
  ``resends`` (id of an earlier message that this one sends again, with its reason changed) and ``flow`` (the business flow that it
  belongs to). ``traceparent`` and ``tracestate`` (the distributed tracing extension) are allowed and not used.
- *Everything else is refused* (``unknown-attribute``), also ``subject``: an attribute that the gateway ignored would be one that the sender
  believes to mean something (I10: nothing is guessed), and a free attribute is where personal data would end up.
- *No personal data*: every attribute has a closed ASCII character set and length, and a value that holds an Individual Number or a resident
  record code with a valid check digit is refused (``personal-data-in-attribute``). A UUID, alone or with
  something before or behind it, is taken as random and not searched: one in 100,000 random UUIDs looks as if it held a number.

Errors are :class:`gateway.errors.InputRefused`; ``place`` is ``attribute <name>``, ``rule`` says what is expected, no value is repeated.
Pure and without state: callable from any thread.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.errors import InputRefused
from message_formats.identifiers import IndividualNumber, MunicipalityCode, ResidentRecordCode

MAX_ATTRIBUTE = 256
"""Characters; no attribute may be longer, whatever its own rule says."""

STRUCTURED_CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
MOST_EVENTS = 100
"""Events of one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAttributes:
    """The attributes of one event, validated. Holds no personal data."""

    id: str
    source: str
    type: str
    time: str | None = None
    schema: str | None = None
    operator: str | None = None
    terminal: str | None = None
    corrects: str | None = None
    work: str | None = None
    """What it is handed over for (事務), by its id in the policy."""
    legalbasis: str | None = None
    effectiveon: str | None = None
    """Not to be sent before this day in Japan."""
    flow: str | None = None
    """The business flow that it belongs to, where the sender says so."""
    resends: str | None = None
    """Id of an earlier message of the same resident that this one sends again, with its reason changed."""
    municipality: str | None = None
    """The six digits of a municipality, with a valid check digit."""
    lane: str | None = None
    """``bulk``, where the sender asks for it; None: the lane of the route."""
    reference: str | None = None
    """The application or notification (届出書等) that it belongs to, by its number at the sender (C-2-3-8)."""


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    text: str
    field: str | None
    """Name in :class:`EventAttributes`; None for what is checked and dropped."""
    guarded: bool = False


_ID = _Rule(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}"), "1 to 128 of A-Z a-z 0-9 . _ ~ : - and random, a UUID for instance", "id", True
)
_STAFF = "a staff id: 1 to 32 of A-Z a-z 0-9 . _ -"
_STAFF_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")

# Citations of laws: no digits in long runs, no names, so nothing personal fits in.
_CITATION = re.compile(r"(?!.*[0-9０-９]{4})[一-鿿ぁ-んァ-ヶー第条項号の（）()・、0-9]{2,100}")

_RULES: dict[str, _Rule] = {
    "specversion": _Rule(re.compile(r"1\.0"), "1.0", None),
    "id": _ID,
    "source": _Rule(
        re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,256}"), "a URI reference of at most 256 characters", "source", True
    ),
    "type": _Rule(re.compile(r"[a-z][a-z0-9-]{0,63}"), "the name of a message type", "type"),
    "time": _Rule(
        re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)"), "a time of RFC 3339, with a zone", "time"
    ),
    "dataschema": _Rule(re.compile(r"[A-Za-z0-9._~:/#-]{1,200}"), "the namespace of the message type", "schema", True),
    "operator": _Rule(_STAFF_PATTERN, _STAFF, "operator", True),
    "terminal": _Rule(_STAFF_PATTERN, _STAFF, "terminal", True),
    "corrects": _Rule(_ID.pattern, "the id of the message that this one replaces", "corrects", True),
    "work": _Rule(re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}"), "the id of a work of the policy, such as transfer-9", "work"),
    "reference": _Rule(
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}"), "the number of an application: 1 to 64 of A-Z a-z 0-9 . _ / -", "reference", True
    ),
    "legalbasis": _Rule(_CITATION, "an article, as the policy cites it", "legalbasis"),
    "effectiveon": _Rule(re.compile(r"\d{4}-\d\d-\d\d"), "a day such as 2027-04-01", "effectiveon"),
    "flow": _Rule(re.compile(r"F[A-Z]?[0-9]{0,2}-[0-9]{1,2}[a-z]?"), "the id of a business flow, such as F1-1", "flow"),
    "resends": _Rule(_ID.pattern, "the id of the message that this one sends again", "resends", True),
    "municipality": _Rule(re.compile(r"[0-9]{6}"), "the six digits of a municipality (全国地方公共団体コード)", "municipality"),
    "lane": _Rule(re.compile(r"bulk"), "bulk, or not given at all", "lane"),
    "traceparent": _Rule(re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"), "a traceparent of W3C Trace Context", None),
    "tracestate": _Rule(re.compile(r"[\x20-\x7e]{0,256}"), "a tracestate of W3C Trace Context", None, True),
}
_REQUIRED = ("specversion", "id", "source", "type")

_UUID = re.compile(r"(?:[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:)?[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}")
_UUID_WITHIN = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
_DIGITS = re.compile(r"(?<![0-9])(?:[0-9]{12}|[0-9]{4}[-. ][0-9]{4}[-. ][0-9]{4}|[0-9]{11})(?![0-9])")
_NOT_DIGIT = re.compile(r"[^0-9]")


def from_http(raw_headers: Iterable[tuple[bytes, bytes]]) -> EventAttributes:
    """Attributes of the HTTP binary mode: ``ce-*`` headers, values percent-decoded (HTTP protocol binding 1.0, section 3.1.3.2).

    :param raw_headers: header names and values as they came; names in any case.
    :raises InputRefused: see the module.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in raw_headers:
        if raw_name[:3].lower() != b"ce-":
            continue
        name = raw_name[3:].decode("latin-1").lower()
        if name in found:
            raise InputRefused("duplicate-attribute", "an attribute is given twice", place=_place(name), rule="each attribute once")
        found[name] = _header_text(name, raw_value)
    return _validated(found)


def from_amqp(properties: Mapping[str, Any] | None) -> EventAttributes:
    """Attributes of the AMQP binary mode: application properties ``cloudEvents:*``, or ``cloudEvents_*`` (AMQP protocol binding 1.0,
    section 3.1.3.1); properties with other names are the sender's own and are not read.

    :raises InputRefused: see the module.
    """
    found: dict[str, str] = {}
    for key, value in (properties or {}).items():
        if not key.startswith(("cloudEvents:", "cloudEvents_")):
            continue
        name = key[12:]
        if name in found:
            raise InputRefused("duplicate-attribute", "an attribute is given twice", place=_place(name), rule="each attribute once")
        found[name] = _property_text(name, value)
    return _validated(found)


def from_json(body: bytes) -> tuple[EventAttributes, bytes]:
    """The structured mode: one CloudEvents JSON object with the XML in ``data`` (a string) or ``data_base64``.

    :returns: the attributes and the bytes of the XML.
    :raises InputRefused: ``malformed-json``, or see the module.
    """
    return _from_event(_json(body))


def batch_from_json(body: bytes) -> list[tuple[EventAttributes | InputRefused, bytes]]:
    """The batched mode (HTTP binding 1.0, section 3.3): a JSON array of such objects.

    :returns: of each, in its place, what :func:`from_json` returns; or what is wrong with it, and its JSON.
    :raises InputRefused: ``malformed-json``, or ``batch-size``.
    """
    events = _json(body)
    if not isinstance(events, list):
        raise InputRefused("malformed-json", "the body is not a JSON array", place="body", rule="CloudEvents JSON batch format")
    if not 1 <= len(events) <= MOST_EVENTS:
        raise InputRefused("batch-size", "the batch holds no events, or too many", place="body", rule=f"1 to {MOST_EVENTS} events")
    found: list[tuple[EventAttributes | InputRefused, bytes]] = []
    for event in events:
        try:
            found.append(_from_event(dict(event) if isinstance(event, dict) else event))
        except InputRefused as e:
            found.append((e, json.dumps(event).encode()))
    return found


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as e:
        raise InputRefused("malformed-json", "the body is not JSON", place="body", rule="CloudEvents JSON format") from e


def _from_event(event: Any) -> tuple[EventAttributes, bytes]:
    if not isinstance(event, dict):
        raise InputRefused("malformed-json", "the event is not a JSON object", place="body", rule="CloudEvents JSON format")
    content_type = event.pop("datacontenttype", "application/xml")
    if content_type not in ("application/xml", "text/xml"):
        raise InputRefused("wrong-content-type", "data is not XML", place=_place("datacontenttype"), rule="application/xml")
    text, encoded = event.pop("data", None), event.pop("data_base64", None)
    if isinstance(text, str) and encoded is None:
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as e:
            raise InputRefused("malformed-json", "data holds half a surrogate pair", place="data", rule="Unicode text") from e
    elif isinstance(encoded, str) and text is None:
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error as e:
            raise InputRefused("malformed-json", "data_base64 is not base64", place="data_base64", rule="RFC 4648") from e
    else:
        raise InputRefused(
            "missing-data", "exactly one of data and data_base64 must hold the XML", place="data", rule="CloudEvents JSON format"
        )
    found: dict[str, str] = {}
    for name, value in event.items():
        if not isinstance(value, str):
            raise InputRefused("invalid-attribute", "the value is not a string", place=_place(name), rule="a string")
        found[name] = value
    return _validated(found), data


def of_party(*, id: str, party: str, type: str, municipality: str | None = None) -> EventAttributes:
    """The attributes of a record that a party handed in by its own protocol, checked like those of any other event.

    :raises InputRefused: the party's id of the record is none that may be kept, or the municipality is none.
    """
    more = {} if municipality is None else {"municipality": municipality}
    return _validated({"specversion": "1.0", "id": id, "source": f"urn:renkei:system:{party}", "type": type, **more})


def safe_attributes(properties: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """``id`` and ``type`` of a message whose attributes may be anything: each only where it is well-formed, to name what is refused."""
    found: list[str | None] = []
    for name in ("id", "type"):
        value = (properties or {}).get(f"cloudEvents:{name}", (properties or {}).get(f"cloudEvents_{name}"))
        try:
            found.append(_checked(name, _property_text(name, value)))
        except InputRefused:
            found.append(None)
    return found[0], found[1]


_FEW_VALUES = frozenset(
    {
        "specversion", "source", "type", "dataschema", "operator", "terminal", "work", "legalbasis", "municipality", "flow",
        "effectiveon",
    }
)  # fmt: skip


def _check(name: str, value: str) -> None:
    if name in _FEW_VALUES:
        _checked_before(name, value)
    else:
        _checked(name, value)


@functools.lru_cache(maxsize=1024)
def _checked_before(name: str, value: str) -> None:
    _checked(name, value)  # a refusal is not remembered


def _checked(name: str, value: str) -> str:
    rule = _RULES.get(name)
    if rule is None:
        raise InputRefused("unknown-attribute", "the attribute is not known here", place=_place(name), rule="see the register's guide")
    if len(value) > MAX_ATTRIBUTE or rule.pattern.fullmatch(value) is None:
        raise InputRefused("invalid-attribute", "the value does not have the form of this attribute", place=_place(name), rule=rule.text)
    if rule.guarded:
        _guard(name, value)
    if name == "municipality" and not MunicipalityCode.check(value):
        raise InputRefused("invalid-attribute", "the check digit of the municipality is wrong", place=_place(name), rule=rule.text)
    return value


def _validated(found: dict[str, str]) -> EventAttributes:
    for name in _REQUIRED:
        if name not in found:
            raise InputRefused("missing-attribute", f"the attribute {name} is missing", place=_place(name), rule=_RULES[name].text)
    fields: dict[str, str] = {}
    for name, value in found.items():
        _check(name, value)
        field = _RULES[name].field
        if field is not None:
            fields[field] = value
    if (day := fields.get("effectiveon")) is not None:
        _check_day(day)
    time = fields.get("time")
    if time is not None:
        _check_time(time)
    return EventAttributes(**fields)


def _guard(name: str, value: str) -> None:
    if _UUID.fullmatch(value):
        return
    for match in _DIGITS.finditer(_UUID_WITHIN.sub("~", value)):
        digits = _NOT_DIGIT.sub("", match.group())
        kind = IndividualNumber if len(digits) == 12 else ResidentRecordCode
        if kind.check(digits):
            raise InputRefused(
                "personal-data-in-attribute",
                "the value holds what looks like a resident's number",
                place=_place(name),
                rule="no personal data",
            )


def _check_day(value: str) -> None:
    try:
        date.fromisoformat(value)
    except ValueError as e:
        raise InputRefused(
            "invalid-attribute", "the value is no day that exists", place=_place("effectiveon"), rule=_RULES["effectiveon"].text
        ) from e


def _check_time(value: str) -> None:
    # fromisoformat of Python 3.11 takes at most six decimals, RFC 3339 any number: the fraction adds nothing to the check.
    seconds, zone = value[:19].upper(), value[-1].upper() if value[-1] in "Zz" else value[-6:]
    try:
        datetime.fromisoformat(seconds + zone)
    except ValueError as e:
        raise InputRefused("invalid-attribute", "the value is no time that exists", place=_place("time"), rule=_RULES["time"].text) from e


def _header_text(name: str, raw: bytes) -> str:
    value = raw.strip(b" \t")
    if value[:1] == b'"':
        if len(value) < 2 or value[-1:] != b'"':
            raise InputRefused(
                "invalid-attribute", "a quoted value does not end", place=_place(name), rule="CloudEvents HTTP binding 3.1.3.2"
            )
        value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
    if b"%" in value:
        if re.search(rb"%(?![0-9A-Fa-f]{2})", value):
            raise InputRefused("invalid-attribute", "broken percent-encoding", place=_place(name), rule="CloudEvents HTTP binding 3.1.3.2")
        value = unquote_to_bytes(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as e:
        raise InputRefused("invalid-attribute", "not UTF-8 after percent-decoding", place=_place(name), rule="UTF-8") from e


def _property_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as e:
            raise InputRefused("invalid-attribute", "not UTF-8", place=_place(name), rule="UTF-8") from e
    if isinstance(value, datetime) and name == "time":
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    raise InputRefused("invalid-attribute", "the value is not a string", place=_place(name), rule="a string")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is given twice")
    return result


_NAME = re.compile(r"[a-z0-9_]{1,20}")


def _place(name: str) -> str:
    """The place of an error; a name that is none is not repeated, it may hold anything."""
    return f"attribute {name}" if _NAME.fullmatch(name) else "attributes"
