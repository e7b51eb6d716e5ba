"""The kinds of requests: who may ask, who may decide, and when what was approved is carried out. One table for commands, API and console.

A request names what its author saw (a digest), why, and ends after a while. Whoever decides is another person than the one who asked,
holds the role at that moment, and names the digest of what was looked at. Roles do not contain one another.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Role(enum.StrEnum):
    """What an operator may do. Roles do not contain one another: to look and to act are separate rights (C-1-3-16)."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


class Kind(enum.StrEnum):
    """What can be asked for."""

    RETRY = "retry"
    CORRECT = "correct"
    SKIP = "skip"
    SETTLE = "settle"
    RELEASE = "release"
    BY_HAND = "by-hand"
    BULK_OUTPUT = "bulk-output"
    REVEAL = "reveal"
    QUARANTINE_RELEASE = "quarantine-release"
    QUARANTINE_DISCARD = "quarantine-discard"
    POLICY_CHANGE = "policy-change"
    OPERATOR_RIGHTS = "operator-rights"
    PURGE = "purge"
    RESTORE_RELEASE = "restore-release"
    RECONCILIATION_CORRECTION = "reconciliation-correction"
    MEDIUM_OUTPUT = "medium-output"


class Effect(enum.Enum):
    """When it is carried out."""

    AT_ONCE = "at once"
    """By one person; kept as a request for the record only."""
    ON_APPROVAL = "on approval"
    """In the transaction of the approval, which checks again."""
    AFTERWARDS = "afterwards"
    """The approval permits it once; it is carried out after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRule:
    """How one kind is handled."""

    asks: frozenset[Role]
    decides: frozenset[Role] = frozenset()
    effect: Effect = Effect.ON_APPROVAL


_OPERATOR, _APPROVER = frozenset({Role.OPERATOR}), frozenset({Role.APPROVER})
_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})

RULES: Mapping[Kind, KindRule] = {
    Kind.RETRY: KindRule(asks=_OPERATOR, effect=Effect.AT_ONCE),
    Kind.CORRECT: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.SKIP: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.SETTLE: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.RELEASE: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.BY_HAND: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.BULK_OUTPUT: KindRule(asks=_OPERATOR, decides=_APPROVER, effect=Effect.AFTERWARDS),
    Kind.REVEAL: KindRule(asks=_OPERATOR | {Role.AUDITOR}, decides=_APPROVER, effect=Effect.AFTERWARDS),
    Kind.QUARANTINE_RELEASE: KindRule(asks=_OPERATOR, decides=_APPROVER, effect=Effect.AFTERWARDS),
    Kind.QUARANTINE_DISCARD: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.POLICY_CHANGE: KindRule(asks=_ADMINISTRATOR, decides=_APPROVER),
    Kind.OPERATOR_RIGHTS: KindRule(asks=_OPERATOR | _ADMINISTRATOR, decides=_ADMINISTRATOR),
    Kind.PURGE: KindRule(asks=_ADMINISTRATOR, decides=_APPROVER, effect=Effect.AFTERWARDS),
    Kind.RESTORE_RELEASE: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.RECONCILIATION_CORRECTION: KindRule(asks=_OPERATOR, decides=_APPROVER),
    Kind.MEDIUM_OUTPUT: KindRule(asks=_OPERATOR, decides=_APPROVER, effect=Effect.AFTERWARDS),
}


def needs_two(kind: Kind) -> bool:
    """A second person must approve it."""
    return RULES[kind].effect is not Effect.AT_ONCE


SEVERAL_ASK: frozenset[Role] = frozenset().union(*(rule.asks for rule in RULES.values()))
SEVERAL_DECIDE: frozenset[Role] = frozenset().union(*(rule.decides for rule in RULES.values()))
"""Roles that may decide something; which, the kind of each request says."""
