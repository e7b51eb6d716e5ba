"""Files for ``renkei format``: what is in them, by their layout or their kind, and writing them anew without ever harming what is there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gateway.cli import wording
from gateway.errors import InputRefused
from message_formats.errors import CODES, FormatError

if TYPE_CHECKING:
    from message_formats.layouts import Layout
    from message_formats.message import Message

Result = tuple[int, "Message | FormatError"]
"""Number of a record, from 1, and what it is."""
TABLES = (".csv", ".tsv", ".txt", ".dat")
"""Kinds of files that say nothing about themselves: a layout must."""


def say_both(en: str, ja: str) -> str:
    """The text in the language of this run."""
    return ja if wording.language() == "ja" else en


def meaning(error: FormatError) -> str:
    """What is wrong, in the language of this run; without any value, as the error itself."""
    if wording.language() != "ja" or error.code not in CODES:
        return error.safe_detail
    from message_formats import _packaged

    said = CODES[error.code][1]
    rule = _packaged.load_yaml("data", "rules.yaml").get(error.rule)
    if rule is not None:
        return f"{said}：{rule['ja']}"
    return f"{said}：{error.safe_detail}" if error.code == "layout" else said


def refused(error: FormatError) -> InputRefused:
    """The error as the command line says it."""
    place = "" if error.place == "-" else f" ({error.place})"
    return InputRefused(error.code, f"{meaning(error)}{place}", place=error.place, rule=error.rule)


def get_layout(given: str, codes: Path | None = None) -> Layout:
    """A packaged layout by its name, or one in a file; ``codes``: a code mapping of one's own for the party that it names.

    :raises InputRefused: there is none, or it is wrong.
    """
    from message_formats import layouts, party_codes

    try:
        mappings = [] if codes is None else [party_codes.parse(_own(codes))]
        if given.endswith((".yaml", ".yml")):
            return layouts.parse(_own(Path(given)), mappings)
        if given not in layouts.names():
            raise FormatError("layout", "-", "layout", f"no such packaged layout; there are {', '.join(layouts.names())}")
        return layouts.get(given)
    except FormatError as error:
        raise refused(error) from error


def _own(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputRefused("layout", say_both(f"{path} cannot be read", f"{path} を読めません")) from error


def results(file: Path, layout: Layout | None, message_type: str | None) -> Generator[Result, None, None]:
    """Every record of a file: JSON Lines, a file with a layout, an XML batch, or one message.

    :raises FormatError: the file as a whole cannot be read on, or does not say what it is.
    """
    from message_formats import batch, reading, records

    limits = reading.DEFAULT
    with file.open("rb") as stream:
        if layout is not None:
            if message_type is not None and message_type != layout.message_type.name:
                raise FormatError("unexpected-type", "-", "layout", "the layout is for another message type than the one asked for")
            with contextlib.closing(records.read_messages(stream, layout, limits)) as found:
                yield from found
        elif file.suffix.lower() == ".jsonl":
            yield from _json_lines(stream, message_type)
        elif b"<Batch" in stream.peek(4096)[:4096]:
            yield from batch.read(stream, expected=message_type, limits=limits)
        elif file.suffix.lower() in TABLES and b"<" not in stream.peek(4096)[:4096]:
            raise FormatError("layout", "-", "layout", "a file without XML needs --layout: nothing is guessed")
        else:
            yield 1, _one(stream.read(limits.size_bytes + 1), message_type)


def _one(data: bytes, message_type: str | None) -> Message | FormatError:
    from message_formats import reading

    try:
        return reading.read(data, expected=message_type)
    except FormatError as error:
        return error


def _json_lines(stream: io.BufferedReader, message_type: str | None) -> Iterator[Result]:
    from message_formats import reading

    number = 0
    while line := stream.readline(2 * reading.DEFAULT.size_bytes):
        number += 1
        try:
            event = json.loads(line)
            data, expected = event["data"].encode(), message_type or event.get("type")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            yield number, FormatError("layout", f"line {number}", "cloudevents", "not a CloudEvent with XML text in data")
            continue
        yield number, _one(data, expected)


@dataclass(slots=True, kw_only=True)
class Conversion:
    """From one file to another; ``changes`` are filled while it runs."""

    source: Path
    target: Path
    layout: Layout | None
    to_layout: Layout | None
    substitute: bool
    changes: list[dict[str, Any]]

    def run(self) -> int:
        """Write the target and say how many records it has. Only when all of them are written does it take the place of what was there.

        :raises FormatError: the first record that cannot be read or written.
        :raises InputRefused: the target cannot be written.
        """
        if self.to_layout is None and self.target.suffix.lower() in TABLES:
            raise FormatError("layout", "-", "layout", "a target that is not XML needs --to-layout")
        try:
            if self.is_device():
                with self.target.open("wb") as out:
                    return self._write(out)
            target = self.target.resolve()
            unfinished = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                with unfinished.open("xb") as out:
                    count = self._write(out)
                if target.exists():
                    shutil.copymode(target, unfinished)
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            text = say_both(f"{self.target} cannot be written: {error.strerror}", f"{self.target} に書き込めません：{error.strerror}")
            raise InputRefused("target", text) from error
        return count

    def is_device(self) -> bool:
        """``/dev/stdout`` and the like must be written to, never replaced; nor may a pipe."""
        path = self.target.absolute()
        return path.parts[1:2] in (("dev",), ("proc",)) or (path.exists() and not path.is_file())

    def _write(self, out: BinaryIO) -> int:
        from message_formats import batch, records

        with contextlib.closing(self._messages()) as messages:
            if self.to_layout is not None:
                return records.write_records((self._items(number, message) for number, message in messages), self.to_layout, out)
            out.write(batch.OPEN)
            count = sum(bool(out.write(b"\n" + message.to_bytes())) for _, message in messages)
            out.write(b"\n" + batch.CLOSE)
            return count

    def _messages(self) -> Generator[tuple[int, Message], None, None]:
        for number, result in results(self.source, self.layout, None):
            if isinstance(result, FormatError):
                place = result.place if result.place.startswith("record") else f"record {number} {result.place}"
                raise FormatError(result.code, place, result.rule, result.safe_detail)
            if self.to_layout is not None and result.type_name != self.to_layout.message_type.name:
                detail = f"the layout is for {self.to_layout.message_type.name}, the record is a {result.type_name}"
                raise FormatError("unexpected-type", f"record {number}", "layout", detail)
            yield number, result

    def _items(self, number: int, message: Message) -> dict[str, str | None]:
        """The items; if asked for, with substitutes for what the target's encoding lacks. Counts of 外字 stay those of the original."""
        items = dict(message.items)
        if self.substitute:
            holds = self._holds()
            for item, value in items.items():
                if value is not None and not holds(value):
                    items[item] = self._substituted(number, item, value, holds)
        return items

    def _holds(self) -> Callable[[str], bool]:
        from message_formats import encodings

        assert self.to_layout is not None
        codec = self.to_layout.encoding.codec
        return lambda text: encodings.first_lost(text, codec) is None

    def _substituted(self, number: int, item: str, value: str, holds: Callable[[str], bool]) -> str:
        from message_formats.characters import RegisterText

        result = RegisterText(value).substitute(holds)
        # Positions and how many candidates there were: the characters themselves are the person's name.
        self.changes += [
            {"record": number, "item": item, "position": change.position, "candidates": len(change.candidates)} for change in result.changes
        ]
        return result.text
