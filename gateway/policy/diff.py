"""What changes from one policy document to another, entry by entry: what a second person reads before approving."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.policy.model import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry that is new, gone or other. ``before`` and ``after``: as JSON, None where it is not there."""

    kind: str
    """``added``, ``removed`` or ``changed``."""
    place: str
    before: str | None = None
    after: str | None = None
    gained: tuple[str, ...] = ()
    """What a changed entry has more in its lists: items, works."""
    lost: tuple[str, ...] = ()


def changes(old: Policy, new: Policy) -> list[Change]:
    """Every change, by place."""
    before, after = dict(_entries(json.loads(old.document))), dict(_entries(json.loads(new.document)))
    found = []
    for place in sorted(before.keys() | after.keys()):
        was, now = before.get(place), after.get(place)
        if was == now:
            continue
        kind = "added" if place not in before else "removed" if place not in after else "changed"
        gained = tuple(sorted(_listed(now) - _listed(was)))
        lost = tuple(sorted(_listed(was) - _listed(now)))
        found.append(Change(kind=kind, place=place, before=_text(was), after=_text(now), gained=gained, lost=lost))
    return found


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, content in document.items():
        if section == "permissions":
            for message_type, rows in content.items():
                for row in rows:
                    yield f"permissions.{message_type}: {row['from']} → {row['to']}", row
        elif isinstance(content, dict):
            for key, entry in content.items():
                yield f"{section}.{key}", entry
        else:
            yield section, content


def _listed(entry: Any) -> set[str]:
    if isinstance(entry, list):
        return {str(each) for each in entry}
    if isinstance(entry, dict):
        return {str(each) for value in entry.values() if isinstance(value, list) for each in value}
    return set()


def _text(entry: Any) -> str | None:
    return None if entry is None else json.dumps(entry, ensure_ascii=False, sort_keys=True)
