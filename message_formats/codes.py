"""Code tables: packaged data with symbolic names and both languages, replaceable by a city.

Unknown codes are refused by the name of their table, never by value.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from message_formats import _packaged
from message_formats.errors import FormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code of a table. ``more``: further columns of the table, such as ``group`` of a change reason."""

    code: str
    symbol: str
    ja: str
    en: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTable:
    """A code table. What the parties use instead of its codes: :mod:`message_formats.party_codes`."""

    name: str
    name_ja: str
    name_en: str
    width: int
    source: str
    codes: Mapping[str, Code]
    symbols: Mapping[str, Code]

    def __contains__(self, code: object) -> bool:
        return code in self.codes

    def get(self, code: str, place: str = "-") -> Code:
        """The entry of a code.

        :raises FormatError: ``code-unknown``, naming the table and the place.
        """
        try:
            return self.codes[code]
        except KeyError:
            raise _unknown(self.name, place) from None

    def of(self, symbol: str) -> Code:
        """The entry of a symbolic name; a name that is not there is a mistake of the caller (KeyError)."""
        return self.symbols[symbol]


def _unknown(table: str, place: str) -> FormatError:
    return FormatError("code-unknown", place, f"code-table:{table}", f"the code is not in the table {table}")


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all packaged tables."""
    return _packaged.names("data", ".yaml", "codes")


@functools.cache
def table(name: str) -> CodeTable:
    """A packaged table; KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    return parse(_packaged.read_bytes("data", "codes", f"{name}.yaml"))


def parse(data: bytes | str) -> CodeTable:
    """A table in the form of the packaged files.

    :raises FormatError: ``layout`` where columns are missing, a code or symbol appears twice, or a code is too wide.
    """
    raw = _packaged.parse_yaml(data)
    try:
        entries = [_code(entry) for entry in raw["codes"]]
        made = CodeTable(
            name=raw["table"],
            name_ja=raw["name_ja"],
            name_en=raw["name_en"],
            width=int(raw["width"]),
            source=raw["source"],
            codes={entry.code: entry for entry in entries},
            symbols={entry.symbol: entry for entry in entries},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError("layout", "-", "code-table", "a code table needs table, name_ja, name_en, width, source and codes") from error
    if len(made.codes) != len(entries) or len(made.symbols) != len(entries):
        raise FormatError("layout", made.name, "code-table", "a code or a symbol appears twice")
    if any(len(code) > made.width for code in made.codes):
        raise FormatError("layout", made.name, "code-table", "a code is wider than the table says")
    return made


def _code(raw: dict[str, Any]) -> Code:
    code = raw["code"]
    if not isinstance(code, str):
        raise TypeError("codes are text: quote them")  # 01 without quotes would be the number 1
    more = {key: value for key, value in raw.items() if key not in {"code", "symbol", "ja", "en"}}
    return Code(code=code, symbol=raw["symbol"], ja=raw["ja"], en=raw["en"], more=more)
