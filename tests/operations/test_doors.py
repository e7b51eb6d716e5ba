"""The doors of a whole running gateway: what listens, certificates that change under traffic, and what is on record of who was refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import IN_HOUSE, JUKI_NET, Profile, TestAuthority
from certs.path import PathCheck, load_certificates
from certs.setup import LOOPBACK_DNS, LOOPBACK_IPS, TOWN
from certs.store import CertificateStore, take_partner
from simulators.harness.town import REGISTER, Plan, Town
from tests.operations.test_processes import look
from tests.support.broker import listeners, sockets_of, until
from tests.support.data import read_yaml

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
WORKERS = 2
# two runs of the register, and nobody comes or goes, so that the second needs to know nothing of the first
PLAN = Plan(inbound=True, workers=WORKERS, population=2000, simulator={"order_checked": False})
TRAFFIC: dict[str, Any] = {"kinds": ["MOVE", "AMEND_OFF"]}


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with Town(tmp_path_factory.mktemp("town"), PLAN) as town:
        town.set_up()
        config = read_yaml(town.config.read_text(encoding="utf-8"))
        config["audit"] = {**config.get("audit", {}), "checkpoint_s": 2}
        town.config.write_text(yaml.safe_dump(config), encoding="utf-8")
        await town.start()
        yield town


# --- what listens


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue  # ended while we looked
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def documented(page: str) -> list[str]:
    """The keys of the table of ports."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    table = re.search(r"\n\|[^\n]+\|\n\|---\|---\|---\|\n((?:\|[^\n]*\n)+)", text[text.index("17671") - 500 :])
    assert table is not None
    return [row.split("|")[2].strip() for row in table[1].splitlines()]


@pytest.mark.control("C-1-7-2")
@pytest.mark.parametrize("page", ["operations.md", "operations.ja.md"])
async def test_what_listens_is_what_the_page_lists(town: Town, page: str) -> None:
    config: dict[str, Any] = read_yaml(town.config.read_text(encoding="utf-8"))
    expected: set[tuple[str, int]] = set()
    chosen_by_the_system = 0
    for key in documented(page):
        if key == "–":
            chosen_by_the_system += 2
            continue
        value: Any = config
        for step in key.split("`")[1].split("."):
            value = value[step]
        ports = range(value + 1, value + 1 + WORKERS) if "+ n" in key else [value]
        expected |= {("127.0.0.1", port) for port in ports}
    inodes = {inode for pid in family(town["renkei"].pid) for inode in sockets_of(pid)}
    found = {(address, port) for address, port, inode in listeners() if inode in inodes}
    assert expected <= found
    others = found - expected
    assert len({port for _, port in others}) == chosen_by_the_system == 2
    assert {address for address, _ in others} <= {"127.0.0.1", "::1"}


@pytest.mark.control("C-M-6-9")
@pytest.mark.control("C-1-2-24")
async def test_every_listener_binds_to_the_address_of_its_own_and_to_no_other(tmp_path: Path) -> None:
    async with Town(tmp_path, Plan(workers=1)) as town:
        town.set_up()
        config: dict[str, Any] = read_yaml(town.config.read_text(encoding="utf-8"))
        places = [config["intake"]["https"], config["admin"], config["metrics"], config["broker"]["embedded"]["listener"]]
        for number, place in enumerate(places, start=2):
            place["host"] = f"127.0.0.{number}"
        town.config.write_text(yaml.safe_dump(config), encoding="utf-8")
        await town.start()
        inodes = {inode for pid in family(town["renkei"].pid) for inode in sockets_of(pid)}
        found = {(address, port) for address, port, inode in listeners() if inode in inodes}
    for place in places:
        assert {address for address, port in found if port == place["port"]} == {place["host"]}


# --- certificates that change


def authorities(town: Town) -> dict[str, TestAuthority]:
    """Of every name that this town uses for TLS. Who signs messages is agreed between two parties: see :func:`change_signers`."""
    made = {network: TestAuthority(town.certificates, network) for network in (IN_HOUSE, JUKI_NET)}
    tls = (Profile.SERVER, Profile.CLIENT, Profile.PEER)
    return {name: made[network] for network in made for name, profile in TOWN[network].items() if profile in tls}


def serial(town: Town, name: str) -> str:
    return f"{load_certificates(town.certificates / f'{name}.pem')[0].serial_number:x}"


