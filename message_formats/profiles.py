"""SOAP profiles: for each party that speaks SOAP the operations that it and we offer, as packaged data (``data/profiles``).

Written out as WSDL 1.1 and envelope schema by :mod:`message_formats.wsdl_text`. The profiles are this project's own and claim conformity
with no restricted specification: a city that has it replaces the file. Which parties speak something else: ``docs/message-formats.md``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

from message_formats import _packaged, catalogue
from message_formats.catalogue import MessageType
from message_formats.errors import FormatError

NAMESPACE_PREFIX = "urn:renkei:profile:"

Direction = Literal["out", "in", "both"]
_KEYS = frozenset({"name", "type", "answer", "later", "records", "addressed", "digest", "direction", "ja", "en"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: records of one message type in, one result for each out.

    :ivar answer: the type of the result, where it comes at once; otherwise the result is a receipt.
    :ivar later: the operation by which the answer comes afterwards.
    :ivar records: the most records in a call.
    :ivar direction: ``out``: we call the party; ``in``: the party calls us; ``both``: either.
    :ivar addressed: a record may name the municipality at the other end, where the party relays.
    :ivar digest: a record bears the SHA-256 of its element's bytes, which nobody on the way may change.
    """

    name: str
    type: str
    name_ja: str
    name_en: str
    direction: Direction
    answer: str | None = None
    later: str | None = None
    records: int = 1
    addressed: bool = False
    digest: bool = False

    @property
    def outbound(self) -> bool:
        """Whether we call the party."""
        return self.direction in ("out", "both")

    @property
    def inbound(self) -> bool:
        """Whether the party calls us."""
        return self.direction in ("in", "both")

    @property
    def question(self) -> bool:
        """Whether somebody waits for its answer: one record, and a message of its own as answer at once."""
        return self.answer is not None and self.records == 1

    @property
    def types(self) -> tuple[str, ...]:
        """The message types that it carries."""
        return (self.type,) if self.answer is None else (self.type, self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One party's profile.

    :ivar reaches: parties whose messages pass through this one.
    :ivar address: the logical address of the party's service (wsa:To); where to connect is configuration.
    """

    profile: str
    version: int
    name: str
    party: str
    reaches: tuple[str, ...]
    name_ja: str
    name_en: str
    address: str
    operations: tuple[Operation, ...]

    @property
    def namespace(self) -> str:
        """The target namespace of its WSDL and envelope schema: ``urn:renkei:profile:juki-cs:1``."""
        return f"{NAMESPACE_PREFIX}{self.profile.replace('_', '-')}:{self.version}"

    @property
    def message_types(self) -> tuple[MessageType, ...]:
        """The message types that any operation carries, by name."""
        return tuple(catalogue.get(name) for name in sorted({name for operation in self.operations for name in operation.types}))

    def operation(self, name: str) -> Operation:
        """The operation of that name; KeyError if there is none."""
        found = next((each for each in self.operations if each.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def action(self, operation: str, part: Literal["", "Response"] = "") -> str:
        """The WS-Addressing action of an operation's request or response."""
        return f"{self.namespace}:{self.operation(operation).name}{part}"

    @property
    def fault_action(self) -> str:
        """The WS-Addressing action of every fault."""
        return f"{self.namespace}:Fault"


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all packaged profiles."""
    return _packaged.names("data", ".yaml", "profiles")


@functools.cache
def get(name: str) -> Profile:
    """A packaged profile; KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    return parse(_packaged.read_bytes("data", "profiles", f"{name}.yaml"))


def packaged(profile: Profile) -> bool:
    """Whether it is one of those; else somebody's own (:func:`parse`), which may have the name of a packaged one."""
    return profile.profile in names() and get(profile.profile) == profile


def parse(data: bytes | str) -> Profile:
    """A profile in the form of the packaged files.

    :raises FormatError: ``layout`` where a key is missing, unknown or contradicts another; ``unknown-type`` for a type that is not there.
    """
    raw = _packaged.parse_yaml(data)
    try:
        operations = tuple(_operation(each) for each in raw["operations"])
        profile = Profile(
            profile=raw["profile"],
            version=int(raw["version"]),
            name=raw["name"],
            party=raw["party"],
            reaches=tuple(raw["reaches"]),
            name_ja=raw["name_ja"],
            name_en=raw["name_en"],
            address=raw["address"],
            operations=operations,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong("-", "a profile needs profile, version, name, party, reaches, names, address and operations") from error
    _check(profile)
    return profile


def _operation(raw: dict[str, Any]) -> Operation:
    if set(raw) - _KEYS:
        raise _wrong("-", "a key that operations do not have")
    return Operation(
        name=raw["name"],
        type=catalogue.get(raw["type"]).name,
        answer=catalogue.get(raw["answer"]).name if "answer" in raw else None,
        later=raw.get("later"),
        records=int(raw.get("records", 1)),
        addressed=bool(raw.get("addressed", False)),
        digest=bool(raw.get("digest", False)),
        direction=raw["direction"],
        name_ja=raw["ja"],
        name_en=raw["en"],
    )


def _check(profile: Profile) -> None:
    if len({operation.name for operation in profile.operations}) != len(profile.operations):
        raise _wrong(profile.profile, "two operations of one name")
    by_name = {operation.name: operation for operation in profile.operations}
    for operation in profile.operations:
        if operation.direction not in ("out", "in", "both") or operation.records < 1:
            raise _wrong(operation.name, "the direction is out, in or both, and a call has at least one record")
        if operation.later is None:
            continue
        # what we asked for must be able to come to us, and the other way round
        back = by_name.get(operation.later)
        if back is None or operation.answer is not None:
            raise _wrong(operation.name, "an answer that comes later has an operation of its own, and nothing comes at once")
        if (operation.outbound and not back.inbound) or (operation.inbound and not back.outbound):
            raise _wrong(operation.name, "the answer that comes later does not go the other way")


def _wrong(place: str, detail: str) -> FormatError:
    return FormatError("layout", place, "soap-profile", detail)
