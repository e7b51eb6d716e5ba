"""What lasts longest is replaced as well, under traffic: the roots of two networks, and the keys that messages are encrypted with."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from certs.authority import IN_HOUSE, JUKI_NET, Network, Profile, TestAuthority
from certs.path import PathCheck, load_certificates
from certs.setup import LOOPBACK_DNS, LOOPBACK_IPS, TOWN, ensure_networks
from certs.store import CertificateStore, take_partner
from simulators.harness.town import REGISTER, Plan, Town
from tests.operations.test_doors import FOLLOWED_S, TRAFFIC, WORKERS, on_disk, outcomes, renkei, shown
from tests.support.broker import until
from tests.support.data import read_yaml

pytestmark = pytest.mark.slow
PAIR = ("gateway-encryption", "city-cs-encryption")


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    certificates = folder / "var" / "certs"
    ensure_networks(certificates)
    authority = TestAuthority(certificates, JUKI_NET)
    for name in PAIR:
        authority.issue(name, Profile.ENCRYPTION)
        shutil.copy(certificates / f"{name}.pem", certificates / f"{name}-known.pem")
    closing = {
        "order_checked": False,
        "encryption_key": str(certificates / "city-cs-encryption.key"),
        "caller_encryption_certificate": str(certificates / "gateway-encryption-known.pem"),
    }
    async with Town(folder, Plan(workers=WORKERS, population=2000, simulator=closing)) as town:
        town.set_up()
        config = read_yaml(town.config.read_text(encoding="utf-8"))
        config["parties"]["city-cs"]["encryption"] = {"partner": "city-cs-encryption-known"}
        town.config.write_text(yaml.safe_dump(config), encoding="utf-8")
        await town.start()
        yield town


def successor(town: Town, network: Network) -> TestAuthority:
    """A new root of the network, with all below it."""
    made = TestAuthority(town.folder / "successor", network)
    made.create()
    return made


async def both_count(town: Town, network: Network, new: TestAuthority) -> None:
    """The window: whoever has a certificate of either root is known."""
    trust = [] if network is IN_HOUSE else ["--trust", network.name]
    assert await renkei(town, "certs", "import", "ca", str(new.ca), *trust) == {"taken": len(network.levels)}
    assert await renkei(town, "certs", "import", "crl", str(new.crl), *trust) == {"taken": len(network.levels)}


async def broker_knows(town: Town) -> None:
    """Until RabbitMQ has taken over what was imported before: that takes a command of some seconds, or two."""
    began = dt.datetime.now(dt.UTC)

    def told() -> list[dt.datetime]:
        lines = [json.loads(each) for each in (town.folder / "log" / "renkei.log").read_text().splitlines() if "certificates-taken" in each]
        return [dt.datetime.fromisoformat(each["timestamp"]) for each in lines]

    async def quiet() -> bool:
        last = max(told(), default=None)
        return last is not None and last > began - dt.timedelta(seconds=5) and dt.datetime.now(dt.UTC) - last > dt.timedelta(seconds=6)

    await until(quiet, timeout_s=60)


async def all_from(town: Town, network: Network, new: TestAuthority) -> None:
    """Everybody's certificate for TLS from the new root; returns when all listeners show theirs."""
    for name, profile in TOWN[network].items():
        if profile not in (Profile.SERVER, Profile.CLIENT, Profile.PEER):
            continue
        loopback = {"dns": LOOPBACK_DNS, "ips": LOOPBACK_IPS} if profile is not Profile.CLIENT else {}
        files = new.issue(name, profile, **loopback)
        shutil.copy(files.key, town.certificates / f"{name}.key")
        shutil.copy(files.certificate, town.certificates / f"{name}.pem")
    ports = {
        IN_HOUSE: {
            town.ports.https: ("gateway", REGISTER),
            town.ports.admin: ("gateway", "operator-a"),
            **{town.ports.metrics + index: ("gateway", "monitor") for index in range(WORKERS + 1)},
            town.ports.broker_tls: ("broker", REGISTER),
        },
        JUKI_NET: {town.ports.city_cs: ("city-cs", "gateway-juki-net")},
    }[network]
    for port, (server, client) in ports.items():

        async def new_one(port: int = port, server: str = server, client: str = client) -> bool:
            return await shown(port, town, client) == on_disk(town, server)

        await until(new_one, timeout_s=30)


