"""What one process shows to monitoring: what its page watches, what it must be able to use to be ready, where it listens.

The page comes up before the broker does and goes last, so that one can see what a process waits for. A port that is taken (by a
predecessor that is just ending, or by something else) stops no delivery: it is tried again and again, and logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web
from sqlalchemy import select

from certs.errors import CertificateError
from certs.path import load_certificates, load_crls
from certs.peer import Authority
from gateway.audit.chainer import Chainer
from gateway.broker import Consumer, Publisher
from gateway.config import Config
from gateway.delivery.liveness import Liveness
from gateway.errors import BrokerUnavailable, LedgerUnavailable, Unavailable
from gateway.feeds.watcher import Watcher
from gateway.flows.tracker import Tracker
from gateway.ledger.ledger import Ledger
from gateway.operations.health import Check, Health, Monitors, create_app, serve
from gateway.operations.metrics import FactsReader, Metrics
from gateway.pacing import BulkPace
from gateway.retention.keeper import Keeper
from gateway.security.refusals import Witness

INDEX_VARIABLE: Final = "RENKEI_PROCESS_INDEX"
"""Which of the processes of one machine this is (0: the gateway, 1…: the workers), set by the supervisor: each has its own port."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0

_log = logging.getLogger(__name__)


def process_index(role: str) -> int:
    """Which process this is; started by hand, the gateway is 0 and a worker 1."""
    return int(os.environ.get(INDEX_VARIABLE, "0" if role == "gateway" else "1"))


class Monitoring:
    """Metrics and page of one process. Belongs to its event loop."""

    def __init__(self, config: Config, role: str, ledger: Ledger, facts: FactsReader, metrics: Metrics) -> None:
        self.metrics = metrics
        self.checks: dict[str, Check] = {}
        """What this process needs, by name; whoever opens something adds how to look whether it can be used."""
        self._config = config
        self._ledger = ledger
        self._health = Health(
            instance=config.instance, role=role, metrics=metrics, checks=self.checks, facts=facts, alive=lambda: ledger.writer.running
        )
        self._port = config.metrics.port + process_index(role)
        metrics.watch("renkei_ledger_waiting", "Operations that wait for the ledger's writer.", lambda: [({}, ledger.writer.queue_length)])
        for name in sorted(certificates_in_use(config)):
            metrics.watch_certificate(name, _end_of_certificate(config.certificate(name)[0]))
        trusts = {"ca": config.trust(), **config.certificates.trust}
        for name, trust in trusts.items():
            metrics.watch_certificate(name, _end_of_certificate(trust.ca))
        metrics.watch(
            "renkei_revocation_list_expiry_timestamp_seconds",
            "When the revocation list of an authority ends: then no peer of it is accepted.",
            lambda: [({"authority": name}, end) for name, trust in trusts.items() for end in _ends_of_lists(trust.crl)],
        )
        metrics.watch(
            "renkei_revocation_list_age_seconds",
            "How long ago the oldest revocation list of an authority was issued.",
            lambda: [({"authority": name}, age) for name, trust in trusts.items() for age in _age_of_lists(trust.crl)],
        )

    @contextlib.asynccontextmanager
    async def page(self, tls: ssl.SSLContext, authority: Authority, witness: Witness) -> AsyncIterator[None]:
        """Show the page while the block runs."""
        app = create_app(self._health, Monitors(names=tuple(self._config.metrics.peers), authority=authority), witness)

        def listen() -> Awaitable[web.AppRunner]:
            return serve(app, host=self._config.metrics.host, port=self._port, tls=tls, witness=witness, authority=authority)

        listening = asyncio.create_task(self._listen(listen), name="monitoring page")
        try:
            yield
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await listening

    async def _listen(self, listen: Callable[[], Awaitable[web.AppRunner]]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                runner = await listen()
            except OSError as error:
                _log.warning("metrics-port-taken", extra={"port": self._port, "code": error.strerror})
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)
                continue
            try:
                await asyncio.Event().wait()  # until this task is cancelled
            finally:
                await runner.cleanup()

    def watch_ledger(self, liveness: Liveness) -> None:
        """Ready only while the ledger can be read and takes the renewals of this process."""

        async def check() -> None:
            await self._ledger.read(lambda connection: connection.execute(select(1)).scalar_one())
            if not liveness.alive():
                raise LedgerUnavailable("registration-not-renewed", "the ledger has taken no renewal of this process for three seconds")

        self.checks["ledger"] = check

    def watch_broker(self, publisher: Publisher, consumer: Consumer) -> None:
        """Ready only while both connections are up and unblocked, and every queue that is not paused is consumed."""
        self.metrics.watch_connection("publish", connected=lambda: publisher.connected, blocked=lambda: publisher.blocked)
        self.metrics.watch_connection("consume", connected=lambda: consumer.connected, blocked=lambda: consumer.link.blocked)
        counters = publisher.counters
        self.metrics.watch_bells(lambda: counters.bells_confirmed, lambda: counters.bells_failed)
        self.metrics.watch(
            "renkei_queue_consumed",
            "1 while this process consumes the queue (0: paused, or the broker does not let it).",
            lambda: [({"queue": name}, float(each.active)) for name, each in consumer.subscriptions.items()],
        )

        async def check() -> None:
            if not publisher.connected or not consumer.connected:
                raise BrokerUnavailable("broker-not-connected", "a connection to the broker is down; it is made again by itself")
            if publisher.blocked:
                raise BrokerUnavailable("broker-blocked", "the broker has an alarm (memory or disk) and takes nothing")
            silent = sorted(name for name, each in consumer.subscriptions.items() if not each.active and not each.paused)
            if silent:
                raise BrokerUnavailable("queue-not-consumed", f"the broker does not let this process consume {', '.join(silent)}")

        self.checks["broker"] = check

    def watch_audit(self, chainer: Chainer) -> None:
        """Ready only while audit entries are chained by some process, and checkpoints are written outside the ledger (R22)."""
        self.metrics.watch(
            "renkei_audit_unchained_seconds",
            "How long the oldest audit entry that is in no block has waited (R22).",
            lambda: [({}, chainer.age_s)],
        )
        self.metrics.watch("renkei_audit_chaining", "1 while this process is the one that chains.", lambda: [({}, float(chainer.holds))])
        self.checks["audit"] = chainer.check

    def watch_bulk(self, pace: BulkPace) -> None:
        """How fast bulk work may go beside live work."""
        self.metrics.watch("renkei_bulk_pace", "Bulk records a second that may begin beside live work.", lambda: [({}, pace.rate)])

    def watch_retention(self, keeper: Keeper) -> None:
        """Ready only while what is past its time is erased (I9)."""
        self.metrics.watch("renkei_retention_erased", "Erased since the start.", lambda: [({}, keeper.erased.total())])
        self.metrics.watch("renkei_retention_expired", "Deliveries that expired since the start.", lambda: [({}, keeper.expired)])
        self.metrics.watch(
            "renkei_retention_overdue",
            "Deliveries past their time that are being sent or of unknown outcome: to be settled (R23).",
            lambda: [({}, keeper.overdue)],
        )
        self.checks["retention"] = keeper.check

    def watch_feeds(self, watcher: Watcher) -> None:
        """Feeds and links that are abnormal, as the last look found them (FM-1)."""
        self.metrics.watch(
            "renkei_link_anomaly",
            "1 for each feed or link that is abnormal: late, missing, empty, lag, without-status.",
            lambda: [({"link": each.link, "kind": each.kind, "cause": each.cause}, 1.0) for each in watcher.open],
        )

    def watch_flows(self, tracker: Tracker) -> None:
        """Ready only while the business flows are followed."""
        self.metrics.watch(
            "renkei_flow_overdue",
            "Open cases of a business flow with a step that is overdue.",
            lambda: [({"flow": flow}, tracker.overdue(flow)) for flow in tracker.flows],
        )
        self.metrics.watch("renkei_flow_open", "Open cases of all business flows.", lambda: [({}, sum(tracker.counts.values()))])
        self.metrics.watch("renkei_flow_blocks_behind", "Blocks of the record that the flows are behind.", lambda: [({}, tracker.behind)])
        self.checks["flows"] = tracker.check

    def watch_door(self, name: str, why_closed: Callable[[], Unavailable | None]) -> None:
        """Ready only while ``why_closed`` says None."""

        async def check() -> None:
            if (closed := why_closed()) is not None:
                raise Unavailable(closed.code, closed.safe_detail)

        self.checks[name] = check


