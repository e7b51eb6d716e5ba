"""The one entry: bytes in, a typed :class:`Message` or one :class:`FormatError` out.

Order: size → bytes and declaration → forbidden constructs (seen in the bytes, before any parsing) → parse → type → schema → values →
rules. Nothing is guessed and nothing is fetched. Safe to call from any thread; parser and schemas are the thread's own.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from lxml import etree

from message_formats import catalogue, plans, schemas
from message_formats.errors import FormatError
from message_formats.message import Message
from message_formats.repertoire import Repertoire, jis_x_0213
from message_formats.violations import place_of, violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a message may cost, and which characters count as standard."""

    size_bytes: int = 4 << 20
    depth: int = 16
    elements: int = 200_000
    attributes: int = 20_000
    repertoire: Repertoire = jis_x_0213


DEFAULT = Limits()

_local = threading.local()
_DECLARATION = re.compile(
    rb"""<\?xml\s+version\s*=\s*["']1\.0["'](?:\s+encoding\s*=\s*["'](?P<encoding>[A-Za-z0-9._-]+)["'])?"""
    rb"""(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>"""
)
_BOM = b"\xef\xbb\xbf"
_CDATA = b"<![CDATA["
_CONSTRUCT = re.compile(rb"<!\[CDATA\[|<!--|<!|<\?")
_NAMESPACES = 4096
_ODD_NAMESPACE = re.compile(rb"""xmlns(?::[^\s=]+)?\s*=(?!\s*["'](?:urn:[\w.:/-]+|https?://[\w./#-]+)?["'])""")
"""Perhaps a relative one, for which there is no canonical form (XML-C14N 1.0, 1.3); it may also stand in a text."""
_NAMESPACE = re.compile(r"(?:urn:[\w.:/-]+|https?://[\w./#-]+)?", re.ASCII)
_LARGE = 1 << 16
"""Below this many bytes a flood of namespaces or CDATA sections does no harm."""


def read(data: bytes, *, expected: str | None = None, limits: Limits = DEFAULT) -> Message:
    """Check and type one message.

    :param expected: the type that was announced; another one is refused.
    :raises FormatError: the first thing that is wrong, without any value.
    """
    root = parse(data, limits)
    return accept(root, expected=expected, limits=limits)


def accept(root: etree._Element, *, expected: str | None = None, limits: Limits = DEFAULT) -> Message:
    """Check and type an element that :func:`parse` gave, or that was taken out of an envelope which it gave."""
    name = catalogue.by_tag().get(root.tag) if isinstance(root.tag, str) else None
    if name is None:
        raise FormatError("unknown-type", "/*", "catalogue", "the root element and its namespace are none of the catalogue's message types")
    if expected is not None and name != expected:
        raise FormatError("unexpected-type", f"/{catalogue.root_name(name)}", "catalogue", "another message type than the one announced")
    schema = schemas.compiled(name)
    if not schema.validate(root):
        _check_shape(root, limits)
        raise violation(schema.error_log, root, catalogue.get(name))
    return plans.plan(name).message(root, limits.repertoire)


def parse(data: bytes, limits: Limits = DEFAULT) -> etree._Element:
    """Parse untrusted bytes: UTF-8, or UTF-16 with a byte order mark; no DTD, no comments, no processing instructions.

    :raises FormatError: ``too-large``, ``encoding``, ``dtd-forbidden``, ``comment-forbidden``, ``instruction-forbidden``,
        ``too-many-elements``, ``too-many-attributes``, ``namespace-forbidden`` or ``not-xml`` (with line and column).
    """
    if len(data) > limits.size_bytes:
        raise FormatError("too-large", "-", "limit:size", f"more than {limits.size_bytes} bytes")
    data = in_utf8(data)
    # One byte is found by memchr in no time; the pair would cost more than a third of the parsing.
    if b"!" in data or b"?" in data:
        _refuse_constructs(data)
    if len(data) > limits.elements and data.count(b"<") > 2 * limits.elements:
        raise FormatError("too-many-elements", "-", "limit:elements", f"more than {limits.elements} elements")
    if len(data) > _LARGE and data.count(b"xmlns") > _NAMESPACES:
        raise FormatError("too-many-attributes", "-", "limit:attributes", f"more than {_NAMESPACES} declarations of namespaces")
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise _syntax_error(data, line, column) from None
    if _ODD_NAMESPACE.search(data):
        _refuse_odd_namespaces(root)
    return root


