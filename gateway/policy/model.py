"""The policy as values: what one version of the tables says, ready to be decided by. Immutable, shared by threads.

Words: a *work* (事務) is what a message is handed over for; a *permission* is one way (message type, producer, consumer) with one set of
works, a legal basis and items; an *approval* is what the resident-register administrator allowed a work to have (C-1-3-1).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

WorkKind = Literal["flow", "provision", "transfer", "inquirer"]
Triple = tuple[str, str, str]
"""(message type, producer, consumer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days, both ends included; None is open."""

    since: dt.date | None = None
    until: dt.date | None = None

    def holds(self, day: dt.date) -> bool:
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)

    def __str__(self) -> str:
        return f"{self.since or ''}…{self.until or ''}"


ALWAYS = Period()


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """A legal basis, as it is cited. ``tied``: the assessment ties it to the work; else it is assigned by content."""

    cite: str
    tied: bool = True
    period: Period = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system of the specification."""

    id: str
    ja: str
    en: str
    in_house: bool
    number_never: bool = False
    """It must never hold or see the Individual Number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What something is handed over for."""

    id: str
    kind: WorkKind
    ja: str
    en: str
    basis: tuple[Article, ...]
    law: str = ""
    recipients: tuple[str, ...] = ()
    status: str = "active"
    method: str = "line"
    """``line``, ``network`` (information-provision network) or ``paper``; only the first is the gateway's."""
    table: str = ""
    """The item of 別表第一, 別表第二 or the ordinance's 別表第2."""
    ordinance: str | None = None
    printed_items: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        return self.status == "active"

    @property
    def carried(self) -> bool:
        """What the gateway may hand over itself: inquiries over the network are the intermediate server's, paper is nobody's."""
        return self.kind != "inquirer" and self.method == "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What may be handed over on one way for one set of works: every item in ``items`` (paths of leaves), nothing else."""

    id: str
    message_type: str
    producer: str
    consumer: str
    leg: str
    works: tuple[str, ...]
    basis: tuple[Article, ...]
    items: frozenset[str]
    whole: bool
    """Every item of the type's closed schema."""
    withheld: frozenset[str] = frozenset()
    """Left out for a resident under support measures."""
    refuse_protected: bool = False
    refuse_protected_list: bool = False
    """Refused where a resident under support measures is one of several whom the message names."""
    decided: bool = False
    """No step of the specification, but a decision of this project."""
    excess: Literal["filter", "refuse"] = "filter"
    """What becomes of a message that holds more: the rest is left out, or the whole is refused."""
    approved: bool = True
    """False: it needs an approval and there is none."""
    period: Period = ALWAYS

    @property
    def triple(self) -> Triple:
        return (self.message_type, self.producer, self.consumer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of the whole."""

    version: int
    """0 is the packaged one; applied ones count from 1."""
    digest: str
    name: str
    systems: Mapping[str, System]
    works: Mapping[str, Work]
    permissions: Mapping[Triple, tuple[Permission, ...]]
    sample: bool = False
    """It holds sample approvals: not for production."""
    document: str = field(default="", repr=False)
    """Canonical JSON of what it was made from."""
    by_work: Mapping[str, tuple[Permission, ...]] = field(default_factory=dict, repr=False)

    @property
    def triples(self) -> frozenset[Triple]:
        return frozenset(self.permissions)
