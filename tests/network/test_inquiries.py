"""Inquiries of other bodies, answered by the simulated intermediate server in full from its replica (F6-2): the gateway takes no part."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from certs.peer import Authority
from certs.setup import ensure_networks
from message_formats import reading
from simulators.errors import BadFault
from simulators.intermediate.network import ITEM, inquirers
from simulators.intermediate.party import IntermediateServer
from simulators.soap.envelope import Record
from tests.network.kit import number

pytestmark = [pytest.mark.flow("F6-2")]
RESIDENT, OTHER = "99900000015", "99900000023"
XENC = "{http://www.w3.org/2001/04/xmlenc#}"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("certs")
    ensure_networks(folder)
    return Authority(folder / "lgwan-ca.pem", folder / "lgwan-ca.crl")


@pytest.fixture
async def server(tmp_path: Path, authority: Authority) -> AsyncIterator[IntermediateServer]:
    """With one person who has a replica and a code."""
    found = IntermediateServer(salt="inquiries", caller="CN=gateway-lgwan", authority=authority, seed=3)
    found.open_journal(tmp_path / "journal.jsonl")
    take(found, "RegisterAtenaNumber", {"integrated_atena_number": number(1)})
    household = {"household_items/head_name": "見本　例太", "household_items/relationship": "世帯主"}
    take(found, "UpdateReplica", {"integrated_atena_number": number(1), **household})
    acquire(found, number(1), RESIDENT)
    yield found
    found.journal.close()


def take(server: IntermediateServer, operation: str, items: dict[str, str]) -> str | None:
    take.count += 1  # type: ignore[attr-defined]
    return server.take(Record(delivery_id=f"d-{take.count}", items=items), operation).code  # type: ignore[attr-defined]


take.count = 0  # type: ignore[attr-defined]


def acquire(server: IntermediateServer, of: str, resident: str) -> str:
    assert take(server, "RequestCode", {"integrated_atena_number": of}) is None
    processing = list(server.holdings.requests)[-1]
    return server.code_pair(processing, resident)


def records(server: IntermediateServer) -> list[dict[str, Any]]:
    return [each for each in server.journal.entries(0, 10_000) if each["kind"] == "provision-record"]


def opened(sealed: str, key: rsa.RSAPrivateKey) -> etree._Element:
    """As the inquirer opens it."""
    data = etree.fromstring(base64.b64decode(sealed))
    wrapped, content = (base64.b64decode(each.text or "") for each in data.iter(f"{XENC}CipherValue"))
    secret = key.decrypt(wrapped, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    return etree.fromstring(AESGCM(secret).decrypt(content[:12], content[12:], None))


async def inquire(server: IntermediateServer, key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    return await server.do("inquire", {"inquirer": "inquirer-1", "resident": RESIDENT, "key": pem(key), **more})


@pytest.mark.control("C-M-6-4")
@pytest.mark.control("C-M-6-8")
@pytest.mark.control("C-M-6-14")
@pytest.mark.control("C-M-6-20")
@pytest.mark.control("C-M-6-24")
async def test_an_inquiry_is_answered_from_the_replica_for_the_inquirers_eyes_alone(
    server: IntermediateServer, key: rsa.RSAPrivateKey
) -> None:
    answer = await inquire(server, key)
    assert (answer["outcome"], answer["route"]) == ("provided", server.network.route("inquirer-1"))
    assert "見本" not in answer["sealed"]
    content = opened(answer["sealed"], key)
    items = reading.read(etree.tostring(content), expected="provision-response").items
    assert {name for name, value in items.items() if value is not None} == {
        "code", "household_items/head_name", "household_items/relationship",
    }  # fmt: skip
    assert items["household_items/relationship"] == "世帯主"
    with pytest.raises(ValueError, match=r"."):
        opened(answer["sealed"], rsa.generate_private_key(65537, 3072))
    [record] = records(server)
    assert (record["who"], record["what"], record["outcome"]) == ("inquirer-1", ITEM, "provided")
    assert record["at"]
    assert record["whom"]


def test_the_list_has_the_54_active_inquirers_and_nothing_but_article_7_item_4(server: IntermediateServer) -> None:
    assert len(server.permission_list) == 54
    assert {item for _, _, item in server.permission_list} == {ITEM}
    assert len(inquirers()) == 59


@pytest.mark.control("C-M-6-3")
@pytest.mark.control("C-M-6-4")
@pytest.mark.control("C-M-6-14")
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"inquirer": next(each.id for each in inquirers().values() if not each.active)}, "not-on-permission-list"),
        ({"work": "another work"}, "not-on-permission-list"),
        ({"items": [ITEM, "tax"]}, "not-on-permission-list"),
        ({"items": []}, "not-on-permission-list"),
        ({"wrong": "no-permit"}, "no-permit"),
        ({"wrong": "forged-permit"}, "no-permit"),
        ({"wrong": "used-permit"}, "no-permit"),
        ({"wrong": "other-route"}, "route-differs"),
        ({"resident": OTHER}, "nothing-held"),
    ],
)
async def test_what_is_not_legitimate_is_refused_and_recorded(
    server: IntermediateServer, key: rsa.RSAPrivateKey, more: dict[str, Any], code: str
) -> None:
    assert await inquire(server, key, **more) == {"outcome": "refused", "code": code}
    [record] = records(server)
    assert (record["outcome"], record["code"]) == ("refused", code)


@pytest.mark.control("C-M-6-5")
async def test_who_is_flagged_is_looked_at_by_a_person_first(server: IntermediateServer, key: rsa.RSAPrivateKey) -> None:
    await server.do("flag", {"number": number(1)})
    waiting = await inquire(server, key)
    assert waiting["outcome"] == "waiting"
    assert not records(server)
    with pytest.raises(BadFault):
        await server.do("release", {"inquiry": waiting["inquiry"], "provide": True})
    answer = await server.do("release", {"inquiry": waiting["inquiry"], "provide": True, "staff": "S001"})
    assert answer["outcome"] == "provided"
    [released] = [each for each in server.journal.entries(0, 1000) if each["kind"] == "release"]
    assert (released["staff"], released["provide"]) == ("S001", True)
    second = await inquire(server, key)
    refused = await server.do("release", {"inquiry": second["inquiry"], "provide": False, "staff": "S001"})
    assert refused == {"outcome": "refused", "code": "refused-by-staff"}
    with pytest.raises(BadFault):
        await server.do("release", {"inquiry": second["inquiry"], "provide": True, "staff": "S001"})


@pytest.mark.flow("F6-1")
async def test_a_code_that_comes_twice_for_nobody_or_for_another_is_seen(server: IntermediateServer) -> None:
    [processing] = server.holdings.requests
    assert server.code_pair(processing, RESIDENT) == "ignored"
    assert server.code_pair("PNOBODY", RESIDENT) == "unclaimed"
    take(server, "RegisterAtenaNumber", {"integrated_atena_number": number(2)})
    assert acquire(server, number(2), RESIDENT) == "conflict"
    assert server.state()["conflicting_codes"] == 1
    assert server.holdings.people[number(2)].code is None


async def test_what_it_knows_comes_back_from_the_journal(server: IntermediateServer, tmp_path: Path, authority: Authority) -> None:
    await server.do("flag", {"number": number(1)})
    before = server.state()
    server.journal.close()
    again = IntermediateServer(salt="inquiries", caller="CN=gateway-lgwan", authority=authority)
    again.open_journal(tmp_path / "journal.jsonl")
    assert {name: value for name, value in again.state().items() if name != "provided"} == {
        name: value for name, value in before.items() if name != "provided"
    }
    assert again.holdings.people[number(1)].code == server.holdings.people[number(1)].code
    assert again.holdings.people[number(1)].flagged
    again.journal.close()
    server.open_journal(tmp_path / "journal.jsonl")
