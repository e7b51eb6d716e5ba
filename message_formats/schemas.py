"""Compiled schemas, one set for each thread: libxml2's compiled schema is shared by no two threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from lxml import etree

from message_formats import _packaged, catalogue
from message_formats.violations import violation

_local = threading.local()
_compiling = threading.Lock()


class _Packaged(etree.Resolver):
    """Resolves imports to packaged schemas and nothing else: never the network, never another file."""

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]
        name = system_url.rpartition("/")[2]
        folder = "xsd" if (_packaged.path("xsd", name)).is_file() else "wsdl"
        return self.resolve_string(_packaged.read_bytes(folder, name), context, base_url=name)


def _compile(folder: str, file: str) -> etree.XMLSchema:
    parser = etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False)
    parser.resolvers.add(_Packaged())
    # lxml puts its resolver in place of libxml2's one for the whole process while it compiles: two threads would take away each other's
    with _compiling:
        return etree.XMLSchema(etree.fromstring(_packaged.read_bytes(folder, file), parser, base_url=file))


def compiled(name: str) -> etree.XMLSchema:
    """The compiled schema of a message type, this thread's own.

    :raises FormatError: ``unknown-type``.
    """
    return _cached("xsd", f"{catalogue.get(name).name}.xsd")


def _cached(folder: str, file: str) -> etree.XMLSchema:
    try:
        cache: dict[str, etree.XMLSchema] = _local.schemas
    except AttributeError:
        cache = _local.schemas = {}
    if file not in cache:
        cache[file] = _compile(folder, file)
    return cache[file]


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


def profile_validator(profile: str) -> Callable[[etree._Element], None]:
    """A check of request and response bodies against the envelope schema of a SOAP profile; KeyError if there is none of that name."""
    if not _packaged.path("wsdl", f"{profile}.xsd").is_file():
        raise KeyError(profile)

    def check(element: etree._Element) -> None:
        schema = _cached("wsdl", f"{profile}.xsd")
        if not schema.validate(element):
            raise violation(schema.error_log, element)

    return check


def wsdl_path(profile: str) -> str:
    """Where the packaged WSDL lies, for tools that want a file name; it imports its schemas by relative path."""
    return str(_packaged.path("wsdl", f"{profile}.wsdl"))
