"""Packaged data: the only thing that this package reads from outside its code."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from message_formats.errors import FormatError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ROOT: Traversable = files("message_formats")


def path(*parts: str) -> Traversable:
    """A packaged file or folder."""
    return _ROOT.joinpath(*parts)


def read_bytes(*parts: str) -> bytes:
    """The content of a packaged file."""
    return path(*parts).read_bytes()


def load_yaml(*parts: str) -> Any:
    """A packaged YAML file."""
    return parse_yaml(read_bytes(*parts))


def parse_yaml(data: bytes | str) -> Any:
    """YAML text; plain values only.

    :raises FormatError: ``layout``, with the line, where it is not YAML.
    """
    try:
        return yaml.load(data, Loader=_LOADER)  # noqa: S506 - a safe loader, the C one where it is there
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that the calendar does not have
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark is not None else "-"
        raise FormatError("layout", place, "yaml", "not YAML, or nested too deep") from None


def names(folder: str, suffix: str, *below: str) -> tuple[str, ...]:
    """Names without ``suffix`` of the files in a packaged folder, sorted."""
    return tuple(sorted(entry.name.removesuffix(suffix) for entry in path(folder, *below).iterdir() if entry.name.endswith(suffix)))
