"""XML files of any length: many messages in one ``Batch``, one message in memory at a time.

``<Batch xmlns="urn:renkei:format:batch:1">`` holds message elements of any types and nothing else; UTF-8. The same refusals hold as for a
single message. A record that is refused does not stop the file; a file that is not well-formed stops where it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from message_formats import reading
from message_formats.errors import FormatError
from message_formats.message import Message

NAMESPACE = "urn:renkei:format:batch:1"
ROOT = f"{{{NAMESPACE}}}Batch"
OPEN = f'<Batch xmlns="{NAMESPACE}">'.encode()
CLOSE = b"</Batch>"
_CHUNK = 1 << 16
_CDATA = b"<![CDATA["


def read(
    stream: BinaryIO, *, expected: str | None = None, limits: reading.Limits = reading.DEFAULT
) -> Iterator[tuple[int, Message | FormatError]]:
    """(number from 1, typed message or the reason why it is refused) for every message of a file.

    :raises FormatError: where the file as a whole cannot be read on.
    """
    scanner = _Scanner()
    chunk = reading.without_declaration(stream.read(_CHUNK))
    if not chunk:
        raise FormatError("not-xml", "line 1 column 1", "xml", "an empty file")
    parser = _parser((_root_tag(chunk),))
    root: etree._Element | None = None
    number, pending = 0, 0
    while chunk:
        scanner.feed(chunk)
        broken = _feed(parser, chunk)
        root = root if root is not None else _first(parser)
        pending += len(chunk)
        # All children but the last are complete; the last one may still be growing.
        while root is not None and len(root) > 1:
            number, pending = number + 1, 0
            yield number, _take(root, number, expected, limits)
        if broken is not None:
            raise broken
        if pending > limits.size_bytes + _CHUNK:
            raise FormatError("too-large", f"record {number + 1}", "limit:size", f"a record of more than {limits.size_bytes} bytes")
        chunk = stream.read(_CHUNK)
    try:
        parser.close()
    except etree.XMLSyntaxError as error:
        raise _syntax(error) from None
    while root is not None and len(root):
        number += 1
        yield number, _take(root, number, expected, limits)


def _parser(tags: tuple[str, ...]) -> etree.XMLPullParser:
    return etree.XMLPullParser(
        events=("start",), tag=tags, encoding="UTF-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )


def _first(parser: etree.XMLPullParser) -> etree._Element | None:
    events: Any = parser.read_events()
    return next((element for _, element in events), None)


def _root_tag(chunk: bytes) -> str:
    """The root element, seen before the file is read: a file of another kind must not be gathered in memory."""
    _Scanner().feed(chunk)
    probe = _parser(("*",))
    broken = _feed(probe, chunk)
    root = _first(probe)
    if root is None and broken is not None:
        raise broken
    if root is None or root.tag != ROOT:
        raise FormatError("unknown-type", "/*", "batch", "the root element is not a Batch")
    return ROOT


def _feed(parser: etree.XMLPullParser, chunk: bytes) -> FormatError | None:
    try:
        parser.feed(chunk)
    except etree.XMLSyntaxError as error:
        return _syntax(error)
    return None


def _syntax(error: etree.XMLSyntaxError) -> FormatError:
    line, column = error.position
    return FormatError("not-xml", f"line {line} column {column}", "xml", "not well-formed XML, or not UTF-8")


def _take(root: etree._Element, number: int, expected: str | None, limits: reading.Limits) -> Message | FormatError:
    child = root[0]
    try:
        taken: Message | FormatError = reading.accept(child, expected=expected, limits=limits)
        if (root.text or "").strip() or (child.tail or "").strip():
            raise FormatError("item-unexpected", "/Batch", "batch", "text between the records")
    except FormatError as error:
        place = error.place.removeprefix("/")
        taken = FormatError(error.code, f"record {number} {place}", error.rule, error.safe_detail)
    child.tail = None
    root.text = None
    root.remove(child)
    return taken


class _Scanner:
    """Refuses declarations, comments and processing instructions in the bytes, also where a chunk cuts them in two."""

    def __init__(self) -> None:
        self._tail = b""
        self._in_cdata = False

    def feed(self, chunk: bytes) -> None:
        """:raises FormatError: for the first construct that is not accepted."""
        data, position = self._tail + chunk, 0
        while True:
            if self._in_cdata:
                end = data.find(b"]]>", position)
                if end < 0:
                    self._tail = data[max(position, len(data) - 2) :]
                    return
                self._in_cdata, position = False, end + 3
            found = min((at for at in (data.find(b"<!", position), data.find(b"<?", position)) if at >= 0), default=-1)
            if found < 0:
                self._tail = b"<" if data.endswith(b"<") and position < len(data) else b""
                return
            rest = data[found : found + len(_CDATA)]
            if rest == _CDATA:
                self._in_cdata, position = True, found + len(_CDATA)
            elif _CDATA.startswith(rest):
                self._tail = data[found:]
                return
            elif rest.startswith(b"<!--"):
                raise FormatError("comment-forbidden", "-", "xml", "comments are not accepted: they can split text")
            elif rest.startswith(b"<?"):
                raise FormatError("instruction-forbidden", "-", "xml", "processing instructions are not accepted: they can split text")
            elif b"<!--".startswith(rest):
                self._tail = data[found:]
                return
            else:
                raise FormatError("dtd-forbidden", "-", "xml", "document type and entity declarations are not accepted")
