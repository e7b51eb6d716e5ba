"""Items of messages as paths, and the item filter: what a recipient may not have is not in what is sealed for it (I7).

A path names a leaf: ``sex``, ``resident_items/head_name``; a group names all of its leaves. Repetitions of a group share their paths. The
filter works on the message that was read and checked, never on text; where it takes nothing out, the bytes are those of the message.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from message_formats import catalogue
from message_formats.catalogue import Item
from message_formats.message import Message

_PLACE = re.compile(r"\[[0-9]+\]")
_PLACES = frozenset({"text", "postal-code", "municipality-code", "digits"})
_WHERE = re.compile(r"address|domicile|postal_code|town_code|municipality|place_")


def _walk(items: Iterable[Item], prefix: str = "") -> Iterator[tuple[str, Item]]:
    for item in items:
        path = f"{prefix}{item.id}"
        if item.items:
            yield from _walk(item.items, f"{path}/")
        else:
            yield path, item


@functools.cache
def leaves(message_type: str) -> Mapping[str, Item]:
    """Every leaf of a message type, by path."""
    return dict(_walk(catalogue.get(message_type).items))


@functools.cache
def every(message_type: str) -> frozenset[str]:
    """The paths of all leaves."""
    return frozenset(leaves(message_type))


def numbers(message_type: str) -> frozenset[str]:
    """The leaves that hold an Individual Number."""
    return frozenset(path for path, item in leaves(message_type).items() if item.kind == "individual-number")


@functools.cache
def locating(message_type: str) -> frozenset[str]:
    """The leaves that say where somebody lives, lived or is registered: what support measures (支援措置) protect."""
    return frozenset(path for path, item in leaves(message_type).items() if item.kind in _PLACES and _WHERE.search(path.rpartition("/")[2]))


def expand(message_type: str, named: Iterable[str]) -> frozenset[str]:
    """The leaves that ``named`` paths stand for.

    :raises KeyError: a path that the type does not have.
    """
    known = leaves(message_type)
    found: set[str] = set()
    for path in named:
        below = {leaf for leaf in known if leaf == path or leaf.startswith(f"{path}/")}
        if not below:
            raise KeyError(path)
        found |= below
    return frozenset(found)


def required_missing(message_type: str, permitted: frozenset[str]) -> tuple[str, ...]:
    """Items that the type's schema requires and that would be left out: with any of them the far side would refuse every message."""

    def missing(items: Iterable[Item], prefix: str) -> Iterator[str]:
        for item in items:
            path = f"{prefix}{item.id}"
            if not item.items:
                if item.required and path not in permitted:
                    yield path
            elif any(leaf.startswith(f"{path}/") for leaf in permitted):
                yield from missing(item.items, f"{path}/")
            elif item.required:
                yield path

    return tuple(missing(catalogue.get(message_type).items, ""))


def present(message: Message) -> tuple[str, ...]:
    """The leaves that a message holds, in the order of its type, each once."""
    found = [path for path, value in message.items.items() if value is not None and "@" not in path]
    if message.type_name in _repeating():
        return tuple(dict.fromkeys(_PLACE.sub("", path) for path in found))
    return tuple(found)


@functools.cache
def _repeating() -> frozenset[str]:
    """Types in which something repeats, so that paths have positions."""

    def repeats(items: Iterable[Item]) -> bool:
        return any(item.repeats > 1 or repeats(item.items) for item in items)

    return frozenset(kind.name for kind in catalogue.all_types() if repeats(kind.items))


@dataclass(frozen=True, slots=True)
class Filtered:
    """What came through the filter."""

    content: bytes
    items: tuple[str, ...]
    """Leaves that are in it."""
    removed: tuple[str, ...] = ()
    """Leaves that were in the message and are not in it."""


class Plan:
    """The filter for one set of permitted leaves of one type; made once for each decision. Callable from any thread."""

    __slots__ = ("_tree", "permitted", "whole")

    def __init__(self, message_type: str, permitted: frozenset[str]) -> None:
        self.permitted = permitted
        self.whole = permitted >= every(message_type)
        self._tree: dict[str, dict[str, object]] = {}
        for path in permitted:
            branch = self._tree
            for step in path.split("/"):
                branch = branch.setdefault(step, {})  # type: ignore[assignment]

    def apply(self, message: Message) -> Filtered:
        """The bytes for the recipient: those of the message where nothing is to be taken out."""
        held = present(message)
        if self.whole or self.permitted.issuperset(held):
            return Filtered(message.to_bytes(), held)
        root = copy.deepcopy(message.root)
        self._prune(root, self._tree)
        kept = tuple(path for path in held if path in self.permitted)
        content = etree.tostring(root, encoding="UTF-8", xml_declaration=False)
        return Filtered(content, kept, tuple(path for path in held if path not in self.permitted))

    def _prune(self, element: etree._Element, tree: Mapping[str, object]) -> None:
        for child in list(element):
            branch = tree.get(str(child.tag).rpartition("}")[2])
            if branch is None:
                element.remove(child)
            elif len(child):
                assert isinstance(branch, dict)
                self._prune(child, branch)
                if not len(child):
                    element.remove(child)  # a group of which nothing is left
