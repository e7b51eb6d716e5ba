"""The doors of the embedded broker: who has an account, what it may do, whose certificate opens the TLS listener, and for how long."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from certs.authority import Profile, TestAuthority
from certs.tls import FollowingContext, client_context
from gateway.broker import BrokerEndpoint, EmbeddedNode, TlsListener, topology
from gateway.broker.admin import NodeAdmin
from gateway.broker.child import free_port
from gateway.broker.connection import session
from gateway.broker.errors import ChannelClosed, ConnectFailed
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.invariant("I6")]
SYSTEM = "resident-record-system"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = TestAuthority(tmp_path_factory.mktemp("people"))
    made.create()
    made.issue("broker", Profile.PEER, dns=["localhost"])
    for name in (SYSTEM, "operator-a", "gateway", "soon-revoked"):
        made.issue(name, Profile.CLIENT)
    return made


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory, people: TestAuthority) -> AsyncIterator[EmbeddedNode]:
    broker = people.files("broker")
    tls = TlsListener(port=free_port(), certificate=broker.certificate, key=broker.key, ca=people.ca, crl=people.crl)
    node = EmbeddedNode(tmp_path_factory.mktemp("node"), tls=tls, disk_free_bytes=64 << 20)
    node.folder.prepare()
    for system in (SYSTEM, "soon-revoked"):
        node.folder.put_user(system, password=None)
    async with node:
        await topology.declare(node.endpoint(), topology.build(systems=[SYSTEM], parties=["city-cs"]))
        yield node


def by_certificate(node: EmbeddedNode, people: TestAuthority, name: str) -> BrokerEndpoint:
    files = people.files(name)
    assert node.tls is not None
    context = client_context(files.certificate, files.key, people.ca, people.crl)
    return BrokerEndpoint(hosts=(("127.0.0.1", node.tls.port),), tls=context, server_name="broker")


async def refusal(endpoint: BrokerEndpoint) -> str:
    with pytest.raises(ConnectFailed) as caught:
        async with session(endpoint, name="intruder"):
            pass
    return caught.value.code


@pytest.mark.control("C-1-3-23")
@pytest.mark.control("C-1-7-7")
async def test_the_accounts_are_the_gateway_and_the_systems_and_none_has_a_role(node: EmbeddedNode) -> None:
    admin = NodeAdmin(node)
    listed = await admin.control("list_users", "--no-table-headers")
    accounts = {line.split("\t")[0]: line.split("\t")[1] for line in listed.splitlines() if line.strip()}
    assert accounts == {"gateway": "[]", SYSTEM: "[]", "soon-revoked": "[]"}, "no guest, no operator, no administrator"
    assert (await admin.permissions(SYSTEM)) == (
        "^$",
        r"^(intake|acks|answers)\.resident\-record\-system$",
        r"^(receipts|in-house|dialogues|replies)\.resident\-record\-system$",
    )
    plugins = (node.directory / "enabled_plugins").read_text()
    assert plugins == "[rabbitmq_auth_mechanism_ssl].\n", "no management page, no shovel, no federation"


@pytest.mark.control("C-1-3-23")
async def test_no_operator_reads_a_queue_or_makes_a_binding_or_a_shovel(node: EmbeddedNode, people: TestAuthority) -> None:
    """An operator's certificate is no login. And who has one, a system, can neither read bodies nor lead them elsewhere."""
    assert await refusal(by_certificate(node, people, "operator-a")) == "broker-login-refused"
    async with session(by_certificate(node, people, SYSTEM), name="register") as broker:
        for method, arguments in (
            ("basic_get", {"queue": topology.work_queue("city-cs", "live")}),
            ("basic_get", {"queue": topology.intake_queue(SYSTEM)}),
            ("queue_bind", {"queue": topology.intake_queue(SYSTEM), "exchange": "work", "routing_key": "city-cs.live"}),
            ("queue_declare", {"queue": "copy", "durable": True}),
            ("exchange_bind", {"destination": "receipts", "source": "work", "routing_key": "#"}),
        ):
            with pytest.raises(ChannelClosed) as caught:
                await broker.call(method, **arguments)
            assert caught.value.reply_code == 403, method
    assert "not_found" in await NodeAdmin(node).control("eval", "rabbit_registry:lookup_module(runtime_parameter, shovel).")


async def test_a_stolen_name_is_no_login(node: EmbeddedNode, people: TestAuthority, tmp_path: Path) -> None:
    """The user with all rights belongs to this machine's own processes; a certificate of that name opens nothing from elsewhere."""
    assert "loopback_users.gateway = true" in (node.directory / "rabbitmq.conf").read_text()
    stranger = TestAuthority(tmp_path / "stranger")
    stranger.create()
    files = stranger.issue(SYSTEM, Profile.CLIENT)
    foreign = client_context(files.certificate, files.key, people.ca, people.crl)
    endpoint = dataclasses.replace(by_certificate(node, people, SYSTEM), tls=foreign)
    assert await refusal(endpoint) == "broker-tls-failed"
    people.issue("for-servers", Profile.SERVER)
    assert await refusal(by_certificate(node, people, "for-servers")) == "broker-tls-failed"


async def test_revocation_and_renewal_reach_the_listener_without_a_restart(
    node: EmbeddedNode, people: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FollowingContext, "RECHECK_FILES_S", 0.0)
    endpoint = by_certificate(node, people, "soon-revoked")
    async with session(endpoint, name="system"):
        pass
    people.revoke("soon-revoked")
    before = await shown(node, people)
    people.issue("broker", Profile.PEER, dns=["localhost"])
    pid = node.pid
    await NodeAdmin(node).reload_certificates()
    assert await refusal(endpoint) == "broker-tls-failed"
    assert await shown(node, people) != before
    async with session(by_certificate(node, people, SYSTEM), name="register"):
        pass
    assert node.pid == pid


async def test_a_list_out_of_date_lets_nobody_in(node: EmbeddedNode, people: TestAuthority) -> None:
    endpoint = by_certificate(node, people, SYSTEM)
    lists = people.crl.read_bytes()
    people.renew_crl(next_update=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    try:
        await NodeAdmin(node).reload_certificates()
        people.crl.write_bytes(lists)  # for the client's own check of the broker
        assert await refusal(endpoint) == "broker-tls-failed"
    finally:
        people.crl.write_bytes(lists)
        await NodeAdmin(node).reload_certificates()

    async def again() -> bool:
        try:
            async with session(endpoint, name="register"):
                return True
        except ConnectFailed:
            return False

    await until(again)


async def shown(node: EmbeddedNode, people: TestAuthority) -> bytes:
    """The certificate that the listener shows now."""
    assert node.tls is not None
    files = people.files(SYSTEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(files.certificate, files.key)
    _, writer = await asyncio.open_connection("127.0.0.1", node.tls.port, ssl=context)
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return der
