"""A party's codes in place of ours, and back, in the XML of a message."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from message_formats import catalogue, party_codes
from message_formats.catalogue import Item


def to_party(root: etree._Element, message_type: str, party: str) -> None:
    """Put the party's codes in; changes ``root``.

    :raises FormatError: the party has no code for one of ours.
    """
    codes = party_codes.get(party)
    _translate(root, catalogue.get(message_type).items, catalogue.get(message_type).schema, codes.to_party, "")


def from_party(root: etree._Element, message_type: str, party: str) -> None:
    """Put our codes in; changes ``root``. What is no item of the type is left as it is.

    :raises FormatError: nobody knows one of the party's codes.
    """
    codes = party_codes.get(party)
    _translate(root, catalogue.get(message_type).items, catalogue.get(message_type).schema, codes.from_party, "")


def _translate(
    element: etree._Element, items: tuple[Item, ...], schema: str, translated: Callable[[str, str, str], str], path: str
) -> None:
    known = {f"{{{schema}}}{item.id}": item for item in items}
    for child in element:
        item = known.get(str(child.tag))
        if item is None:
            continue
        place = f"{path}/{item.id}"
        if item.items:
            _translate(child, item.items, schema, translated, place)
        elif item.kind == "code" and child.text:
            child.text = translated(item.parameter, child.text, place)
