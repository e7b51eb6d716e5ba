"""A day of events as files: a folder of XML, or CloudEvents in JSON Lines (the form that ``renkei submit`` takes)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from simulators.city.events import Event

SOURCE = "/systems/resident-record-system"
TYPE = "identity-information-update"


def cloud_event(event: Event) -> dict[str, str]:
    """The event in CloudEvents 1.0 JSON, with the XML as text in ``data``."""
    made = {
        "specversion": "1.0",
        "id": event.ce_id,
        "source": SOURCE,
        "type": TYPE,
        "time": event.ce_time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/xml",
        "operator": event.operator,
        "terminal": event.terminal,
        "data": event.xml.decode(),
    }
    if event.corrects is not None:
        made["corrects"] = event.corrects
    return made


def write_json_lines(events: Iterable[Event], file: Path) -> int:
    """Write one CloudEvent a line; returns how many."""
    count = 0
    with file.open("w", encoding="utf-8") as out:
        for event in events:
            out.write(json.dumps(cloud_event(event), ensure_ascii=False) + "\n")
            count += 1
    return count


def write_folder(events: Iterable[Event], folder: Path) -> int:
    """Write one XML file an event, named by its place in the day and its id; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for event in events:
        (folder / f"{event.order:07d}-{event.ce_id}.xml").write_bytes(event.xml)
        count += 1
    return count