async def for_messages(town: Town, new: TestAuthority, profile: Profile, ours: str, theirs: str, known: tuple[str, str]) -> None:
    """Both sides' keys of one use: asked for, answered by the new authority, known to the other side, used.

    :param known: the copies: of ours with the party, of theirs with us.
    """
    trust = PathCheck(town.certificates / f"{JUKI_NET.name}-ca.pem", town.certificates / f"{JUKI_NET.name}-ca.crl")
    kind = ["--key", "rsa-3072"] if profile is Profile.ENCRYPTION else []

    def answered(name: str) -> Path:
        answer = town.folder / f"{name}-new.pem"
        answer.write_bytes(new.issue_for((town.certificates / f"{name}.csr").read_bytes(), profile))
        return answer

    with_party, with_us = known
    await renkei(town, "certs", "request", ours, *kind)
    await renkei(town, "certs", "import", ours, str(answered(ours)), "--trust", JUKI_NET.name, "--later")
    take_partner(town.certificates / f"{with_party}.pem", [(town.certificates / f"{ours}.next.pem").read_bytes()], trust)
    await asyncio.sleep(FOLLOWED_S)
    await renkei(town, "certs", "import", ours, "--trust", JUKI_NET.name, "--switch")
    store = CertificateStore(town.certificates)
    store.request(theirs, key_type="rsa-3072" if profile is Profile.ENCRYPTION else "p256")
    answer = answered(theirs)
    roots = load_certificates(new.ca)
    if profile is Profile.ENCRYPTION:  # the party understands both keys as soon as it has the new one, and then we encrypt for it
        store.take(theirs, [answer.read_bytes()], trust, roots)
        await asyncio.sleep(FOLLOWED_S)
    else:  # we must know the new one before it is used
        store.take(theirs, [answer.read_bytes()], trust, roots, later=True)
    await renkei(town, "certs", "import", with_us, str(answer), "--partner", "--trust", JUKI_NET.name)
    await asyncio.sleep(FOLLOWED_S)
    if profile is not Profile.ENCRYPTION:
        store.switch(theirs)
        await asyncio.sleep(FOLLOWED_S)
    take_partner(town.certificates / f"{with_party}.pem", [(town.certificates / f"{ours}.pem").read_bytes()], trust, only=True)
    await renkei(town, "certs", "import", with_us, str(answer), "--partner", "--only", "--trust", JUKI_NET.name)


async def only_new(town: Town, network: Network, new: TestAuthority) -> None:
    """The end of the window."""
    trust = [] if network is IN_HOUSE else ["--trust", network.name]
    assert await renkei(town, "certs", "import", "ca", str(new.ca), "--only", *trust) == {"taken": len(network.levels)}


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I6")
async def test_roots_and_keys_of_encryption_are_replaced_under_traffic_and_no_delivery_fails(town: Town) -> None:
    first = town.register(days=[1], events_a_day=2000, per_s=12, **TRAFFIC)
    first.start()

    async def flowing(more: int = 20) -> bool:
        return town.verdict().effects > more

    await until(flowing, timeout_s=60)
    juki_net, in_house = successor(town, JUKI_NET), successor(town, IN_HOUSE)
    for network, new in ((JUKI_NET, juki_net), (IN_HOUSE, in_house)):
        await both_count(town, network, new)
    await broker_knows(town)
    for network, new in ((JUKI_NET, juki_net), (IN_HOUSE, in_house)):
        await all_from(town, network, new)
    signing = (f"{town.known('gateway-signing', of='city-cs').stem}", town.known("city-cs-signing", of="gateway").stem)
    await for_messages(town, juki_net, Profile.SIGNING, "gateway-signing", "city-cs-signing", signing)
    await for_messages(town, juki_net, Profile.ENCRYPTION, *PAIR, ("gateway-encryption-known", "city-cs-encryption-known"))
    await only_new(town, JUKI_NET, juki_net)  # the party's network while messages flow
    reached = town.verdict().effects

    async def still_flowing() -> bool:
        return await flowing(reached + 20)

    await until(still_flowing, timeout_s=60)
    assert first.running, "the traffic must go on meanwhile"
    first.signal(signal.SIGUSR1)  # no more messages
    assert await first.wait_ended(120) == 0
    # what a sender of ours shows on a connection that it keeps is its own business, so only now
    await only_new(town, IN_HOUSE, in_house)
    await broker_knows(town)
    second = town.register(days=[2], events_a_day=40, per_s=30, **TRAFFIC)
    second.start()
    assert await second.wait_ended(120) == 0

    async def settled() -> bool:
        verdict = town.verdict()
        return verdict.complete and verdict.effects >= verdict.accepted

    await until(settled, timeout_s=60)
    verdict = town.verdict(time_up=True)
    assert (verdict.lost, verdict.stuck, verdict.refused, verdict.unaccepted) == (0, 0, 0, 0), verdict
    assert verdict.effects == verdict.accepted > 150
    counted = await outcomes(town)
    assert {series for series in counted if "outcomes" in series} == {
        'renkei_delivery_outcomes_total{outcome="delivered",party="city-cs"}'
    }, counted
    assert not [series for series in counted if "refusals" in series], counted
    for name in ("gateway", "gateway-juki-net", "city-cs", "gateway-signing", "city-cs-signing", *PAIR):
        issuer = load_certificates(town.certificates / f"{name}.pem")[0].issuer
        assert issuer in {each.subject for each in (*load_certificates(juki_net.ca), *load_certificates(in_house.ca))}, name
