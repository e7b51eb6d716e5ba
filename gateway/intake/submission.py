"""Who hands in, and what came through a door: attributes checked, bytes not yet looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.intake.cloudevents import EventAttributes
from gateway.intake.supplies import Presets, Supplier


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One in-house system as the configuration knows it."""

    system: str
    """Spec id."""
    peer: str
    """The name its certificate must carry (subject alternative name, or ``CN=…``)."""
    doors: frozenset[str] = frozenset({"amqp", "https"})
    types: frozenset[str] = frozenset()
    """What it may send here; the connections of the specification narrow this further, nothing widens them."""
    pins: frozenset[str] = frozenset()
    """SHA-256 of the certificates or public keys that it may show; empty: any that bears its name."""
    suppliers: tuple[Supplier, ...] = ()
    """The departments behind it, each with what it may hand in; none: the system itself is the source."""
    preset: Presets = field(default_factory=dict)
    """Items of which only some values may be handed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message as it came through a door: attributes checked, bytes not yet looked at."""

    system: str
    door: str
    attributes: EventAttributes
    data: bytes = field(repr=False)
    supplier: str | None = None
    """The department whose certificate it came with."""
    destination: str | None = None
    """Of the systems that may have the type, the one that this message is for; None: as the routes say."""
    waived: frozenset[str] = frozenset()
    """Rules of checks whose finding two persons looked at and set aside: of :data:`WAIVABLE`, and nothing else."""
