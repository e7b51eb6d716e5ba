"""The codes of the parties: which code a party uses for each of ours, as packaged data by symbolic names (``data/parties``).

A mapping is a profile of this project and claims conformity with no restricted specification: a city writes its own in the same form
and hands it to :func:`message_formats.layouts.parse` or ``renkei format --codes``. A table that a party's mapping names is complete: a code
without an entry is refused by the names of table and party. A table that it does not name is used with our codes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from message_formats import _packaged, codes
from message_formats.errors import FormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyCodes:
    """The mapping of one party: table → our code → its code, and the way back, where it is certain."""

    party: str
    source: str
    out: Mapping[str, Mapping[str, str]]
    back: Mapping[str, Mapping[str, str | None]]
    """None: several of ours have this code, and the mapping does not say which one is meant."""

    def to_party(self, table: str, code: str, place: str = "-") -> str:
        """The party's code for ours.

        :raises FormatError: ``code-unknown`` where our table does not have the code, or the party has none for it.
        """
        codes.table(table).get(code, place)
        mapping = self.out.get(table)
        if mapping is None:
            return code
        try:
            return mapping[code]
        except KeyError:
            raise self._unknown(table, place) from None

    def from_party(self, table: str, code: str, place: str = "-") -> str:
        """Our code for the party's.

        :raises FormatError: ``code-unknown`` where there is none, ``rule-violated`` where several of ours have it.
        """
        mapping = self.back.get(table)
        if mapping is None:
            return codes.table(table).get(code, place).code
        if code not in mapping:
            raise self._unknown(table, place)
        ours = mapping[code]
        if ours is None:
            rule, detail = f"code-table:{table}", f"several codes of {table} map to this code of {self.party}"
            raise FormatError("rule-violated", place, rule, detail)
        return ours

    def _unknown(self, table: str, place: str) -> FormatError:
        return FormatError("code-unknown", place, f"code-table:{table}", f"the code is not in the table {table} of {self.party}")


@functools.cache
def names() -> tuple[str, ...]:
    """The parties that have a packaged mapping."""
    return _packaged.names("data", ".yaml", "parties")


@functools.cache
def get(party: str) -> PartyCodes:
    """The packaged mapping of a party; KeyError if there is none."""
    if party not in names():
        raise KeyError(party)
    return parse(_packaged.read_bytes("data", "parties", f"{party}.yaml"))


def parse(data: bytes | str) -> PartyCodes:
    """A mapping in the form of the packaged files.

    :raises FormatError: ``layout`` where a table, symbol or code is not there, or a code is not one that messages may hold.
    """
    raw = _packaged.parse_yaml(data)
    if not isinstance(raw, dict) or not {"party", "source", "tables"} <= set(raw) <= {"party", "source", "tables", "back"}:
        raise _wrong("-", "a mapping has party, source and tables, and back where a code of the party stands for several of ours")
    wanted: dict[str, dict[str, str]] = raw.get("back") or {}
    try:
        out = {table: _out(table, mapping) for table, mapping in raw["tables"].items()}
        back = {table: _back(table, mapping, wanted.get(table, {})) for table, mapping in out.items()}
    except (AttributeError, TypeError) as error:
        raise _wrong("-", "each table of a mapping has codes of the party by symbolic names") from error
    if not set(wanted) <= set(out):
        raise _wrong("-", "back names a table that the mapping does not have")
    return PartyCodes(party=raw["party"], source=raw["source"], out=out, back=back)


def _out(table: str, mapping: dict[str, Any]) -> dict[str, str]:
    return {_ours(table, symbol): _checked(table, code) for symbol, code in mapping.items()}


def _back(table: str, out: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str | None]:
    back: dict[str, str | None] = {}
    for ours, theirs in out.items():
        back[theirs] = None if theirs in back else ours
    for theirs, symbol in wanted.items():
        ours = _ours(table, symbol)
        if out.get(ours) != theirs:
            raise _wrong(table, "back gives a code a meaning that it does not have on the way out")
        back[theirs] = ours
    return back


def _ours(table: str, symbol: str) -> str:
    try:
        return codes.table(table).of(symbol).code
    except KeyError:
        raise _wrong("-", "a mapping names a table or a symbol that is not there") from None


def _checked(table: str, code: Any) -> str:
    if not isinstance(code, str) or not code.isascii() or not code.replace("-", "").isalnum() or len(code) > 16:
        raise _wrong(table, "a code of a party is quoted text of 1 to 16 ASCII letters and digits")  # 01 unquoted is the number 1
    return code


def _wrong(place: str, detail: str) -> FormatError:
    return FormatError("layout", place, "party-codes", detail)
