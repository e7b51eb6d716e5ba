"""What is wrong with a policy although its document is well-formed: rules that no policy may break, items that no schema could do without.

A policy with a *fault* is never applied; *remarks* are shown. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.policy.items import numbers, required_missing
from gateway.policy.model import Permission, Policy
from gateway.policy.routes import PolicyTables
from gateway.policy.rules import forbidden, item_rule
from message_formats import catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing. ``fault``: it must be put right before the policy can be applied."""

    code: str
    place: str
    names: tuple[str, ...] = ()
    rule: str = ""
    fault: bool = True


def findings(policy: Policy, tables: PolicyTables | None = None) -> list[Finding]:
    """Everything that is wrong, faults first."""
    found = [*_permissions(policy), *_works(policy), *(_routes(policy, tables) if tables is not None else ())]
    if policy.sample:
        found.append(Finding(code="sample-approvals", place="approvals", fault=False))
    waiting = sorted({w for each in policy.permissions.values() for p in each if not p.approved for w in p.works if policy.works[w].active})
    if waiting:
        found.append(Finding(code="without-approval", place="approvals", names=tuple(waiting), fault=False))
    return sorted(found, key=lambda each: (not each.fault, each.place, each.code))


def _permissions(policy: Policy) -> Iterator[Finding]:
    for triple, each in policy.permissions.items():
        rule = forbidden(policy.systems, *triple)
        if rule is not None:
            yield Finding(code="forbidden-way", place=_place(each[0]), rule=rule)
        for permission in each:
            yield from _items(policy, permission)


def _items(policy: Policy, permission: Permission) -> Iterator[Finding]:
    broken = item_rule(policy.systems, permission)
    if broken is not None:
        yield Finding(code="forbidden-item", place=permission.id, names=broken[1], rule=broken[0])
    kind = catalogue.get(permission.message_type)
    number = permission.items & numbers(permission.message_type)
    if number and kind.individual_number in ("no", "forbidden"):
        yield Finding(code="forbidden-item", place=permission.id, names=tuple(sorted(number)), rule="C-1-3-2")
    if permission.approved:
        for items in (permission.items, permission.items - permission.withheld):
            missing = required_missing(permission.message_type, items)
            if missing:
                yield Finding(code="item-required", place=permission.id, names=missing, rule="xsd")
                break


def _works(policy: Policy) -> Iterator[Finding]:
    for work in policy.works.values():
        permissions = policy.by_work.get(work.id, ())
        if permissions and not work.carried:
            yield Finding(code="work-not-carried", place=f"works.{work.id}", rule="C-M-6-24" if work.method == "network" else "提供方法")
        if not work.active and any(p.approved and p.items and p.works == (work.id,) for p in permissions):
            yield Finding(code="work-inactive", place=f"approvals.{work.id}")


def _routes(policy: Policy, tables: PolicyTables) -> Iterator[Finding]:
    """Every connection that is routed has a permission, or nothing could go over it."""
    for connection in tables.connections:
        triple = (connection.message_type, connection.sender, connection.receiver)
        if connection.message_type in catalogue.names() and triple not in policy.permissions:
            yield Finding(code="connection-without-permission", place=" ".join(triple), fault=False)


def _place(permission: Permission) -> str:
    return f"{permission.message_type}:{permission.producer}:{permission.consumer}"
