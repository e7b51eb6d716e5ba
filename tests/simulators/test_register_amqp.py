"""The register at the AMQP door, with a real RabbitMQ, against a stand-in for the gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from certs.authority import TestAuthority
from gateway.broker import EmbeddedNode, TlsListener, topology
from simulators.harness.processes import free_ports
from simulators.register.messages import read_items
from simulators.register.register import Register
from simulators.register.service import RegisterSettings, build
from tests.simulators.conftest import SALT, eventually
from tests.simulators.fake_gateway import FakeGateway

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[EmbeddedNode]:
    files = authority.files("broker")
    tls = TlsListener(port=free_ports(1)[0], certificate=files.certificate, key=files.key, ca=authority.ca)
    broker = EmbeddedNode(tmp_path_factory.mktemp("broker"), tls=tls, disk_free_bytes=64 << 20)
    asyncio.run(broker.start())
    try:
        yield broker
    finally:
        asyncio.run(broker.stop())


OLD_ENOUGH_S = 6.0
"""RabbitMQ 3.10.8: a quorum queue declared about a second before its node is killed may refuse consumers for over a minute (R15a)."""


@pytest.fixture
async def system(node: EmbeddedNode) -> str:
    name = f"test-register-{next(_numbers)}"
    await topology.declare(node.endpoint(), topology.build(systems=[name], parties=[]))
    return name


@asynccontextmanager
async def set_up(
    node: EmbeddedNode, authority: TestAuthority, folder: Path, system: str, **changes: Any
) -> AsyncIterator[tuple[FakeGateway, Register]]:
    gateway = FakeGateway()
    endpoint = node.endpoint()
    password = folder / "password"
    password.write_text(endpoint.password or "")
    files = authority.files("resident-record-system")
    amqp = {"port": node.port, "user": endpoint.user, "password_file": password, **changes.pop("amqp", {})}
    async with gateway.serving(authority) as url:
        values: dict[str, Any] = {
            "system": system,
            "url": url,
            "certificate": files.certificate,
            "key": files.key,
            "ca": authority.ca,
            "crl": authority.crl,
            "record": folder / "record.jsonl",
            "salt": SALT,
            "population": 500,
            "events_a_day": 100,
            "https_share": 0,
            "amqp": amqp,
        }
        yield gateway, build(RegisterSettings.model_validate(values | changes))


def in_order(gateway: FakeGateway) -> bool:
    residents = {read_items(content)["resident_record_code"] for content in gateway.content.values()}
    for resident in residents:
        numbers = [int(read_items(gateway.content[name])["update_sequence_number"]) for name in gateway.order_of(resident)]
        if numbers != list(range(1, len(numbers) + 1)):
            return False
    return True


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("order", ["receipt", "confirm"])
async def test_a_day_arrives_encrypted_and_in_order_per_resident(
    node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str, order: str
) -> None:
    async with set_up(node, authority, tmp_path, system, order=order) as (gateway, register):
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await register.run()
        assert len(gateway.accepted) == 100
        assert in_order(gateway)
        assert len(gateway.ephemeral_keys) == 100
        assert register.record.counts["accepted"] == 100
        assert register.progress()["amqp"]["receipts"] == 100


async def test_both_doors_at_once_each_resident_at_one(node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str) -> None:
    async with set_up(node, authority, tmp_path, system, https_share=0.4) as (gateway, register):
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await register.run()
        assert in_order(gateway)
        doors: dict[str, set[str]] = {}
        for entry in register.record.entries():
            if entry["kind"] == "message":
                doors.setdefault(entry["resident"], set()).add(entry["door"])
        assert all(len(used) == 1 for used in doors.values())
        assert set.union(*doors.values()) == {"amqp", "https"}


async def test_over_tls_with_a_client_certificate(node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str) -> None:
    assert node.tls is not None
    async with set_up(node, authority, tmp_path, system, events_a_day=10, amqp={"port": node.tls.port, "tls": True}) as (gateway, register):
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await register.run()
        assert len(gateway.accepted) == 10


@pytest.mark.invariant("I2")
async def test_what_has_no_receipt_is_sent_again_with_the_same_id(
    node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str
) -> None:
    async with set_up(node, authority, tmp_path, system, events_a_day=20, amqp={"resend_after_s": 0.5}) as (gateway, register):
        gateway.silent_for = {next(register._source.messages()).id}
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await register.run()
        assert len(gateway.accepted) == 20
        assert register.progress()["amqp"]["resent"] >= 1


async def test_a_refusal_that_may_not_repeat_the_id_is_known_by_the_digest_of_what_was_published(
    node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str
) -> None:
    async with set_up(node, authority, tmp_path, system, events_a_day=10) as (gateway, register):
        gateway.not_repeated = {next(register._source.messages()).id}
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await register.run()
        [refused] = [each for each in register.record.entries() if each["kind"] == "receipt" and each["status"] == "refused"]
        assert {refused["id"]} == gateway.not_repeated
        assert register.progress()["amqp"]["strange_receipts"] == 0


async def test_a_key_that_the_gateway_no_longer_knows_is_replaced(
    node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str
) -> None:
    async with set_up(node, authority, tmp_path, system, events_a_day=30, per_s=60) as (gateway, register):
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            running = asyncio.get_running_loop().create_task(register.run())
            await eventually(lambda: len(gateway.accepted) >= 5)
            gateway.key = ECKey.generate_key("P-256", {"kid": "k2", "use": "enc"})
            await running
        assert len(gateway.accepted) == 30
        assert 2 <= gateway.keys_asked < 10  # once more for each refusal of what was under way, at most, and never for each message
        assert register.record.counts["refused"] == 0


async def test_messages_that_no_queue_takes_are_kept_and_sent_again(
    node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str
) -> None:
    name = f"{system}-without-queue"
    whole = topology.build(systems=[name], parties=[])
    await topology.declare(node.endpoint(), dataclasses.replace(whole.only(f"receipts.{name}"), exchanges=whole.exchanges))
    async with set_up(node, authority, tmp_path, name, events_a_day=10) as (gateway, register):
        running = asyncio.get_running_loop().create_task(register.run())
        await eventually(lambda: register.progress()["amqp"]["returned"] > 0)
        await topology.declare(node.endpoint(), whole)
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), name):
            await running
        assert len(gateway.accepted) == 10


@pytest.mark.invariant("I1")
async def test_a_broker_that_dies_and_comes_back_costs_nothing(
    node: EmbeddedNode, authority: TestAuthority, tmp_path: Path, system: str
) -> None:
    changes: dict[str, Any] = {"events_a_day": 400, "per_s": 40, "amqp": {"resend_after_s": 2}}
    async with set_up(node, authority, tmp_path, system, **changes) as (gateway, register):
        running = asyncio.get_running_loop().create_task(register.run())
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await eventually(lambda: len(gateway.accepted) >= 50)
            await asyncio.sleep(OLD_ENOUGH_S)
            before = len(gateway.accepted)
            node.kill()
            await eventually(lambda: not node.running)
        await node.start()
        async with gateway.consume(node.endpoint().parameters(0, name="stand-in"), system):
            await running
        assert before < 400
        assert len(gateway.accepted) == 400
        assert in_order(gateway)
        assert register.record.counts["accepted"] == 400
