"""TLS towards a party with a private key that is in a token and nowhere else (C-2-2-9): a local terminator does what Python's ssl cannot.

gateway ──TLS, our own certificate──▶ stunnel ──Unix socket, 0700 folder──▶ stunnel ──TLS, key in the token──▶ party

``docs/keys.md`` describes the same set-up for an installation; the configuration below is that of the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from certs.authority import Profile, TestAuthority
from certs.setup import ensure
from certs.tls import server_context
from gateway.contract import CallNotSent, CallUnanswered
from gateway.delivery.transport import Endpoint, PartyHttp
from gateway.security.token import Token
from tests.security.raw import OK, Conversation, free_port, raw_server
from tests.support.broker import until
from tests.support.token import LABEL, LIBRARY, PIN

ENGINE = next(iter(Path("/usr/lib").glob("*/engines-3/pkcs11.so")), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.control("C-2-2-9"),
    pytest.mark.invariant("I6"),
    pytest.mark.skipif(shutil.which("stunnel") is None or ENGINE is None, reason="needs stunnel and OpenSSL's engine for PKCS#11"),
]

CONFIGURATION = """\
foreground = yes
syslog = no
pid =
debug = notice
engine = pkcs11
engineCtrl = MODULE_PATH:{library}

[from-gateway]
accept = 127.0.0.1:{port}
connect = {socket}
cert = {certs}/terminator.pem
key = {certs}/terminator.key
CAfile = {certs}/ca.pem
CRLfile = {certs}/ca.crl
verifyChain = yes
requireCert = yes
checkHost = gateway
sslVersionMin = TLSv1.3

[to-party]
client = yes
accept = {socket}
connect = 127.0.0.1:{party}
engineId = pkcs11
cert = {certs}/for-city-cs.pem
key = pkcs11:token={token};object={object};type=private;pin-source=file:{pin}
CAfile = {certs}/ca.pem
CRLfile = {certs}/ca.crl
verifyChain = yes
checkHost = city-cs
sslVersionMin = TLSv1.2
"""


@dataclass
class Way:
    """A terminator between us and a party."""

    authority: TestAuthority
    http: PartyHttp
    port: int
    party: int
    seen: list[str]
    """Whose certificate the party saw."""


def into_the_token(token: Token, key_file: Path, label: str) -> None:
    """As an authority's answer would be brought in. A key of production is made in the token (``docs/keys.md``)."""
    from pkcs11 import Attribute, KeyType, ObjectClass
    from pkcs11.util.ec import encode_named_curve_parameters

    loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
    number = loaded.private_numbers().private_value  # type: ignore[union-attr]
    point = loaded.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)

    def make(session: object) -> None:
        session.create_object(  # type: ignore[attr-defined]
            {
                Attribute.CLASS: ObjectClass.PRIVATE_KEY,
                Attribute.KEY_TYPE: KeyType.EC,
                Attribute.LABEL: label,
                Attribute.ID: label.encode(),
                Attribute.TOKEN: True,
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.SIGN: True,
                Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1"),
                Attribute.VALUE: number.to_bytes(32),
            }
        )
        session.create_object(  # type: ignore[attr-defined]
            {
                Attribute.CLASS: ObjectClass.PUBLIC_KEY,
                Attribute.KEY_TYPE: KeyType.EC,
                Attribute.LABEL: label,
                Attribute.ID: label.encode(),
                Attribute.TOKEN: True,
                Attribute.VERIFY: True,
                Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1"),
                Attribute.EC_POINT: bytes([4, len(point)]) + point,
            }
        )

    token.run(make)
    key_file.unlink()


