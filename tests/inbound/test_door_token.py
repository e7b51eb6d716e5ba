"""Answers to a party that are signed in a PKCS#11 token (C-2-2-9): made in a thread, so that a slow token stops nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs.authority import Profile, TestAuthority
from certs.path import load_certificates
from gateway.security.soap.keys import SigningKey, TokenKey
from gateway.security.token import Token, TokenUnavailable
from tests.inbound.kit import notice
from tests.inbound.test_door import House, home, listen
from tests.security.test_token import key_in_token
from tests.support.token import soft_token, token_settings

__all__ = ["home", "soft_token", "token_settings"]
pytestmark = [pytest.mark.control("C-2-2-9"), pytest.mark.invariant("I4"), pytest.mark.thorough]
SIGNER = "gateway-signing"


def made_in_the_token(authority: TestAuthority, token: Token, label: str) -> Path:
    """A pair that is made in the token, certified for the gateway: there is no private key on the disk."""
    public = key_in_token(token, label, "ec").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    files = authority.files(SIGNER)
    subject = load_certificates(files.certificate)[0].subject
    with authority._locked():
        files.certificate.write_bytes(authority._sign(SIGNER, Profile.SIGNING, subject, public, [], None, None))
    files.key.unlink()
    return files.certificate


@dataclass
class Slow:
    """Our key in the token, which a test makes wait."""

    key: TokenKey
    before: Callable[[], None] = lambda: None
    threads: list[int] = field(default_factory=list)
    waits: bool = True
    problem: str | None = None

    def current(self) -> SigningKey:
        self.threads.append(threading.get_ident())
        self.before()
        return self.key.current()


@pytest.mark.parametrize("wrong", [False, True], ids=["receipts", "fault"])
async def test_the_loop_goes_on_while_the_token_signs_an_answer(home: House, soft_token: Token, wrong: bool) -> None:
    label = f"answers-{wrong}"
    certificate = made_in_the_token(home.authority, soft_token, label)
    slow = Slow(TokenKey(certificate, soft_token, label))
    assert home.intake is not None
    runner = await listen(home, "city-cs", home.intake, own=slow)
    went_on, loop = threading.Event(), asyncio.get_running_loop()

    def before() -> None:
        """The token answers only when the loop has gone on: on the loop itself this would wait in vain."""
        loop.call_soon_threadsafe(went_on.set)
        assert went_on.wait(10.0), "the event loop stood still while the token signed"

    slow.before = before
    more: dict[str, Any] = {"operation": "NoSuchOperation"} if wrong else {}
    signer = home.notices("city-cs")
    said = await (signer.send("SendMoveInNotice", []) if wrong else home.send(signer, notice(), **more))
    assert said.signed, "the party's own implementation takes the signature for ours"
    if wrong:
        assert said.fault is not None
    else:
        assert [each["outcome"] for each in said.results] == ["accepted"]
        assert len(home.ledger.accepted) == 1
    assert slow.threads
    assert threading.get_ident() not in slow.threads
    assert not home.authority.files(SIGNER).key.exists()
    await runner.cleanup()


@pytest.mark.invariant("I5")
async def test_a_token_that_is_away_lets_the_party_send_again_and_nothing_is_said_unsigned(home: House, soft_token: Token) -> None:
    label = "answers-away"
    slow = Slow(TokenKey(made_in_the_token(home.authority, soft_token, label), soft_token, label))
    assert home.intake is not None
    runner = await listen(home, "city-cs", home.intake, own=slow)

    def away() -> None:
        raise TokenUnavailable("token-unavailable", "the token does not answer")

    slow.before = away
    party = home.notices("city-cs")
    said = await party.send("SendMoveInNotice", [notice_of := _notice("the-same-id")])
    assert (said.status, said.signed, said.results, said.fault, said.content) == (503, False, (), None, b"")
    slow.before = lambda: None
    said = await party.send("SendMoveInNotice", [notice_of])
    assert (said.signed, [each["outcome"] for each in said.results]) == (True, ["accepted"])
    assert len(home.ledger.accepted) == 1, "it had been accepted; the second time it is the same"
    await runner.cleanup()


def _notice(name: str) -> Any:
    from simulators.soap.notices import Notice

    return Notice(delivery_id=name, xml=notice())
