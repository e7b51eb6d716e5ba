"""Policies for tests: the packaged one, with permissions for what a test's own tables let fictitious systems send."""

from __future__ import annotations

import dataclasses
import datetime as dt

from gateway.policy.items import every
from gateway.policy.loading import packaged
from gateway.policy.model import Period, Permission, Policy
from gateway.policy.rights import Rights
from gateway.policy.routes import PolicyTables
from message_formats import catalogue

TODAY = dt.date(2026, 11, 23)


def policy_for(tables: PolicyTables, base: Policy | None = None) -> Policy:
    """``base`` (the packaged policy), and a permission for every connection of ``tables`` that it has none for."""
    policy = base or packaged()
    more = dict(policy.permissions)
    for c in tables.connections:
        triple = (c.message_type, c.sender, c.receiver)
        if triple in more or c.message_type not in catalogue.names():
            continue
        items = every(c.message_type)
        more[triple] = (
            Permission(
                id=":".join(triple), message_type=c.message_type, producer=c.sender, consumer=c.receiver, leg="gateway", works=("F1-1",),
                basis=policy.works["F1-1"].basis, items=items, whole=True, period=Period(since=dt.date(2016, 1, 1)),
            ),
        )  # fmt: skip
    return dataclasses.replace(policy, permissions=more)


def rights_for(tables: PolicyTables, base: Policy | None = None) -> Rights:
    return Rights(policy_for(tables, base))