def _refuse_odd_namespaces(root: etree._Element) -> None:
    for element in root.iter():
        for uri in element.nsmap.values():
            if not _NAMESPACE.fullmatch(uri):
                place = f"line {element.sourceline}"
                raise FormatError(
                    "namespace-forbidden", place, "xml-names", "a namespace is named by a URN or by an http address, or not at all"
                )


def _parser() -> etree.XMLParser:
    try:
        parser: etree.XMLParser = _local.parser
    except AttributeError:
        parser = _local.parser = etree.XMLParser(
            encoding="UTF-8", resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, recover=False
        )
    return parser


def without_declaration(data: bytes) -> bytes:
    """UTF-8 bytes without byte order mark and XML declaration.

    :raises FormatError: ``encoding`` where another encoding is declared, ``not-xml`` where the declaration is broken.
    """
    data = data.removeprefix(_BOM)
    if data[:3] == _BOM:
        raise FormatError("not-xml", "line 1 column 1", "xml", "two byte order marks")
    if data[:5] != b"<?xml":
        return data
    found = _DECLARATION.match(data)
    if found is None:
        raise FormatError("not-xml", "line 1 column 1", "xml", "the XML declaration is not that of XML 1.0")
    encoding = found["encoding"]
    if encoding is not None and encoding.upper() not in (b"UTF-8", b"UTF8"):
        detail = "the declared encoding is not accepted here: UTF-8, or UTF-16 with a byte order mark"
        raise FormatError("encoding", "line 1 column 1", "encoding", detail)
    return data[found.end() :]


def in_utf8(data: bytes) -> bytes:
    """Bytes that :func:`parse` took, in UTF-8 without byte order mark and declaration: of UTF-8 not one byte else is changed.

    :raises FormatError: ``encoding`` or ``not-xml``.
    """
    return _from_utf16(data) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else without_declaration(data)


def _from_utf16(data: bytes) -> bytes:
    try:
        text = data.decode("utf-16")
        encoded = text.encode("utf-8")
    except UnicodeError:
        raise FormatError("encoding", "-", "encoding", "the bytes are not UTF-16") from None
    found = _DECLARATION.match(encoded)
    if found is not None:
        encoding = found["encoding"]
        if encoding is not None and not encoding.upper().startswith(b"UTF-16"):
            raise FormatError("encoding", "line 1 column 1", "encoding", "the declared encoding is not that of the bytes")
        encoded = encoded[found.end() :]
    return encoded


def _refuse_constructs(data: bytes) -> None:
    """DTD, comments and processing instructions; CDATA sections may stay, and what is inside them is not looked at."""
    position = 0
    while (found := _CONSTRUCT.search(data, position)) is not None:
        if found.group() == _CDATA:
            end = data.find(b"]]>", found.end())
            if end < 0:
                return  # not well-formed: the parser says where
            position = end + 3
            continue
        line = data.count(b"\n", 0, found.start()) + 1
        place = f"line {line}"
        if found.group() == b"<!--":
            raise FormatError("comment-forbidden", place, "xml", "comments are not accepted: they can split text")
        if found.group() == b"<?":
            raise FormatError("instruction-forbidden", place, "xml", "processing instructions are not accepted: they can split text")
        raise FormatError("dtd-forbidden", place, "xml", "document type and entity declarations are not accepted")


def _syntax_error(data: bytes, line: int, column: int) -> FormatError:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return FormatError("encoding", f"line {line}", "encoding", "the bytes are not UTF-8")
    return FormatError("not-xml", f"line {line} column {column}", "xml", "not well-formed XML")


def _check_shape(root: etree._Element, limits: Limits) -> None:
    """Depth and attributes: looked at only when the schema has refused, for a valid message keeps both by its schema."""
    attributes = 0
    stack: list[tuple[etree._Element, int]] = [(root, 1)]
    while stack:
        element, depth = stack.pop()
        if depth > limits.depth:
            raise FormatError("too-deep", place_of(root), "limit:depth", f"elements nested deeper than {limits.depth}")
        attributes += len(element.attrib)
        if attributes > limits.attributes:
            raise FormatError("too-many-attributes", place_of(root), "limit:attributes", f"more than {limits.attributes} attributes")
        stack.extend((child, depth + 1) for child in element)
