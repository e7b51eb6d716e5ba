"""The operators' API of the gateway process, put together."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from gateway.admin.app import create_app
from gateway.admin.app import serve as serve_admin
from gateway.admin.books import LedgerBooks
from gateway.admin.feeds import LedgerFeeds
from gateway.admin.flows import LedgerFlows
from gateway.admin.identity import Operators, rights_of
from gateway.admin.keys import KeyAdmin
from gateway.admin.ledger_accounts import LedgerAccounts
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.ledger_service import LedgerAdminService
from gateway.admin.media import LedgerMedia
from gateway.admin.network import LedgerNetwork
from gateway.admin.policy import PolicyAdmin
from gateway.admin.reconciliation import LedgerReconciliations
from gateway.admin.reports import LedgerReports
from gateway.admin.retention import LedgerRetention
from gateway.audit.service import LedgerAuditRecord
from gateway.bootstrap.base import Base, destinations_of, results_of, traits_of
from gateway.bootstrap.feeds import expected_feeds
from gateway.config import Config
from gateway.flows.model import flows
from gateway.flows.tracker import Tracker
from gateway.intake.admit import Answer
from gateway.intake.submission import Submission
from gateway.operations.key_custodian import KeyCustodian
from gateway.policy.routes import tables
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.keeper import Keeper
from gateway.security.sealing import Sealer
from gateway.trust import listener_context


async def serve_operators(
    config: Config,
    common: Base,
    stack: contextlib.AsyncExitStack,
    *,
    seals: Sealer,
    calendar: BusinessCalendar,
    keeper: Keeper,
    custodian: KeyCustodian,
    tracker: Tracker,
    hand_in: Callable[[Submission], Awaitable[Answer]],
) -> None:
    """Serve what operators see and do until ``stack`` is closed; ``hand_in``: what was refused at a door, once it is released."""
    ledger = common.ledger
    service = LedgerAdminService(
        config,
        ledger,
        common.keys,
        common.parties,
        traits_of,
        broker=common.publisher,
        depth=common.consumer.depth,
        sealer=seals,
        rights=common.rights,
    )
    admin = config.admin
    configured = {name: rights_of(operator) for name, operator in admin.operators.items()}
    accounts = LedgerAccounts(ledger, configured, unused_days=admin.unused_days)
    await accounts.take_over()
    stack.push_async_callback(accounts.close)
    desk = LedgerDesk(
        ledger,
        seals,
        service.traits_of,
        entitled=accounts.entitled,
        hand_in=hand_in,
        results=results_of(common, seals),
        request_s=admin.request_s,
    )
    accounts.serve_at(desk)
    policy = PolicyAdmin(ledger, common.keys, common.rights, tables())
    policy.serve_at(desk)
    retention = LedgerRetention(ledger, keeper, desk, common.parties)
    stack.push_async_callback(retention.close)
    media = LedgerMedia(ledger, desk, {name: (str(each.directory), frozenset(each.types)) for name, each in config.media.items()})
    reconciliations = LedgerReconciliations(ledger, common.keys, desk, common.parties, tables())
    await desk.resume()
    app = create_app(
        service,
        desk,
        Operators.of(config, accounts, common.authority),
        keys=KeyAdmin(ledger, common.keys, custodian, tables(), destinations_of(config)),
        policy=policy,
        audit=LedgerAuditRecord(ledger, common.parties),
        reports=LedgerReports(
            ledger,
            without=tables().ephemeral,
            systems={name: tuple(system.suppliers) for name, system in config.intake.systems.items()},
        ),
        network=LedgerNetwork(ledger),
        retention=retention,
        reconciliations=reconciliations,
        media=media,
        feeds=LedgerFeeds(ledger, expected_feeds(config, calendar)),
        flows=LedgerFlows(ledger, tracker.machine, flows()),
        books=LedgerBooks(ledger),
        witness=common.refusals,
    )
    tls = listener_context(config, admin.certificate)
    stack.push_async_callback(
        (await serve_admin(app, host=admin.host, port=admin.port, tls=tls, witness=common.refusals, authority=common.authority)).cleanup
    )
