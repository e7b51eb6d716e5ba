"""What one system account keeps: every delivery once, its state rebuilt from its journal, and its own reasons to refuse.

The journal has an entry ``effect`` for each message that took effect (delivery, type, work, the items it held, a keyed reference of the
resident, the content sealed) and ``refused`` for each that did not. All data are fictitious.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from message_formats import catalogue
from simulators.in_house.systems import System, system_of
from simulators.journal import Entry, Journal
from simulators.references import References, Vault

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
Items = dict[str, Any]


def items_of(content: bytes) -> Items:
    """The items of a message: text, a mapping for a group, a list where something repeats."""
    found = _plain(etree.fromstring(content, _PARSER))
    return found if isinstance(found, dict) else {}


def paths_of(items: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Leaves of such items, without positions."""
    found: list[str] = []
    for name, value in items.items():
        for each in value if isinstance(value, list) else [value]:
            found += paths_of(each, f"{prefix}{name}/") if isinstance(each, dict) else [f"{prefix}{name}"]
    return sorted(set(found))


def _plain(element: Any) -> Any:
    if not len(element):
        return element.text or ""
    found: Items = {}
    for child in element:
        name, value = etree.QName(child).localname, _plain(child)
        if name in found:
            known = found[name]
            found[name] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            found[name] = value
    return found


class Books:
    """The books of one account of ``system`` (spec id). Belongs to the event loop."""

    def __init__(self, account: str, system: str, journal: Path, salt: str) -> None:
        self.account = account
        self.system: System = system_of(system)
        self._references, self._vault = References(salt), Vault(salt)
        self.known: set[str] = set()
        self.not_yet: set[str] = set()
        """Atena numbers that are not committed here yet."""
        self.counts: Counter[str] = Counter()
        self.heard: Callable[[str, Items], None] = lambda kind, items: None
        """Told of each message (type, items) after it took effect; not of those that the journal gave."""
        self.journal = Journal(journal, on_entry=self._recovered)

    def close(self) -> None:
        """Nothing more is written."""
        self.journal.close()

    def _recovered(self, entry: Entry) -> None:
        self.counts[entry["kind"]] += 1
        if entry["kind"] == "effect":
            self.known.add(entry["delivery"])
            self.system.take(entry["type"], self._vault.unseal(entry["sealed"], entry["delivery"]))

    def take(self, delivery: str, kind: str, content: bytes, work: str | None = None) -> tuple[str, str | None]:
        """One message: ``accepted``, ``not-yet`` or ``refused`` with a code. Written down before it is said."""
        try:
            items = items_of(content)
        except etree.XMLSyntaxError:
            return self._refused(delivery, kind, work, "malformed")
        return self.take_items(delivery, kind, items, work)

    def take_items(self, delivery: str, kind: str, items: Items, work: str | None = None) -> tuple[str, str | None]:
        """As :meth:`take`, of one that came as items."""
        if delivery in self.known:
            self.counts["duplicate"] += 1
            return "accepted", "duplicate"
        if items.get("atena_number") in self.not_yet:
            self.counts["not-yet"] += 1
            return "not-yet", "not-bound"
        code = self.system.fault(kind, items)
        if code is not None:
            return self._refused(delivery, kind, work, code)
        self.system.take(kind, items)
        self._write(
            {
                "kind": "effect",
                "delivery": delivery,
                "type": kind,
                "work": work,
                "resident": self._references.of(str(items.get("atena_number") or items.get(catalogue.get(kind).key_item or "", ""))),
                "items": paths_of(items),
                "sealed": self._vault.seal(items, delivery),
            }
        )
        self.known.add(delivery)
        self.heard(kind, items)
        return "accepted", None

    def _refused(self, delivery: str, kind: str, work: str | None, code: str) -> tuple[str, str | None]:
        self._write({"kind": "refused", "delivery": delivery, "type": kind, "work": work, "code": code})
        return "refused", code

    def _write(self, entry: Entry) -> None:
        self.journal.append([entry])
        self.counts[entry["kind"]] += 1

    def state(self) -> Mapping[str, Any]:
        """Counts; no personal data."""
        return {"account": self.account, "system": self.system.name, "counts": dict(self.counts), **self.system.state()}
