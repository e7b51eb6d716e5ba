"""Reading YAML for the configuration: every value knows its line, a key that stands twice is refused, and nothing is guessed.

PyYAML's own loader keeps the last of two equal keys and forgets where a value stood. This one walks the node tree instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Place = tuple[str | int, ...]
"""The way to a value: ``("parties", "city-cs", "retry")``; list items by their index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a configuration file: where, and what to do. Holds no value of the file."""

    place: Place
    text: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{spell(self.place)}: {self.text}" if self.place else f"{where}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file: its data, the line of every key and item (from 1), and what was wrong already in the writing."""

    data: Any
    lines: dict[Place, int]
    problems: tuple[Problem, ...]

    def line(self, place: Place) -> int | None:
        """The line of ``place``, or of the nearest thing around it that stands in the file."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None

    def strings(self) -> Iterator[tuple[Place, str]]:
        """All text values with their places."""
        yield from _strings(self.data, ())


def spell(place: Place) -> str:
    """``parties.city-cs.limits`` or ``intake.systems.x.doors[0]``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def parse(text: str) -> Document:
    """Parse one YAML document. Problems of the writing are listed in the result, not raised."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        return Document(data={}, lines={}, problems=(Problem(place=(), text=f"not YAML: {error.problem or 'unreadable'}", line=line),))
    except yaml.YAMLError:
        return Document(data={}, lines={}, problems=(Problem(place=(), text="not YAML: a character that YAML does not allow"),))
    if root is None:
        return Document(data={}, lines={(): 1}, problems=())
    walk = _Walk()
    data = walk.value(root, (), frozenset())
    return Document(data=data, lines=walk.lines, problems=tuple(walk.problems))


def read(path: Path) -> Document:
    """Read and parse a file; :raises OSError: it cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return Document(data={}, lines={}, problems=(Problem(place=(), text="not UTF-8; save the file as UTF-8"),))


class _Walk:
    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []
        self._scalars = yaml.SafeLoader("")

    def value(self, node: Node, place: Place, around: frozenset[int]) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in around:
            self._problem(node, place, "refers to itself")
            return None
        around |= {id(node)}
        if isinstance(node, MappingNode):
            return self._mapping(node, place, around)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*place, index), around) for index, item in enumerate(node.value)]
        try:
            # Plain scalars by YAML's rules; a tag of another kind is an error of the writing.
            return self._scalars.construct_object(node)
        except (ConstructorError, ValueError):
            self._problem(node, place, "not a value that a configuration can have; quote it if it is text")
            return None

    def _mapping(self, node: MappingNode, place: Place, around: frozenset[int]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None:
                self._problem(key_node, place, "a key must be text")
                continue
            inside = (*place, key)
            if key in result:
                self._problem(key_node, inside, f"stands here a second time (first on line {self.lines[inside]}); remove one")
                continue
            self.lines[inside] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, inside, around)
        return result

    def _problem(self, node: Node, place: Place, text: str) -> None:
        self.problems.append(Problem(place=place, text=text, line=node.start_mark.line + 1))


def _strings(data: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(data, str):
        yield place, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _strings(value, (*place, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _strings(value, (*place, index))
