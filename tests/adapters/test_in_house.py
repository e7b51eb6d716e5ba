"""The adapter of our own systems by itself: what is pending, what is down, what is unknown; and the JWE that goes into the queue."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from adapters.core_register import CoreRegisterAdapter
from gateway.contract import AdapterHost, CallNotSent, CallUnanswered, Envelope, PartyDown, Pending, Unknown
from gateway.delivery.in_house import NoHttp
from gateway.errors import ConfigurationError
from gateway.security.jwe_out import ConsumerKey
from simulators.register.inbox import make_key


class Line:
    """A queue that remembers, and fails as told."""

    acknowledge_s = 7.0

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.sent: list[tuple[bytes, str, str, dict[str, str]]] = []

    async def send(self, body: bytes, *, delivery_id: str, correlation: str, headers: Mapping[str, str]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((body, delivery_id, correlation, dict(headers)))

    async def probe(self) -> None:
        if self.failure is not None:
            raise self.failure


def adapter(line: Line) -> CoreRegisterAdapter:
    return CoreRegisterAdapter(AdapterHost(settings={}, http=NoHttp(), queue=line))


def envelope(attempt: int = 1) -> Envelope:
    return Envelope(
        delivery_id="d-1",
        message_id="m-1",
        message_type="move-in-notice",
        party_key=None,
        attempt=attempt,
        resent=attempt > 1,
        content=b"<x/>",
    )


@pytest.mark.rule("R14")
@pytest.mark.rule("R18")
async def test_each_attempt_is_pending_under_a_correlation_of_its_own_and_one_delivery_id() -> None:
    line = Line()
    [first], [second] = await adapter(line).deliver([envelope(1)]), await adapter(line).deliver([envelope(2)])
    assert isinstance(first, Pending)
    assert isinstance(second, Pending)
    assert first.correlation != second.correlation
    assert [each[1] for each in line.sent] == ["d-1", "d-1"]
    assert [each[2] for each in line.sent] == [first.correlation, second.correlation]
    assert first.deadline_s == line.acknowledge_s
    assert line.sent[0][3]["cloudEvents:type"] == "move-in-notice"


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (CallNotSent("no-consumer"), PartyDown(code="no-consumer")),
        (CallUnanswered("broker-connection-lost"), Unknown(code="broker-connection-lost")),
    ],
)
async def test_what_the_broker_may_have_is_unknown_and_what_it_has_not_is_down(failure: Exception, outcome: Any) -> None:
    assert await adapter(Line(failure)).deliver([envelope()]) == [outcome]


async def test_check_says_whether_somebody_consumes() -> None:
    assert [each.ok for each in await adapter(Line()).check()] == [True]
    [finding] = await adapter(Line(CallNotSent("no-consumer"))).check()
    assert (finding.ok, finding.detail) == (False, "no-consumer")


@pytest.mark.invariant("I5")
def test_what_goes_into_the_queue_opens_with_the_consumers_key_alone(tmp_path: Path) -> None:
    """Held against joserfc, another implementation."""
    private, public = tmp_path / "k.jwk", tmp_path / "k.jwks"
    make_key(private, public, "one")
    key = ConsumerKey(public)
    token = key.encrypt("氏名".encode())
    algorithms = ["ECDH-ES+A256KW", "A256GCM"]
    opened = jwe.decrypt_compact(token, ECKey.import_key(json.loads(private.read_text())), algorithms=algorithms)
    assert (opened.plaintext, opened.headers()["kid"]) == ("氏名".encode(), "one")
    assert key.encrypt(b"x") != key.encrypt(b"x")
    other = ECKey.generate_key("P-256")
    with pytest.raises(Exception, match=r"(?i)unwrap|decrypt|tag|invalid|key"):
        jwe.decrypt_compact(token, other, algorithms=algorithms)


def test_a_new_key_is_followed_and_a_broken_file_stops_nothing(tmp_path: Path) -> None:
    private, public = tmp_path / "k.jwk", tmp_path / "k.jwks"
    make_key(private, public, "one")
    key = ConsumerKey(public)
    private.unlink()
    make_key(private, public, "two-new")
    key.encrypt(b"x")
    assert key.kid == "two-new"
    public.write_text("{")
    key.encrypt(b"x")
    assert (key.kid, key.problem is not None) == ("two-new", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nothing", "consumer-key-malformed"),
        ('{"keys": []}', "consumer-key-missing"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "x": "AA", "y": "AA"}]}', "consumer-key-malformed"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "x": "AA", "y": "AA", "d": "AA"}]}', "consumer-key-private"),
    ],
)
def test_a_file_that_holds_no_key_to_encrypt_for_is_refused(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "k.jwks"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        ConsumerKey(file)
    assert refused.value.code == code


@pytest.mark.flow("F1-2")
async def test_the_system_is_told_which_municipality_a_notice_came_from() -> None:
    line = Line()
    await adapter(line).deliver([dataclasses.replace(envelope(), municipality="131016"), envelope()])
    assert [sent[3].get("cloudEvents:municipality") for sent in line.sent] == ["131016", None]