async def shown(port: int, town: Town, client: str) -> bytes:
    """The certificate that a listener shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(town.certificates / f"{client}.pem", town.certificates / f"{client}.key")
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return der


def on_disk(town: Town, name: str) -> bytes:
    leaf: x509.Certificate = load_certificates(town.certificates / f"{name}.pem")[0]
    return leaf.public_bytes(Encoding.DER)


async def rotate(town: Town) -> None:
    """Every certificate and every list, new; returns when all listeners show theirs."""
    everybody = authorities(town)
    for name, authority in everybody.items():
        profile = next(names[name] for names in TOWN.values() if name in names)
        loopback = {"dns": LOOPBACK_DNS, "ips": LOOPBACK_IPS} if profile in (Profile.SERVER, Profile.PEER) else {}
        authority.issue(name, profile, **loopback)
    for authority in set(everybody.values()):
        authority.renew_crl()
    ports = {
        town.ports.https: ("gateway", REGISTER),
        town.ports.admin: ("gateway", "operator-a"),
        **{town.ports.metrics + index: ("gateway", "monitor") for index in range(WORKERS + 1)},
        town.ports.broker_tls: ("broker", REGISTER),
        town.ports.city_cs: ("city-cs", "gateway-juki-net"),
    }
    for port, (server, client) in ports.items():

        async def new(port: int = port, server: str = server, client: str = client) -> bool:
            return await shown(port, town, client) == on_disk(town, server)

        await until(new, timeout_s=30)


FOLLOWED_S = 1.2
"""Files are looked at once a second (gateway) or twice (simulator), and nothing outside shows that they were."""


async def renkei(town: Town, *arguments: str) -> Any:
    """A command on the gateway's machine; what it says as JSON."""
    person = ["--as", "operator-a"] if arguments[0] == "keys" else []
    done = await asyncio.to_thread(
        subprocess.run, [*town.plan.command, *arguments, "--config", str(town.config), *person, "--json"],
        capture_output=True, text=True, timeout=60, cwd=town.folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def change_signers(town: Town) -> None:
    """Both sides' keys for messages: asked for, answered, known to the other side, used, and only then forgotten."""
    authority, folder = TestAuthority(town.certificates, JUKI_NET), town.folder
    trust = PathCheck(authority.ca, authority.crl)

    def answered(name: str) -> Path:
        answer = folder / f"{name}-answer.pem"
        answer.write_bytes(authority.issue_for((town.certificates / f"{name}.csr").read_bytes(), Profile.SIGNING))
        return answer

    # ours, with the commands of an operator; the party's copy is the party's business
    ours, with_party = "gateway-signing", town.known("gateway-signing", of="city-cs")
    await renkei(town, "certs", "request", ours)
    await renkei(town, "certs", "import", ours, str(answered(ours)), "--trust", "juki-net", "--later")
    next_one = town.certificates / f"{ours}.next.pem"
    assert take_partner(with_party, [next_one.read_bytes()], trust) == 2
    await asyncio.sleep(FOLLOWED_S)
    await renkei(town, "certs", "import", ours, "--trust", "juki-net", "--switch")
    # theirs, the other way about
    theirs, with_us = "city-cs-signing", town.known("city-cs-signing", of="gateway").stem
    store = CertificateStore(town.certificates)
    store.request(theirs)
    answer = answered(theirs)
    store.take(theirs, [answer.read_bytes()], trust, load_certificates(authority.ca), later=True)
    assert await renkei(town, "certs", "import", with_us, str(answer), "--partner", "--trust", "juki-net") == {"taken": 2}
    await asyncio.sleep(FOLLOWED_S)
    store.switch(theirs)
    # what was signed with the old ones is under way for as long as a call lasts
    await asyncio.sleep(FOLLOWED_S)
    take_partner(with_party, [(town.certificates / f"{ours}.pem").read_bytes()], trust, only=True)
    assert await renkei(town, "certs", "import", with_us, str(answer), "--partner", "--only", "--trust", "juki-net") == {"taken": 1}


async def change_keys(town: Town) -> dict[str, str]:
    """Every key of the gateway's own; returns the new ones by kind."""
    kinds = ("jwe", "content", "kek", "blind", "audit")
    return {kind: (await renkei(town, "keys", "rotate", kind, "--reason", "test of rotation"))["id"] for kind in kinds}


def connections_to(port: int) -> int:
    """Established connections of this machine to a port of its own."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[2].split(":")[1], 16) == port for row in rows)


async def outcomes(town: Town) -> dict[str, float]:
    """What the metrics of all processes count, of calls and of refused peers."""
    found: dict[str, float] = {}
    for index in range(WORKERS + 1):
        status, text = await look(town, index, "/metrics")
        assert status == 200
        for series, value in re.findall(r"^(renkei_(?:delivery_outcomes|peer_refusals)_total\{.*\}) (\S+)$", text, re.M):
            found[series] = found.get(series, 0) + float(value)
    return found


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I6")
async def test_every_key_and_certificate_is_replaced_under_traffic_and_no_delivery_fails(town: Town) -> None:
    first = town.register(days=[1], events_a_day=2000, per_s=14, **TRAFFIC)
    first.start()
    signers = {name: TestAuthority(town.certificates, JUKI_NET) for name in ("gateway-signing", "city-cs-signing")}
    before = {name: serial(town, name) for name in (*authorities(town), *signers)}

    async def flowing() -> bool:
        return town.verdict().effects > 20

    await until(flowing, timeout_s=60)
    await rotate(town)
    await change_signers(town)
    made = await change_keys(town)
    assert first.running, "the traffic must go on meanwhile"
    first.signal(signal.SIGUSR1)  # no more messages
    assert await first.wait_ended(120) == 0

    async def settled() -> bool:
        verdict = town.verdict()
        return verdict.complete and verdict.effects >= verdict.accepted

    await until(settled, timeout_s=60)
    verdict = town.verdict(time_up=True)
    assert verdict.ok, verdict

    # now the old ones are of no use any more: whoever still showed one would be refused
    await until(lambda: connections_to(town.ports.city_cs) == 0, timeout_s=30)
    for name, authority in (authorities(town) | signers).items():
        assert serial(town, name) != before[name]
        authority.revoke(name, before[name])
    second = town.register(days=[2], events_a_day=60, per_s=30, **TRAFFIC)
    second.start()
    assert await second.wait_ended(120) == 0

    await until(settled, timeout_s=60)
    verdict = town.verdict(time_up=True)
    # the second run numbers from the start again: of it only that everything got through is asked
    assert (verdict.lost, verdict.stuck, verdict.refused, verdict.unaccepted) == (0, 0, 0, 0), verdict
    assert verdict.effects == verdict.accepted > 100
    counted = await outcomes(town)
    # what the city CS said of each is for the register's queue, and nobody consumes that here
    assert {series for series in counted if "outcomes" in series and f'party="{REGISTER}"' not in series} == {
        'renkei_delivery_outcomes_total{outcome="delivered",party="city-cs"}'
    }, counted
    assert not [series for series in counted if "refusals" in series], counted

    shown = {(each["kind"], each["id"]): each for each in await renkei(town, "keys", "list")}
    for kind, new in made.items():
        assert shown.pop((kind, new))["state"] == "current"
    assert not [each for each in shown.values() if each["uses"]], "nothing hangs on an older key"

    async def signed_by_both() -> bool:
        """The old audit key announced the new one, which signs from then on."""
        record = await renkei(town, "audit", "verify")
        assert record["ok"], record
        return len(record["keys"]) == 2

    await until(signed_by_both, timeout_s=30)


# --- what is on record


@pytest.mark.invariant("I8")
@pytest.mark.rule("R22")
async def test_who_was_refused_is_on_record_for_every_listener(town: Town, tmp_path: Path) -> None:
    """The last test of this file: it stops the gateway, which writes what it counted."""
    stranger = TestAuthority(tmp_path)
    stranger.create()
    files = stranger.issue("gateway", Profile.CLIENT)
    ours = authorities(town)["gateway"]
    known = ours.issue("cleaner", Profile.CLIENT)
    fingerprints = []
    for files_of_one in (files, known):
        leaf = load_certificates(files_of_one.certificate)[0]
        fingerprints.append(leaf.fingerprint(leaf.signature_hash_algorithm).hex())  # type: ignore[arg-type]
        for port in (town.ports.https, town.ports.admin, town.ports.metrics, town.ports.metrics + 1):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof"]
            shown_by = ["-cert", str(files_of_one.certificate), "-key", str(files_of_one.key)]
            process = await asyncio.create_subprocess_exec(
                *command, *shown_by, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            out, _ = await asyncio.wait_for(process.communicate(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 20)
            assert b" 200 OK" not in out
    broker = ["openssl", "s_client", "-connect", f"127.0.0.1:{town.ports.broker_tls}"]
    broker += ["-cert", str(files.certificate), "-key", str(files.key)]
    await asyncio.to_thread(subprocess.run, broker, input=b"AMQP", capture_output=True, timeout=20, check=False)
    # the broker tells its log, and that in its own time
    log = town.var / "log"
    await until(lambda: any('"place": "broker"' in file.read_text() for file in log.glob("gateway*.log")), timeout_s=30)
    assert await town["renkei"].stop(60) == 0
    with sqlite3.connect(town.var / "ledger" / "renkei.db") as ledger:
        rows = [json.loads(row[0]) for row in ledger.execute("SELECT detail FROM audit_entry WHERE kind = 'peer-refused'")]
    found = {(row["place"], row["code"], row["address"], tuple(row["certificates"])): 0 for row in rows}
    for row in rows:
        found[row["place"], row["code"], row["address"], tuple(row["certificates"])] += row["count"]
    foreign, cleaner = ((fingerprint,) for fingerprint in fingerprints)
    assert found == {
        ("intake", "issuer-unknown", "127.0.0.1", foreign): 1,
        ("admin", "issuer-unknown", "127.0.0.1", foreign): 1,
        ("metrics", "issuer-unknown", "127.0.0.1", foreign): 2,
        ("intake", "unknown-sender", "127.0.0.1", cleaner): 1,
        ("admin", "unknown-operator", "127.0.0.1", cleaner): 1,
        ("metrics", "wrong-peer", "127.0.0.1", cleaner): 2,
        ("broker", "issuer-unknown", "unknown", ()): 1,
    }