@contextlib.asynccontextmanager
async def terminator(folder: Path, token: Token, authority: TestAuthority) -> AsyncIterator[Way]:
    """stunnel between us and a party, with the key for it moved into the token."""
    label = f"for-city-cs-{secrets.token_hex(4)}"
    authority.issue("terminator", Profile.SERVER)
    authority.issue("for-city-cs", Profile.CLIENT)
    into_the_token(token, authority.files("for-city-cs").key, label)
    port, party = free_port(), free_port()
    home = folder / "stunnel"
    home.mkdir(mode=0o700)
    for name in ("stunnel.conf", "pin"):
        (home / name).touch(mode=0o600)
    (home / "pin").write_text(PIN)
    places = {
        "library": LIBRARY,
        "pin": home / "pin",
        "port": port,
        "party": party,
        "socket": home / "socket",
        "certs": authority.directory,
    }
    (home / "stunnel.conf").write_text(CONFIGURATION.format(token=LABEL, object=label, **places))
    with (home / "log").open("w") as log:
        stunnel = subprocess.Popen(["stunnel", str(home / "stunnel.conf")], stdout=log, stderr=log, env=os.environ)
    endpoint = Endpoint(url=f"https://127.0.0.1:{port}", peer="terminator", connect_s=3.0, call_s=10.0)
    ours = authority.files("gateway")
    http = PartyHttp.from_files(endpoint, certificate=ours.certificate, key=ours.key, ca=authority.ca, crl=authority.crl)
    try:
        await until(lambda: stunnel.poll() is not None or (home / "socket").exists())
        assert stunnel.poll() is None, (home / "log").read_text()
        yield Way(authority, http, port, party, [])
        assert PIN not in (home / "log").read_text()
    finally:
        await http.close()
        stunnel.terminate()
        stunnel.wait(10)


async def conversation(way: Way, talk: Conversation) -> None:
    await talk.request()
    certificate = talk.writer.get_extra_info("peercert")
    way.seen += [value for part in certificate["subject"] for name, value in part if name == "commonName"]
    await talk.send(OK)


async def test_the_party_sees_the_certificate_whose_key_is_in_the_token(tmp_path: Path, soft_token: Token) -> None:
    authority = ensure(tmp_path / "certs")
    async with terminator(tmp_path, soft_token, authority) as way:
        assert [path.name for path in authority.directory.glob("for-city-cs.*")] == ["for-city-cs.pem"], "no private key on the disk"
        async with raw_server(lambda talk: conversation(way, talk), serving(authority, "city-cs"), port=way.party):
            assert (await way.http.post("/x", b"<fictitious/>", {})).status == 200
    assert way.seen == ["for-city-cs"]


@pytest.mark.parametrize("wrong", ["other-party", "revoked"])
async def test_the_terminator_insists_on_the_party(tmp_path: Path, soft_token: Token, wrong: str) -> None:
    authority = ensure(tmp_path / "certs")
    name = "city-cs"
    if wrong == "other-party":
        name = "prefecture-server"
        authority.issue(name, Profile.SERVER)
    else:
        authority.revoke(name)
    async with (
        terminator(tmp_path, soft_token, authority) as way,
        raw_server(lambda talk: conversation(way, talk), serving(authority, name), port=way.party),
    ):
        with pytest.raises((CallUnanswered, CallNotSent)):
            await way.http.post("/x", b"<fictitious/>", {})
    assert way.seen == [], "nothing was said to it"


@pytest.mark.parametrize("who", ["monitor", None])
async def test_nobody_but_the_gateway_may_use_the_key(tmp_path: Path, soft_token: Token, who: str | None) -> None:
    authority = ensure(tmp_path / "certs")
    async with (
        terminator(tmp_path, soft_token, authority) as way,
        raw_server(lambda talk: conversation(way, talk), serving(authority, "city-cs"), port=way.party),
    ):
        with pytest.raises((OSError, ssl.SSLError, asyncio.IncompleteReadError)):
            reader, writer = await asyncio.open_connection("127.0.0.1", way.port, ssl=authority_context(authority, who))
            writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            await reader.readexactly(1)
    assert way.seen == []


def authority_context(authority: TestAuthority, who: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.check_hostname = False
    if who is not None:
        context.load_cert_chain(authority.files(who).certificate, authority.files(who).key)
    return context


def serving(authority: TestAuthority, name: str) -> ssl.SSLContext:
    files = authority.files(name)
    return server_context(files.certificate, files.key, authority.ca, authority.crl)
