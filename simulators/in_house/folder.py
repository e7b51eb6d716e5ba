"""A system that has its messages as files: complete ones only, digests compared, each record written down, an import receipt each."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path
from typing import Any

from message_formats import layouts, records
from message_formats.errors import FormatError
from simulators.in_house.books import Books

_STEP = re.compile(r"([a-z0-9_]+)\[([0-9]+)\]")


class Folder:
    """One account's folder."""

    def __init__(self, books: Books, directory: Path) -> None:
        self._books, self._directory = books, directory
        self.rejected = 0
        """Files whose digests or contents did not fit: left alone."""

    def round(self) -> int:
        """Take every complete file; how many records there were."""
        taken = 0
        for complete in sorted((self._directory / "out").glob("*.sha256")):
            name = complete.name.removesuffix(".sha256")
            if name.startswith("."):
                continue  # being written
            if not (self._directory / "in" / f"{name}.ack.csv").exists():
                taken += self._take(name, complete)
        return taken

    def _take(self, name: str, complete: Path) -> int:
        lines = [line.partition("  ") for line in complete.read_text(encoding="utf-8").splitlines()]
        sums = {file: digest for digest, _, file in lines}
        contents = {each: complete.with_name(each).read_bytes() for each in (f"{name}.csv", f"{name}.index.csv")}
        if any(hashlib.sha256(content).hexdigest() != sums.get(each) for each, content in contents.items()):
            self.rejected += 1
            return 0
        index = list(csv.DictReader(io.StringIO(contents[f"{name}.index.csv"].decode())))
        layout = layouts.get(f"{index[0]['type']}.csv")
        found = [items for _, items in records.read_items(io.BytesIO(contents[f"{name}.csv"]), layout)]
        if len(found) != len(index) or any(isinstance(each, FormatError) for each in found):
            self.rejected += 1
            return 0
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(("delivery", "correlation", "status", "code"))
        for row, items in zip(index, found, strict=True):
            assert not isinstance(items, FormatError)
            status, code = self._books.take_items(row["delivery"], row["type"], grouped(items), row["work"] or None)
            writer.writerow((row["delivery"], row["correlation"], status, code or ""))
        self.acknowledge(name, out.getvalue())
        return len(found)

    def acknowledge(self, name: str, text: str) -> None:
        """Put a receipt there, whole."""
        half = self._directory / "in" / f".{name}.ack.csv"
        half.write_text(text, encoding="utf-8")
        half.rename(self._directory / "in" / f"{name}.ack.csv")


def grouped(items: Any) -> dict[str, Any]:
    """Items by paths as nested mappings; what repeats as a list."""
    root: dict[str, Any] = {}
    for path, value in items.items():
        if value is None:
            continue
        *groups, leaf = path.split("/")
        here = root
        for step in groups:
            match = _STEP.fullmatch(step)
            if match is None:
                here = here.setdefault(step, {})
            else:
                members = here.setdefault(match[1], [])
                members += [{} for _ in range(int(match[2]) - len(members))]
                here = members[int(match[2]) - 1]
        here[leaf] = value
    return root
