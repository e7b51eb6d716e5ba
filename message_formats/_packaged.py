"""Packaged data: the only thing that this package reads from outside its code."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

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
    """YAML text; plain values only."""
    return yaml.load(data, Loader=_LOADER)  # noqa: S506 - a safe loader, the C one where it is there


def names(folder: str, suffix: str, *below: str) -> tuple[str, ...]:
    """Names without ``suffix`` of the files in a packaged folder, sorted."""
    return tuple(sorted(entry.name.removesuffix(suffix) for entry in path(folder, *below).iterdir() if entry.name.endswith(suffix)))