def certificates_in_use(config: Config) -> set[str]:
    """The names of the certificates that this configuration uses: our own, and those that parties sign with and are encrypted for."""
    own = config.certificates.gateway
    used = {own, *(name or own for name in (config.intake.https.certificate, config.admin.certificate, config.metrics.certificate))}
    if config.broker.mode == "embedded" and config.broker.embedded.listener is not None:
        used.add(config.broker.embedded.listener.certificate)
    if config.broker.mode == "external" and config.broker.external is not None:
        used.add(config.broker.external.certificate)
    encrypting = [party.encryption for party in config.parties.values() if party.encryption is not None]
    signing = [party.signatures for party in config.parties.values() if party.signatures is not None]
    used |= {name for each in signing for name in (each.certificate, each.partner)}
    used |= {name for each in encrypting for name in (each.certificate, each.partner)}
    return used | {party.certificate or own for party in config.parties.values()}


def _end_of_certificate(file: Path) -> Callable[[], float | None]:
    def end() -> float | None:
        try:
            return load_certificates(file)[0].not_valid_after_utc.timestamp()
        except CertificateError:
            return None  # the series is missing then, which an alert can see; `renkei check` says why

    return end


def _ends_of_lists(file: Path) -> list[float]:
    try:
        ends = [each.next_update_utc for each in load_crls(file)]
    except CertificateError:
        return []  # see above
    return [min(end.timestamp() for end in ends if end is not None)] if any(ends) else []


def _age_of_lists(file: Path) -> list[float]:
    try:
        return [max(time.time() - each.last_update_utc.timestamp() for each in load_crls(file))]
    except CertificateError:
        return []  # see above
