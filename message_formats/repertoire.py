"""Which characters are standard and which are 外字, and how many there are of them.

The real repertoire of a party (住基ネット統一文字) is not public, so it is a policy: the default counts as standard what JIS X 0213:2004
holds, by Python's own codec. A 外字 is a cluster (base with its variation selector or combining marks) that the repertoire lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_CLUSTER = re.compile(rf".[{SELECTORS}\u3099\u309a\u0300-\u036f]*", re.DOTALL)

Repertoire = Callable[[str], bool]
"""Says whether a text consists of standard characters only."""


def jis_x_0213(text: str) -> bool:
    """Whether JIS X 0213:2004 (with ASCII and half-width katakana) holds the whole text."""
    try:
        text.encode("euc_jis_2004")
    except UnicodeEncodeError:
        return False
    return True


def clusters(text: str) -> Iterator[str]:
    """The characters as a reader counts them: a base with its selector and combining marks."""
    return (found.group() for found in _CLUSTER.finditer(text))


def gaiji_count(text: str, repertoire: Repertoire = jis_x_0213) -> int:
    """外字数: how many characters of the text the repertoire does not hold."""
    if repertoire(text):
        return 0
    return sum(not repertoire(cluster) for cluster in clusters(text))
