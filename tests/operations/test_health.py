"""Metrics and health pages of one process: what is counted, what is shown, to whom."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import insert

from certs.authority import TestAuthority
from certs.peer import Authority
from certs.tls import client_context, server_context
from gateway.contract import Delivered, Effect, QueryAnswer, Receipt, RetryLater
from gateway.errors import BrokerUnavailable, LedgerUnavailable
from gateway.ledger import tables as t
from gateway.ledger.clock import set_business_offset
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.groups import GroupRecord
from gateway.ledger.migrate import migrate
from gateway.operations.health import Health, Monitors, create_app, serve
from gateway.operations.metrics import FactsReader, Metrics, read_facts
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "postgres_server", "postgres_url"]


def fill(engine: LedgerEngine) -> None:
    """Three open deliveries, one final; two keys, one held; a party that is down. All fictitious."""
    session = engine.session()
    now = session.begin()
    run = session.connection.execute
    set_business_offset(session.connection, 3600.0)
    message = {"system": "s", "type": "t", "schema": "x", "content_mac": b"", "door": "https", "accepted_at": now, "receipt": b""}
    run(insert(t.message), {"id": "m", "source_id": "1", **message})
    fixed = {
        "message_id": "m",
        "party": "city-cs",
        "key_id": "k",
        "lane": "live",
        "content_digest": b"",
        "payload_id": "p",
        "accepted_at": now,
        "updated_at": now,
    }
    for number, (state, final) in enumerate([("queued", None), ("queued", None), ("unknown", None), ("delivered", now)]):
        run(insert(t.delivery), {"id": f"d{number}", "number": number, "state": state, "final_at": final, **fixed})
    key = {"party": "city-cs", "stream": "s", "subject": "x", "next_number": 3, "head": 0, "lane": "live"}
    run(insert(t.key_row), {"id": "k", "place": "1", "due_at": now - 30, "held": None, **key})
    run(insert(t.key_row), {"id": "l", "place": "2", "due_at": None, "held": "rejected", **key})
    run(insert(t.party_state), {"party": "city-cs", "breaker": "open", "failures": 5, "paused_by": None})
    run(insert(t.worker), {"id": "w", "role": "worker", "host": "h", "pid": 1, "registered_at": now, "renewed_at": now})
    run(insert(t.worker), {"id": "v", "role": "worker", "host": "h", "pid": 1, "registered_at": now, "renewed_at": now - 60})
    session.commit()
    session.close()


@asynccontextmanager
async def served(app: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    runner = await serve(app, host="127.0.0.1", port=0, tls=tls)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_ledgers_gauges(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    migrate(engine, profile="test")
    fill(engine)
    facts = await engine.read(read_facts)
    assert facts.open == {("city-cs", "queued"): 2, ("city-cs", "unknown"): 1}
    assert facts.held == {("city-cs", "rejected"): 1}
    assert facts.processes == {"worker": 1}
    metrics = Metrics(facts=FactsReader(engine.read))
    text = (await metrics.render()).decode()
    assert 'renkei_deliveries_open{party="city-cs",state="queued"} 2.0' in text
    assert 'renkei_keys_held{party="city-cs",reason="rejected"} 1.0' in text
    assert 'renkei_breaker{party="city-cs",state="open"} 1.0' in text
    assert 'renkei_breaker{party="city-cs",state="closed"} 0.0' in text
    assert 'renkei_oldest_due_seconds{party="city-cs"} 30' in text
    assert "renkei_business_clock_offset_seconds 3600.0" in text
    assert "renkei_ledger_up 1.0" in text
    await engine.close()


async def test_what_a_process_saw() -> None:
    metrics = Metrics()
    metrics.intake("resident-record-system", "https", "accepted", 0.003)
    metrics.outcome("city-cs", Delivered(receipt=Receipt(code="ok", body=b"")), 0.2)
    metrics.outcome("city-cs", RetryLater(code="busy"), 0.1)
    metrics.outcome("city-cs", QueryAnswer(effect=Effect.NO_EFFECT), 0.1)
    metrics.intake_waits("resident-record-system", "ledger-busy")
    metrics.intake_active("resident-record-system")
    metrics.watch_bells(lambda: 7, lambda: 1)
    metrics.late("city-cs", 1)
    metrics.unsent("city-cs", 2)
    metrics.group(GroupRecord(operations=7, units=9, bulk=False, committed=True, wait_s=0.0, work_s=0.002, commit_s=0.001, waiting=0))
    metrics.watch_connection("publish", connected=lambda: True, blocked=lambda: False)
    metrics.watch_certificate("gateway", lambda: 2_000_000_000.0)
    metrics.watch("renkei_queue_length", "Bells that wait.", lambda: [({"queue": "work.city-cs.live"}, 4.0)])
    text = (await metrics.render()).decode()
    for line in (
        'renkei_intake_messages_total{door="https",result="accepted",system="resident-record-system"} 1.0',
        'renkei_delivery_outcomes_total{outcome="delivered",party="city-cs"} 1.0',
        'renkei_delivery_outcomes_total{outcome="retry-later",party="city-cs"} 1.0',
        'renkei_delivery_outcomes_total{outcome="query-no-effect",party="city-cs"} 1.0',
        'renkei_intake_waits_total{code="ledger-busy",system="resident-record-system"} 1.0',
        'renkei_intake_activations_total{system="resident-record-system"} 1.0',
        'renkei_bells_total{result="rung"} 7.0',
        'renkei_bells_total{result="failed"} 1.0',
        'renkei_delivery_late_outcomes_total{party="city-cs"} 1.0',
        'renkei_delivery_unsent_total{party="city-cs"} 2.0',
        'renkei_ledger_lock_seconds_bucket{le="0.004"} 1.0',
        'renkei_broker_connected{connection="publish"} 1.0',
        'renkei_broker_blocked{connection="publish"} 0.0',
        'renkei_certificate_expiry_timestamp_seconds{certificate="gateway"} 2e+09',
        'renkei_queue_length{queue="work.city-cs.live"} 4.0',
        "process_resident_memory_bytes",
    ):
        assert line in text, line


async def test_the_ledger_is_asked_once_for_many_scrapes_and_its_absence_is_seen() -> None:
    asked: list[float] = []
    broken = False

    async def read(fn: Any) -> Any:
        asked.append(0)
        await asyncio.sleep(0)
        if broken:
            raise LedgerUnavailable("ledger-unreachable", "made for a test")
        return facts

    engine_facts: Any = type("F", (), {})()
    facts = engine_facts
    for name in ("open", "held", "oldest_due", "breakers", "quarantined", "processes", "operating"):
        setattr(facts, name, {})
    facts.acquisitions = (0, 0)
    facts.paused, facts.at, facts.clock = frozenset(), 0.0, type("C", (), {"offset_s": 0.0})()
    metrics = Metrics(facts=FactsReader(read, max_age_s=60))
    await asyncio.gather(*(metrics.render() for _ in range(5)))
    assert len(asked) == 1
    broken = True
    metrics = Metrics(facts=FactsReader(read, max_age_s=0))
    assert b"renkei_ledger_up 0.0" in await metrics.render()


async def test_readiness_names_every_dependency_and_shows_the_business_clock(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    migrate(engine, profile="test")
    fill(engine)
    reader = FactsReader(engine.read)

    async def fine() -> None:
        await asyncio.sleep(0)

    async def absent() -> None:
        raise BrokerUnavailable("broker-not-connected", "no connection")

    async def broken() -> None:
        raise ValueError("架空太郎")

    health = Health(instance="test", role="gateway", metrics=Metrics(facts=reader), checks={"ledger": fine}, facts=reader)
    ill = Health(
        instance="test", role="gateway", metrics=Metrics(), checks={"broker": absent, "x": broken, "ledger": fine}, alive=lambda: False
    )
    async with served(create_app(health)) as url, served(create_app(ill)) as other, aiohttp.ClientSession() as client:
        async with client.get(f"{url}/livez") as answer:
            assert answer.status == 200
        async with client.get(f"{url}/readyz") as answer:
            body = await answer.json()
            assert (answer.status, body["ready"], body["dependencies"]) == (200, True, {"ledger": {"ok": True}})
            assert (body["business_clock"]["offset_s"], body["business_clock"]["profile"]) == (3600.0, "test")
        async with client.get(f"{url}/metrics") as answer:
            assert answer.status == 200
            assert "renkei_deliveries_open" in await answer.text()
        async with client.get(f"{other}/livez") as answer:
            assert answer.status == 503
        async with client.get(f"{other}/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["dependencies"] == {
                "broker": {"ok": False, "code": "broker-not-connected", "detail": "no connection"},
                "x": {"ok": False, "code": "internal", "detail": "ValueError"},
                "ledger": {"ok": True},
            }
    await engine.close()


async def test_a_dependency_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.operations.health.CHECK_S", 0.05)
    health = Health(instance="test", role="worker", metrics=Metrics(), checks={"party": asyncio.Event().wait})  # type: ignore[dict-item]
    async with served(create_app(health)) as url, aiohttp.ClientSession() as client, client.get(f"{url}/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["dependencies"]["party"]["code"] == "no-answer"


@pytest.mark.invariant("I6")
async def test_only_the_monitor_may_look(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    authority.create()
    authority.issue("gateway", profile="peer", dns=["localhost"])
    authority.issue("monitor", profile="client")
    authority.issue("someone", profile="client")
    ca = tmp_path / "ca.pem"
    monitors = Monitors(names=("CN=monitor",), authority=Authority(ca, tmp_path / "ca.crl"))
    health = Health(instance="test", role="gateway", metrics=Metrics(), checks={})
    tls = server_context(tmp_path / "gateway.pem", tmp_path / "gateway.key", ca)
    statuses = {}
    async with served(create_app(health, monitors), tls) as url, aiohttp.ClientSession() as client:
        for name in ("monitor", "someone"):
            context = client_context(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", ca)
            async with client.get(f"{url}/metrics", ssl=context) as answer:
                statuses[name] = answer.status
        with pytest.raises(aiohttp.ClientError):
            await client.get(f"{url}/metrics", ssl=ssl._create_unverified_context())
    assert statuses == {"monitor": 200, "someone": 403}
