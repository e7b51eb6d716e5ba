"""The typed message that reading gives."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from message_formats import catalogue, dates
from message_formats.catalogue import MessageType


class Message:
    """One message that has passed every check of its format. Prints without content (I5).

    :ivar items: item id → value, ``None`` for an optional item that is not there. The wording of an unknown date stands under
        ``<item>@text``; what is inside a group under ``group/item``, with positions ``group[2]/item`` where it repeats.
    :ivar identifiers: (kind, value) of every identifier of the person whom the message is about, the type's key first.
    :ivar party_key: the party's own key of the record (依頼管理番号), where the type has one.
    :ivar root: the element; do not change it.
    """

    __slots__ = ("identifiers", "items", "party_key", "root", "type_name", "version")

    def __init__(
        self,
        *,
        type_name: str,
        version: int,
        items: Mapping[str, str | None],
        identifiers: tuple[tuple[str, str], ...],
        party_key: str | None,
        root: etree._Element,
    ) -> None:
        self.type_name = type_name
        self.version = version
        self.items = items
        self.identifiers = identifiers
        self.party_key = party_key
        self.root = root

    @property
    def type(self) -> str:
        """The name of the message type."""
        return self.type_name

    @property
    def message_type(self) -> MessageType:
        """Its entry in the catalogue."""
        return catalogue.get(self.type_name)

    def date(self, item: str) -> dates.DomainDate | None:
        """A date item, typed; None where it is not there."""
        value = self.items[item]
        return None if value is None else dates.parse(value, self.items.get(f"{item}@text"), f"/{self.root.tag}/{item}")

    def to_bytes(self) -> bytes:
        """The XML in UTF-8, without declaration."""
        return etree.tostring(self.root, encoding="UTF-8", xml_declaration=False)

    def canonical(self) -> bytes:
        """Exclusive canonical XML: equal for messages that differ in nothing but lexical form."""
        return etree.tostring(self.root, method="c14n", exclusive=True)

    def __repr__(self) -> str:
        return f"Message({self.type_name!r}, version={self.version}, items={len(self.items)})"
