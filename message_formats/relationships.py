"""続柄: terms and their chains (住民記録システム標準仕様書 1.1.11)."""

from __future__ import annotations

import functools
import re

from message_formats import codes
from message_formats.errors import FormatError

GENERATIONS = 4


@functools.cache
def _form() -> re.Pattern[str]:
    table = codes.table("relationship").codes.values()
    single = "|".join(re.escape(code.ja) for code in table if not code.more["chain"])
    # Longest first: 子（子の夫） before 子.
    chained = "|".join(re.escape(code.ja) for code in sorted(table, key=lambda code: -len(code.ja)) if code.more["chain"])
    return re.compile(rf"(?:{single}|(?:{chained})(?:の(?:{chained})){{0,{GENERATIONS - 1}}})\Z")


@functools.lru_cache(maxsize=4096)
def is_relationship(text: str) -> bool:
    """Whether it is one of the terms, or up to four of them joined by の."""
    return _form().match(text) is not None


def check(text: str, place: str = "-") -> None:
    """:raises FormatError: ``code-unknown`` for a form that the standard does not have (祖父, 孫, a fifth generation)."""
    if not is_relationship(text):
        raise FormatError("code-unknown", place, "code-table:relationship", "none of the relationships that the standard allows")
