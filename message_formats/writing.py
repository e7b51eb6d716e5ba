"""From items to XML, the way back from :mod:`message_formats.reading`; checked by reading it again."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

from message_formats import catalogue, reading
from message_formats.catalogue import Item
from message_formats.errors import FormatError
from message_formats.message import Message

_NOT_SIMPLE = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")
_STEP = re.compile(r"(?P<id>[a-z0-9_]+)(?:\[(?P<place>[0-9]+)\])?")


def write(name: str, items: Mapping[str, str | None], *, limits: reading.Limits = reading.DEFAULT) -> Message:
    """A message from its items (the keys of :attr:`Message.items`), put in the order of the type, and checked like one from outside.

    :raises FormatError: also for a key that the type does not have.
    """
    text = _rendered(name, items)
    root = element(name, items) if text is None else reading.parse(text, limits)
    return reading.accept(root, expected=name, limits=limits)


@functools.cache
def _tags(name: str) -> tuple[str, dict[str, tuple[str, str]], str] | None:
    """What stands before, around and after the items of a type that has neither groups nor repetitions."""
    message_type = catalogue.get(name)
    if any(item.items or item.repeats > 1 for item in message_type.items):
        return None
    around = {item.id: (f"<{item.id}>", f"</{item.id}>") for item in message_type.items}
    return f'<{message_type.root} xmlns="{message_type.schema}">', around, f"</{message_type.root}>"


def _rendered(name: str, items: Mapping[str, str | None]) -> bytes | None:
    """The XML as text, four times as fast as element by element; None where a type or value is not as simple as that."""
    tags = _tags(name)
    if tags is None:
        return None
    opening, around, closing = tags
    parts, used = [opening], 0
    for item, (before, after) in around.items():
        value = items.get(item)
        if value is not None:
            parts += (before, value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), after)
            used += 1
    if used != len(items) - list(items.values()).count(None):
        return None  # wordings of unknown dates, or items that the type does not have
    parts.append(closing)
    text = "".join(parts)
    return None if _NOT_SIMPLE.search(text) else text.encode()


def element(name: str, items: Mapping[str, str | None]) -> etree._Element:
    """The element of a message, not yet checked against its schema.

    :raises FormatError: ``item-unexpected`` for a key that the type does not have; ``character-forbidden`` for what XML cannot hold.
    """
    message_type = catalogue.get(name)
    prefixes: Any = {None: message_type.schema}
    root = etree.Element(message_type.tag, nsmap=prefixes)
    values = {key: value for key, value in items.items() if value is not None}
    _fill(root, message_type.items, "", values, f"/{message_type.root}/")
    if values:
        raise FormatError("item-unexpected", f"/{message_type.root}/*", "catalogue", "an item that the type does not have")
    return root


def _fill(parent: etree._Element, items: tuple[Item, ...], path: str, values: dict[str, str], place: str) -> None:
    schema = str(parent.tag).partition("}")[0] + "}"
    for item in items:
        for key in _keys(item, path, values):
            below = f"{path}{key}/"
            if item.items:
                if any(known.startswith(below) for known in values):
                    _fill(etree.SubElement(parent, schema + item.id), item.items, below, values, f"{place}{key}/")
                continue
            value = values.pop(path + key, None)
            if value is None:
                continue
            child = etree.SubElement(parent, schema + item.id)
            try:
                child.text = value
                text = values.pop(f"{path}{key}@text", None)
                if text is not None:
                    child.set("text", text)
            except ValueError:
                raise FormatError("character-forbidden", place + key, "xml", "a character that XML cannot hold") from None


def _keys(item: Item, path: str, values: Mapping[str, str]) -> list[str]:
    """``item`` for what stands once, ``item[1]``, ``item[2]``… for what repeats, as far as there are any."""
    if item.repeats == 1:
        return [item.id]
    found = set()
    for known in values:
        if known.startswith(path):
            step = _STEP.match(known, len(path))
            if step is not None and step["id"] == item.id:
                found.add(int(step["place"] or 1))
    return [f"{item.id}[{place}]" for place in sorted(found)]
