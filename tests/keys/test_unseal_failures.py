"""What does not open is our own affair: the party is not called, not blamed, and what passes costs the record nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contract import QueryAnswer, RetryLater
from gateway.delivery.calls import Caller
from gateway.errors import ConfigurationError, GatewayError
from gateway.ledger.claims import Claimed
from gateway.ledger.clock import boot_time
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
    caller = Caller(Untouched(), Broken(error), Alive(), calls=1, call_s=5.0)  # type: ignore[arg-type]
    called = await caller.send("w", [claim()])
    [learned] = called.learned
    assert (learned.answer, learned.ours, learned.spends) == (RetryLater(code=error.code), True, spends)
    assert (called.unsent, called.seconds) == ((), None)
    [asked] = (await caller.ask("w", claim(query=True))).learned
    assert isinstance(asked.answer, QueryAnswer)
    assert (asked.answer.code, asked.ours) == (error.code, True)
