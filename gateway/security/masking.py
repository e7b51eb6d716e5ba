"""A payload with its values masked: what form it has can be seen, whom it is about cannot (C-1-3-29).

Every value keeps its length and the kind of each character: a digit becomes 0, a Latin letter A or a, hiragana あ, katakana カ, a Chinese
character 漢, anything else ＊. Names of elements and what separates (hyphens, slashes, dots, spaces) stay. What is no XML is masked whole.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from lxml import etree

_STAYS = frozenset(" \t\r\n-－/／.．:：,、()（）")


def masked(content: bytes) -> bytes:
    """``content`` in UTF-8, masked; never raises, whatever it is given."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        return mask(content.decode("utf-8", errors="replace")).encode()
    for element in root.iter():
        if not isinstance(element.tag, str):
            element.text = mask(element.text or "")  # a comment or a processing instruction
        elif element.text:
            element.text = mask(element.text)
        if element.tail:
            element.tail = mask(element.tail)
        for name, value in element.attrib.items():
            element.attrib[name] = mask(str(value))
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True))


def masked_at(content: bytes, paths: Collection[str]) -> bytes:
    """``content`` with the values of these leaves masked (``resident_items/address``), wherever they repeat; what is no XML whole."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_comments=True)
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        return masked(content)
    for element in root.iter():
        if isinstance(element.tag, str) and element.text and _path(element) in paths:
            element.text = mask(element.text)
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _path(element: etree._Element) -> str:
    steps = [etree.QName(element).localname, *(etree.QName(each).localname for each in element.iterancestors())]
    return "/".join(reversed(steps[:-1]))


def mask(text: str) -> str:
    """One value, masked."""
    return "".join(_masked(character) for character in text)


def _masked(character: str) -> str:
    if character in _STAYS:
        return character
    kind = unicodedata.category(character)
    if kind.startswith("N"):
        return "0"
    if kind == "Lu":
        return "A"
    if kind == "Ll":
        return "a"
    name = unicodedata.name(character, "")
    if name.startswith("HIRAGANA"):
        return "あ"
    if "KATAKANA" in name:
        return "カ"
    return "漢" if name.startswith("CJK") else "＊"
