"""Whom an event concerns, as far as the information provision network must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulators.city import City, Event
from simulators.city.daily import head_name

NEW = frozenset({"IN_DOM", "NUM_ADD"})
"""Reasons after which somebody is registered for the first time, with a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concerned:
    """Whom an event concerns, as far as the network must know."""

    index: int
    atena: str
    individual: str
    items: Mapping[str, str | None]
    """Of the atena linkage."""
    head: str
    relationship: str
    new: bool
    gone: bool

    @property
    def number(self) -> str:
        """団体内統合宛名番号."""
        return f"99{self.index:012d}"


def concerned(event: Event, city: City) -> Concerned | None:
    """None: nobody who has an Individual Number yet."""
    now, person = event.items, city.people.resident(event.resident)
    if not now["individual_number"]:
        return None
    named = {
        item: now[name] for item, name in (("name", "name_kanji"), ("address", "address"), ("sex", "sex"), ("birth_date", "birth_date"))
    }
    return Concerned(
        index=event.resident, atena=person.atena_number, individual=now["individual_number"],
        items={**named, "birth_date@text": now.get("birth_date@text")},
        head=head_name(event, person, city.people) or "", relationship=now["relationship"] or "世帯主", new=event.reason in NEW,
        gone=now["record_status_flag"] == "2",
    )  # fmt: skip
