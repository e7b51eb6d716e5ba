"""Entry points, each name once. Imports next to nothing: the start of every command passes through here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from gateway.errors import ConfigurationError


def unique_points(group: str, points: Iterable[EntryPoint] | None = None) -> list[EntryPoint]:
    """The entry points of ``group`` by name.

    :raises ConfigurationError: ``plugin-twice``: two distributions offer the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group) if points is None else points, key=lambda point: (point.name, distribution_of(point))):
        other = found.setdefault(point.name, point)
        if other is not point and (distribution_of(other), other.value) != (distribution_of(point), point.value):
            raise ConfigurationError(
                "plugin-twice",
                f'both {distribution_of(other)} and {distribution_of(point)} offer "{point.name}" for {group}; uninstall one of them',
            )
    return list(found.values())


def distribution_of(point: EntryPoint) -> str:
    """Name of the distribution that declares it."""
    return point.dist.name if point.dist is not None else "an unnamed distribution"
