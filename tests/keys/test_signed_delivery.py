"""Whole deliveries whose signing key is in a token and on no disk (C-2-2-9), and whose Bodies are encrypted besides: real processes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.authority import JUKI_NET, Profile, TestAuthority
from certs.path import load_certificates
from gateway.security.token import Token, TokenSettings
from simulators.harness.town import Plan, Town
from tests.security.test_token import key_in_token
from tests.support.broker import until
from tests.support.data import read_yaml
from tests.support.token import LABEL, LIBRARY, PIN, soft_token, token_settings

__all__ = ["soft_token", "token_settings"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.control("C-2-2-9")]
SIGNER = "gateway-signing"


@dataclass
class Made:
    town: Town
    token: Token
    label: str


def key_made_in_the_token(town: Town, token: Token, label: str) -> None:
    """A pair that is made in the token, certified for the gateway; the pair on the disk goes."""
    public = key_in_token(token, label, "ec").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    authority = TestAuthority(town.certificates, JUKI_NET)
    subject = load_certificates(town.certificates / f"{SIGNER}.pem")[0].subject
    with authority._locked():
        chain = authority._sign(SIGNER, Profile.SIGNING, subject, public, [], None, None)
    (town.certificates / f"{SIGNER}.pem").write_bytes(chain)
    (town.certificates / f"{SIGNER}.key").unlink(missing_ok=True)


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory, token_settings: TokenSettings) -> AsyncIterator[Made]:
    folder = tmp_path_factory.mktemp("town")
    certificates = folder / "var" / "certs"
    closing = {
        "order_checked": False,
        "encryption_key": str(certificates / "city-cs-encryption.key"),
        "caller_encryption_certificate": str(certificates / "gateway-encryption.pem"),
    }
    town = Town(folder, Plan(workers=1, population=400, records_per_call=4, simulator=closing))
    token = Token(token_settings)
    async with town:
        town.set_up()
        label = f"signs-{folder.name}"
        key_made_in_the_token(town, token, label)
        authority = TestAuthority(town.certificates, JUKI_NET)
        for name in ("gateway-encryption", "city-cs-encryption"):
            authority.issue(name, Profile.ENCRYPTION)
        pin = folder / "pin"
        pin.touch(mode=0o600)
        pin.write_text(PIN)
        config = read_yaml(town.config.read_text())
        config["token"] = {"library": str(LIBRARY), "label": LABEL, "pin_file": str(pin)}
        config["parties"]["city-cs"]["signatures"]["token_key"] = label
        config["parties"]["city-cs"]["encryption"] = {"partner": "city-cs-encryption"}
        town.config.write_text(yaml.safe_dump(config))
        await town.start()
        yield Made(town, token, label)
        token.close()


def private_values(folder: Path) -> Iterator[int]:
    """Of every elliptic-curve private key that lies in a file there."""
    for file in folder.rglob("*.key"):
        try:
            key = load_pem_private_key(file.read_bytes(), None)
        except ValueError:
            continue
        if isinstance(key, ec.EllipticCurvePrivateKey):
            yield key.public_key().public_numbers().x


@pytest.mark.invariant("I6")
@pytest.mark.control("C-M-6-8")
async def test_what_is_signed_in_the_token_and_encrypted_is_delivered(made: Made) -> None:
    town = made.town
    register = town.register(days=[1], events_a_day=40, per_s=40, kinds=["MOVE", "AMEND_OFF"])
    register.start()
    assert await register.wait_ended(90) == 0
    await until(lambda: town.verdict().effects >= town.verdict().accepted, timeout_s=60)
    verdict = town.verdict(time_up=True)
    assert (verdict.effects, verdict.lost, verdict.stuck) == (40, 0, 0), verdict
    public = load_certificates(town.certificates / f"{SIGNER}.pem")[0].public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert not (town.certificates / f"{SIGNER}.key").exists()
    found = set(private_values(town.folder))
    assert found, "other keys do lie there"
    assert public.public_numbers().x not in found
    for file in (town.var / "log").glob("*.log"):
        assert PIN not in file.read_text(errors="replace")
        assert base64.b64encode(PIN.encode()).decode() not in file.read_text(errors="replace")


async def test_its_successor_is_made_beside_it_and_takes_over_without_a_restart(made: Made) -> None:
    town = made.town
    before = town.verdict().effects
    with_party = town.certificates / f"{SIGNER}-known-to-city-cs.pem"
    former = with_party.read_bytes()
    key_made_in_the_token(town, made.token, made.label)  # a second key with the same label
    chain = (town.certificates / f"{SIGNER}.pem").read_bytes()
    with_party.write_bytes(chain + former)
    register = town.register(days=[2], events_a_day=40, per_s=15, kinds=["MOVE", "AMEND_OFF"])
    register.start()
    assert await register.wait_ended(90) == 0
    await until(lambda: town.verdict().effects >= before + 40, timeout_s=60)
    with_party.write_bytes(chain)  # from here on only the new one is believed
    register = town.register(days=[3], events_a_day=10, per_s=5, kinds=["MOVE", "AMEND_OFF"])
    register.start()
    assert await register.wait_ended(90) == 0
    await until(lambda: town.verdict().effects >= before + 50, timeout_s=60)
