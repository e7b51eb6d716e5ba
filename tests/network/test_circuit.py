"""The circuit of one municipality: nobody else's certificate, signature or address passes, in either direction (C-M-6-10, C-M-6-18)."""

from __future__ import annotations

import dataclasses
import ssl
import uuid
from pathlib import Path

import aiohttp
import pytest

from certs.authority import LGWAN, Profile, TestAuthority
from certs.tls import client_context
from message_formats import profiles, writing
from simulators.soap.notices import Notice, Notices
from tests.network.kit import ATENA, LINK, SERVER, Line, linkage, registration
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def status() -> str:
    return writing.write("operating-status-notice", {"status": "1"}).to_bytes().decode()


def callers(line: Line, name: str) -> ssl.SSLContext:
    """The certificate of that name, of the LGWAN's own authority."""
    folder = line.house.town.certificates
    authority = TestAuthority(folder, LGWAN)
    if not (folder / f"{name}.pem").exists():
        authority.issue(name, Profile.PEER)
    return client_context(folder / f"{name}.pem", folder / f"{name}.key", authority.ca, authority.crl)


def notices(line: Line, context: ssl.SSLContext) -> Notices:
    """As the server calls us, from another certificate."""
    own = line.server.notices
    assert own is not None
    return Notices(
        profile=profiles.get("intermediate_server"),
        url=own._url.removesuffix("/soap/intermediate_server"), server_name="gateway-lgwan", context=context,
        signatures=own._signatures, encryption=own._encryption,
    )  # fmt: skip


@pytest.mark.control("C-M-6-10")
@pytest.mark.control("C-M-6-18")
@pytest.mark.control("C-1-2-22")
@pytest.mark.invariant("I6")
async def test_another_bodys_certificate_is_refused_at_our_listener(line: Line) -> None:
    """Of the same network, of the same authority, with the right signatures: but it is not the server of this municipality's circuit."""
    record = Notice(delivery_id=str(uuid.uuid4()), xml=status())
    stranger = notices(line, callers(line, "intermediate-server-of-another-city"))
    said = await stranger.send("NotifyOperatingStatus", [record])
    assert (said.status, said.results) == (403, ())
    assert not line.house.rows("SELECT id FROM message WHERE source_id = ?", record.delivery_id)
    in_house = line.house.context(ATENA)
    with pytest.raises(aiohttp.ClientError):
        await notices(line, in_house).send("NotifyOperatingStatus", [record])
    ours = await notices(line, callers(line, SERVER)).send("NotifyOperatingStatus", [record])
    assert [each["outcome"] for each in ours.results] == ["accepted"]


@pytest.mark.control("C-M-6-18")
@pytest.mark.parametrize("wrong", ["addressee", "signer", "unsigned", "altered"])
async def test_what_is_signed_by_or_for_somebody_else_is_refused(line: Line, wrong: str) -> None:
    """The address names this gateway of this municipality: what the server signed for another body is not taken here."""
    delivery = str(uuid.uuid4())
    said = await line.server.emit(
        {"operation": "NotifyOperatingStatus", "records": [{"delivery": delivery, "xml": status()}], "wrong": wrong}
    )
    assert (said["status"], said["results"]) == (500, [])
    assert not line.house.rows("SELECT id FROM message WHERE source_id = ?", delivery)


@pytest.mark.control("C-M-6-10")
@pytest.mark.invariant("I6")
async def test_nothing_goes_to_a_server_with_another_certificate(line: Line) -> None:
    await line.delivered(LINK, "atena-linkage-update", linkage(50), ATENA)
    before = len(line.taken("RegisterAtenaNumber"))
    caller = line.server._caller
    line.server._caller = "CN=gateway-of-another-city"  # the server's side: it refuses a caller of another partition
    try:
        receipt = await line.send(ATENA, "atena-number-registration", registration(50))
        await until(lambda: line.server.counters["peers_refused"] > 0, 30)
        assert len(line.taken("RegisterAtenaNumber")) == before
        assert line.house.deliveries(receipt["id"])[SERVER]["state"] != "delivered"
    finally:
        line.server._caller = caller
    await line.house.until_state(receipt["id"], SERVER, "delivered", 60)


@pytest.mark.control("C-M-6-9")
def test_the_configuration_fixes_the_network_and_the_peer(line: Line, tmp_path: Path) -> None:
    """Only the LGWAN's authority and only that name: neither can be left open."""
    from gateway.config import load
    from gateway.plugins import bind_parties

    config = load(line.house.town.config, environment={})
    party = bind_parties(config)[SERVER].config
    assert (party.trust, party.peer, party.certificate) == ("lgwan", SERVER, "gateway-lgwan")
    assert party.signatures is not None
    assert party.encryption is not None
    assert dataclasses.is_dataclass(bind_parties(config)[SERVER])
