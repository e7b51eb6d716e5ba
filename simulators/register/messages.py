"""A message of the register, and the replacement of one that is held."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from typing import Literal

from lxml import etree

from message_formats import catalogue
from simulators.references import References, subject_code

Door = Literal["amqp", "https"]

NAMESPACE = "urn:renkei:format:identity-information-update:1"
TYPE = "identity-information-update"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message as it is handed to the gateway. ``id`` and ``content`` never change, however often it is sent."""

    id: str
    type: str
    resident: str
    """Keyed reference, see :mod:`simulators.references`."""
    update: int | None
    abnormal: int | None
    request: str
    time: str
    content: bytes = field(repr=False)
    corrects: str | None = None
    operator: str = "sim-operator"
    terminal: str = "sim-terminal"
    municipality: str | None = None
    """At the other end, where a party relays to several."""
    door: Door | None = None
    """The only door for it; None: the resident's."""
    source: str = "resident-record-system"
    """The system that hands it in."""

    @property
    def lane(self) -> str:
        """What is handed in one after the other: the updates of a resident, and each other type about somebody."""
        return self.resident if self.type == TYPE else f"{self.resident}.{self.type}"

    def handled_by(self, operator: str, terminal: str) -> Outgoing:
        """The same, as entered by this operator at this terminal (staff ids)."""
        return replace(self, operator=operator, terminal=terminal)

    def attributes(self) -> dict[str, str]:
        """The CloudEvents attributes, without prefix."""
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "source": f"/{self.source}",
            "type": self.type,
            "time": self.time,
            "operator": self.operator,
            "terminal": self.terminal,
        }
        if self.municipality is not None:
            attributes["municipality"] = self.municipality
        if self.corrects is not None:
            attributes["corrects"] = self.corrects
        return attributes


def random_looking_id(*parts: str) -> str:
    """A UUID (version 4 in form) that follows from ``parts``: the same at every run with the same parts."""
    digest = hashlib.blake2b("\x00".join(parts).encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def read_items(content: bytes) -> dict[str, str]:
    """The items of a message by their id."""
    return {etree.QName(item).localname: item.text or "" for item in etree.fromstring(content, _PARSER)}


def outgoing(content: bytes, *, id: str, time: str, references: References, corrects: str | None = None) -> Outgoing:
    """A message from its XML."""
    items = read_items(content)
    abnormal = items.get("abnormal_update_sequence_number")
    return Outgoing(
        id=id,
        type=TYPE,
        resident=references.of(subject_code(items)),
        update=int(items["update_sequence_number"]),
        abnormal=int(abnormal) if abnormal else None,
        request=items["request_control_number"],
        time=time,
        content=content,
        corrects=corrects,
    )


def of_type(
    kind: str,
    content: bytes,
    *,
    id: str,
    time: str,
    references: References,
    municipality: str | None = None,
    door: Door | None = None,
    source: str = "resident-record-system",
) -> Outgoing:
    """A message of any other type, from its XML: it is about whom its key item names (:mod:`message_formats.catalogue`)."""
    element: etree._Element | None = etree.fromstring(content, _PARSER)
    for step in (catalogue.get(kind).key_item or "").split("/"):
        element = element.find(f"{{*}}{step}") if element is not None and step else None
    resident = references.of(element.text) if element is not None and element.text else references.of(id)
    return Outgoing(
        id=id, type=kind, resident=resident, update=None, abnormal=None, request="", time=time, content=content, municipality=municipality,
        door=door, source=source,
    )  # fmt: skip


def replacement(held_id: str, content: bytes, *, time: str, abnormal: int, references: References) -> Outgoing:
    """What the register sends for a message that is held: the same 更新順番号, the next 異常時更新順番号, a new 依頼管理番号 (R4).

    :param content: what the message should have said; may be what it did say.
    """
    root = etree.fromstring(content, _PARSER)
    new_id = random_looking_id("replacement", held_id, str(abnormal))
    request = "R" + hashlib.blake2b(new_id.encode(), digest_size=9).hexdigest()
    _item(root, "request_control_number").text = request
    number = root.find(f"{{{NAMESPACE}}}abnormal_update_sequence_number")
    if number is None:
        number = etree.Element(f"{{{NAMESPACE}}}abnormal_update_sequence_number")
        _item(root, "update_sequence_number").addnext(number)
    number.text = str(abnormal)
    new_content = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return outgoing(new_content, id=new_id, time=time, references=references, corrects=held_id)


def _item(root: etree._Element, name: str) -> etree._Element:
    element = root.find(f"{{{NAMESPACE}}}{name}")
    if element is None:
        raise ValueError(f"the message has no {name}")
    return element
