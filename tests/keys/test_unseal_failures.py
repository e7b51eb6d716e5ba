"""What does not open is our own affair: the party is not called, not blamed, and what passes costs the record nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.contract import CallNotPrepared, QueryAnswer, RetryLater
from gateway.delivery.calls import Caller
from gateway.errors import ConfigurationError, GatewayError
from gateway.ledger.claims import Claimed
from gateway.ledger.clock import boot_time
from gateway.policy.rights import Rights
from gateway.security.sealing import SealBroken
from gateway.security.token import TokenUnavailable

pytestmark = pytest.mark.rule("R12")


class Broken:
    """A sealer that opens nothing."""

    def __init__(self, error: GatewayError) -> None:
        self.error = error

    def unseal(self, sealed: bytes, **_: Any) -> bytes:
        raise self.error


class Untouched:
    async def deliver(self, envelopes: Any) -> Any:
        raise AssertionError("the party must not be called")

    async def query(self, envelope: Any) -> Any:
        raise AssertionError("the party must not be asked")


class Alive:
    def alive(self, registration: str) -> bool:
        return True


def claim(*, query: bool = False) -> Claimed:
    return Claimed(
        key_id="k", epoch=1, delivery_id="d", message_id="m", message_type="t", party="city-cs", party_key=None, attempt=1, resent=False,
        call_cap=None, payload_id="p", query=query, sealed=b"x", wrapped=b"x", kek_id="kek", booted_at=boot_time(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "spends"),
    [
        (TokenUnavailable("token-unreachable", "away"), False),
        (SealBroken("seal-broken", "altered"), True),
        (ConfigurationError("key-unknown", "gone"), True),
    ],
)
async def test_the_party_is_neither_called_nor_blamed(error: GatewayError, spends: bool) -> None:
    caller = Caller(Untouched(), Broken(error), Alive(), Rights(), calls=1, call_s=5.0)  # type: ignore[arg-type]
    called = await caller.send("w", [claim()])
    [learned] = called.learned
    assert (learned.answer, learned.ours, learned.spends) == (RetryLater(code=error.code), True, spends)
    assert (called.unsent, called.seconds) == ((), None)
    [asked] = (await caller.ask("w", claim(query=True))).learned
    assert isinstance(asked.answer, QueryAnswer)
    assert (asked.answer.code, asked.ours) == (error.code, True)


@pytest.mark.parametrize("passing", [True, False])
async def test_a_request_that_could_not_be_made_is_ours_too(passing: bool) -> None:
    class Opens:
        def unseal(self, sealed: bytes, **_: Any) -> bytes:
            return b"<fictitious/>"

    class Unprepared:
        manifest = SimpleNamespace(party="city-cs")

        async def deliver(self, envelopes: Any) -> Any:
            raise CallNotPrepared("token-unreachable", passing=passing)

    caller = Caller(Unprepared(), Opens(), Alive(), Rights(), calls=1, call_s=5.0)  # type: ignore[arg-type]
    caller._allowed = lambda standing, claim, envelope, less: envelope  # type: ignore[method-assign]
    [learned] = (await caller.send("w", [claim()])).learned
    assert (learned.answer, learned.ours, learned.spends) == (RetryLater(code="token-unreachable"), True, not passing)
