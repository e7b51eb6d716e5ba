"""The decision: may this go from here to there, for this, and which items of it? Pure: a policy and a request in, permit or refusal out.

Deny by default: what no permission of the policy names is refused. A refusal names the rule and, for people, says why in Japanese and
English (:mod:`gateway.policy.explain`); neither holds anything of the message but names of items. Costs a few microseconds; the gateway
keeps what it decided for as long as version, day and request are the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from gateway.policy.model import Article, Permission, Policy
from gateway.policy.rules import forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked."""

    message_type: str
    producer: str
    consumer: str
    on: dt.date
    """The day on which it is handed over (business time, Japan)."""
    work: str | None = None
    """What for (事務), as the producer claims; None: as the way says, if it says one thing."""
    basis: str | None = None
    """The legal basis, as the producer claims; it must be one of the way's (the way's own counts)."""
    items: frozenset[str] | None = None
    """Leaves that are demanded; None: whatever the message holds, to be filtered."""
    protected: bool = False
    """The resident is under support measures (支援措置); of several, one of them."""
    listed: bool = False
    """The message names several persons, of whom one is meant."""
    deceased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """It may go, with exactly these items."""

    permission: Permission
    items: frozenset[str]
    basis: tuple[Article, ...]
    """In force on the day."""
    work: str | None
    whole: bool
    """Every item of the type."""
    withheld: frozenset[str] = frozenset()
    """Left out because the resident is protected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """It may not go."""

    code: str
    rule: str
    """The control or article that it would break."""
    names: tuple[str, ...] = ()
    """Items, works or articles that the refusal is about; never values."""


Decision = Permit | Refuse
DECEASED_REFUSED = frozenset({"destination-information"})
"""Of a deceased person these are refused (C-3-7-4)."""


def decide(policy: Policy, request: Request) -> Decision:
    """Permit with the exact items, or refuse with the rule."""
    candidates = policy.permissions.get((request.message_type, request.producer, request.consumer))
    if candidates is None:
        rule = forbidden(policy.systems, request.message_type, request.producer, request.consumer)
        return Refuse(code="no-connection", rule=rule or "connections")
    found = _by_work(policy, candidates, request)
    if isinstance(found, Refuse):
        return found
    work = policy.works.get(request.work or found.works[0])
    if work is not None and not work.active:
        return Refuse(code="work-inactive", rule="recipients", names=(work.id,))
    if not found.approved:
        return Refuse(code="not-approved", rule="C-1-3-1", names=found.works)
    if not found.period.holds(request.on):
        return Refuse(code="outside-period", rule="C-1-3-1", names=(str(found.period),))
    basis = _in_force(policy, found, request)
    if request.basis is not None:
        claimed = tuple(a for a in basis if a.cite == request.basis)
        if not claimed:
            known = any(a.cite == request.basis for a in found.basis)
            return Refuse(code="basis-not-in-force" if known else "basis-wrong", rule="番号法第19条・C-1-5-4", names=(request.basis,))
        basis = claimed
    elif found.basis and not basis:
        return Refuse(code="basis-not-in-force", rule="番号法第19条・C-1-5-4", names=tuple(a.cite for a in found.basis))
    if request.deceased and request.message_type in DECEASED_REFUSED:
        return Refuse(code="deceased", rule="C-3-7-4")
    withheld: frozenset[str] = frozenset()
    if request.protected:
        if found.refuse_protected or (found.refuse_protected_list and request.listed):
            return Refuse(code="protected", rule="支援措置")
        withheld = found.withheld & found.items
    items = found.items - withheld if withheld else found.items
    if request.items is not None:
        excess = request.items - items
        if excess:
            return Refuse(code="item-not-permitted", rule="C-1-5-4", names=tuple(sorted(excess)))
        items = request.items
    whole = found.whole and not withheld and request.items is None
    return Permit(permission=found, items=items, basis=basis, work=work.id if work else None, whole=whole, withheld=withheld)


def _by_work(policy: Policy, candidates: tuple[Permission, ...], request: Request) -> Permission | Refuse:
    """The one permission that the request means."""
    if request.work is None:
        if len(candidates) == 1:
            return candidates[0]
        return Refuse(code="work-missing", rule="C-1-3-5")
    for each in candidates:
        if request.work in each.works:
            return each
    work = policy.works.get(request.work)
    if work is not None and not work.carried:
        return Refuse(
            code="not-carried", rule="C-M-6-24" if work.method == "network" or work.kind == "inquirer" else "提供方法", names=(work.id,)
        )
    return Refuse(code="work-wrong", rule="C-1-3-5", names=(request.work,) if work is not None else ())


def _in_force(policy: Policy, found: Permission, request: Request) -> tuple[Article, ...]:
    """The articles that count on the day: of the work, where one is named, else of the whole way."""
    basis = found.basis
    if request.work is not None and len(found.works) > 1 and (work := policy.works.get(request.work)) is not None and work.basis:
        basis = work.basis
    return tuple(a for a in basis if a.period.holds(request.on))
