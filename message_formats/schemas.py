"""Compiled schemas, one set for each thread: libxml2's compiled schema is shared by no two threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from lxml import etree

from message_formats import _packaged, catalogue, profiles
from message_formats.profiles import Profile
from message_formats.violations import violation

_local = threading.local()
_compiling = threading.Lock()


class _Packaged(etree.Resolver):
    """Resolves imports to packaged schemas and nothing else: never the network, never another file."""

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]
        name = system_url.rpartition("/")[2]
        folder = "xsd" if (_packaged.path("xsd", name)).is_file() else "wsdl"
        return self.resolve_string(_packaged.read_bytes(folder, name), context, base_url=str(_packaged.path(folder, name)))


def _compile(text: bytes, folder: str, file: str) -> etree.XMLSchema:
    parser = etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False)
    parser.resolvers.add(_Packaged())
    # lxml puts its resolver in place of libxml2's one for the whole process while it compiles or parses: two threads can take away each
    # other's. Hence one compilation at a time, and the true place of the file: what libxml2 finds from there by itself is the same.
    with _compiling:
        return etree.XMLSchema(etree.fromstring(text, parser, base_url=str(_packaged.path(folder, file))))


def compiled(name: str) -> etree.XMLSchema:
    """The compiled schema of a message type, this thread's own.

    :raises FormatError: ``unknown-type``.
    """
    file = f"{catalogue.get(name).name}.xsd"
    return _cached(file, "xsd", file, lambda: _packaged.read_bytes("xsd", file))


def _cached(key: str | Profile, folder: str, file: str, read: Callable[[], bytes]) -> etree.XMLSchema:
    try:
        cache: dict[str | Profile, etree.XMLSchema] = _local.schemas
    except AttributeError:
        cache = _local.schemas = {}
    if key not in cache:
        cache[key] = _compile(read(), folder, file)
    return cache[key]


def validator(name: str) -> Callable[[etree._Element], None]:
    """A check of elements against the schema of a message type; use it from any thread.

    The check raises :class:`~message_formats.errors.FormatError` for the first violation, without any value.
    """
    catalogue.get(name)

    def check(element: etree._Element) -> None:
        schema = compiled(name)
        if not schema.validate(element):
            raise violation(schema.error_log, element)

    return check


def profile_validator(profile: str | Profile) -> Callable[[etree._Element], None]:
    """A check of request and response bodies against the envelope schema of a SOAP profile, packaged or of somebody's own; KeyError if
    there is none of that name."""
    known = profiles.get(profile) if isinstance(profile, str) else profile
    file = f"{known.profile}.xsd"

    def read() -> bytes:
        from message_formats import wsdl_text

        return _packaged.read_bytes("wsdl", file) if profiles.packaged(known) else wsdl_text.schema(known).encode()

    key = file if profiles.packaged(known) else known

    def check(element: etree._Element) -> None:
        schema = _cached(key, "wsdl", file, read)
        if not schema.validate(element):
            raise violation(schema.error_log, element)

    return check


def wsdl_path(profile: str) -> str:
    """Where the packaged WSDL lies, for tools that want a file name; it imports its schemas by relative path."""
    return str(_packaged.path("wsdl", f"{profile}.wsdl"))
