"""Who may log in, and what a system's user may do."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.broker import BrokerEndpoint, Consumer, EmbeddedNode, Publisher, topology
from gateway.broker.admin import NodeAdmin
from gateway.broker.connection import session
from gateway.broker.errors import ChannelClosed, ConnectFailed, ConnectionLost
from gateway.errors import ConfigurationError
from tests.support.broker import Names, until
from tests.support.certificates import ThrowAwayAuthority

pytestmark = pytest.mark.slow


@pytest.fixture
async def system(broker_node: EmbeddedNode, declared: Names) -> AsyncIterator[BrokerEndpoint]:
    """The endpoint of a sending system with a password."""
    admin = NodeAdmin(broker_node)
    await admin.add_system(declared.system)
    yield broker_node.endpoint(declared.system)
    await admin.revoke_system(declared.system)


@pytest.mark.invariant("I6")
@pytest.mark.control("C-2-3-2")
async def test_a_system_may_publish_to_its_intake_read_its_receipts_and_nothing_else(
    broker_node: EmbeddedNode, system: BrokerEndpoint, declared: Names
) -> None:
    other = Names(system="other-system", party="other-party")
    await topology.declare(broker_node.endpoint(), other.topology)
    publisher = Publisher(system, name="register")
    await publisher.start()
    await publisher.publish(topology.intake_exchange(declared.system), "in", b"x")
    for exchange, key in (
        ("work", declared.live_key),
        ("receipts", declared.system),
        (topology.intake_exchange(other.system), "in"),
        ("", topology.intake_queue(other.system)),
    ):
        await until(lambda: publisher.connected)
        with pytest.raises(ConnectionLost):
            await publisher.publish(exchange, key, b"x")
    await publisher.close()

    consumer = Consumer(system, name="register")
    await consumer.start()
    receipts = await consumer.subscribe(topology.receipts_queue(declared.system), prefetch=1, on_delivery=lambda _delivery: None)
    assert receipts.active
    for queue in (declared.live, declared.intake, topology.receipts_queue(other.system)):
        refused = await consumer.subscribe(queue, prefetch=1, on_delivery=lambda _delivery: None, wait_s=0.3)
        assert not refused.active
        assert refused.last_error is not None
        assert refused.last_error.code == "broker-access-refused"
    await consumer.close()

    async with session(system, name="register") as broker:
        for method, arguments in (
            ("queue_bind", {"queue": topology.receipts_queue(declared.system), "exchange": "work", "routing_key": declared.live_key}),
            ("queue_bind", {"queue": declared.live, "exchange": "work", "routing_key": "x"}),
            ("queue_declare", {"queue": "mine", "durable": True}),
            ("exchange_declare", {"exchange": "mine", "exchange_type": "direct"}),
            ("queue_delete", {"queue": topology.receipts_queue(declared.system)}),
            ("queue_purge", {"queue": declared.intake}),
        ):
            with pytest.raises(ChannelClosed) as caught:
                await broker.call(method, **arguments)
            assert caught.value.reply_code == 403, method


@pytest.mark.invariant("I6")
async def test_revoking_a_system_ends_its_connections_and_its_login(broker_node: EmbeddedNode, declared: Names) -> None:
    admin = NodeAdmin(broker_node)
    password = await admin.add_system(declared.system)
    endpoint = broker_node.endpoint(declared.system)
    assert endpoint.password == password
    publisher = Publisher(endpoint, name="register")
    assert await publisher.start()
    await admin.revoke_system(declared.system)
    await until(lambda: not publisher.connected)
    await until(lambda: publisher.link.last_error is not None and publisher.link.last_error.code == "broker-login-refused")
    await publisher.close()
    assert declared.system not in await admin.users()
    with pytest.raises(ConfigurationError):
        broker_node.endpoint(declared.system)
    with pytest.raises(ConfigurationError):
        await admin.revoke_system("gateway")


@pytest.mark.invariant("I6")
async def test_passwords_and_the_guest_user(broker_node: EmbeddedNode, endpoint: BrokerEndpoint) -> None:
    assert "guest" not in await NodeAdmin(broker_node).users()
    for user, password in (("guest", "guest"), ("gateway", "wrong"), ("gateway", "")):
        with pytest.raises(ConnectFailed) as caught:
            async with session(dataclasses.replace(endpoint, user=user, password=password), name="intruder"):
                pass
        assert caught.value.code == "broker-login-refused"
    with pytest.raises(ConnectFailed) as caught:
        async with session(dataclasses.replace(endpoint, vhost="nowhere"), name="lost"):
            pass
    assert caught.value.code == "broker-vhost-refused"
    assert endpoint.password is not None
    assert endpoint.password not in repr(endpoint)


@pytest.fixture
async def by_certificate(broker_node: EmbeddedNode, declared: Names) -> AsyncIterator[Names]:
    """A system that logs in by certificate only."""
    admin = NodeAdmin(broker_node)
    assert await admin.add_system(declared.system, certificate_only=True) is None
    yield declared
    await admin.revoke_system(declared.system)


def tls_endpoint(node: EmbeddedNode, context: ssl.SSLContext, *, user: str | None = None, password: str | None = None) -> BrokerEndpoint:
    assert node.tls is not None
    return BrokerEndpoint(hosts=(("127.0.0.1", node.tls.port),), tls=context, user=user, password=password)


@pytest.mark.invariant("I6")
async def test_a_system_logs_in_with_its_client_certificate(
    broker_node: EmbeddedNode, authority: ThrowAwayAuthority, by_certificate: Names
) -> None:
    context = authority.client_context(authority.issue(by_certificate.system))
    publisher = Publisher(tls_endpoint(broker_node, context), name="register")
    assert await publisher.start()
    body = b"x" * 300_000
    await asyncio.gather(*(publisher.publish(topology.intake_exchange(by_certificate.system), "in", body) for _ in range(20)))
    with pytest.raises(ConnectionLost):
        await publisher.publish("work", by_certificate.live_key, b"x")
    await publisher.close()
    assert (await topology.depth(broker_node.endpoint(), by_certificate.intake)).ready == 20


@pytest.mark.invariant("I6")
async def test_wrong_certificates_are_refused(
    broker_node: EmbeddedNode, authority: ThrowAwayAuthority, by_certificate: Names, tmp_path: Path
) -> None:
    stranger = ThrowAwayAuthority(tmp_path / "stranger", name="another authority")
    foreign = stranger.issue(by_certificate.system)
    with_foreign = authority.client_context(foreign)
    cases = {
        "of another authority": (with_foreign, "broker-tls-failed"),
        "none at all": (authority.client_context(None), "broker-tls-failed"),
        "of a name that is no user": (authority.client_context(authority.issue("nobody-we-know")), "broker-login-refused"),
        "the broker's, seen by who trusts another authority": (stranger.client_context(foreign), "broker-tls-failed"),
    }
    for case, (context, code) in cases.items():
        with pytest.raises(ConnectFailed) as caught:
            async with session(tls_endpoint(broker_node, context), name="intruder"):
                pass
        assert caught.value.code == code, case
    # A user by certificate has no password, not even an empty one.
    good = authority.client_context(authority.issue(by_certificate.system))
    for password in ("", "guess"):
        with pytest.raises(ConnectFailed) as caught:
            async with session(tls_endpoint(broker_node, good, user=by_certificate.system, password=password), name="intruder"):
                pass
        assert caught.value.code == "broker-login-refused"


@pytest.mark.invariant("I6")
async def test_the_brokers_certificate_must_bear_its_name(
    broker_node: EmbeddedNode, authority: ThrowAwayAuthority, by_certificate: Names
) -> None:
    context = authority.client_context(authority.issue(by_certificate.system))
    endpoint = dataclasses.replace(tls_endpoint(broker_node, context), server_name="somebody.example")
    with pytest.raises(ConnectFailed) as caught:
        async with session(endpoint, name="register"):
            pass
    assert caught.value.code == "broker-tls-failed"


def test_an_endpoint_needs_credentials() -> None:
    with pytest.raises(ConfigurationError):
        BrokerEndpoint(hosts=(("127.0.0.1", 1),))
    with pytest.raises(ConfigurationError):
        BrokerEndpoint(hosts=(), user="u", password="p")
    with pytest.raises(ConfigurationError):
        BrokerEndpoint(hosts=(("127.0.0.1", 1),), password="p")
