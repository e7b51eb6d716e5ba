"""The register at the HTTPS door, over real mutual TLS, against a stand-in for the gateway."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from certs.authority import TestAuthority
from simulators.errors import DoorRefused
from simulators.register.messages import read_items
from simulators.register.register import Register
from simulators.register.service import RegisterSettings, build
from tests.simulators.conftest import SALT, eventually
from tests.simulators.fake_gateway import FakeGateway

pytestmark = pytest.mark.thorough

Build = Callable[..., Register]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def url(gateway: FakeGateway, authority: TestAuthority) -> AsyncIterator[str]:
    async with gateway.serving(authority) as address:
        yield address


@pytest.fixture
def register(url: str, authority: TestAuthority, tmp_path: Path) -> Build:
    return maker(url, authority, tmp_path)


def maker(url: str, authority: TestAuthority, folder: Path) -> Build:
    def make(**changes: Any) -> Register:
        files = authority.files("resident-record-system")
        values: dict[str, Any] = {
            "url": url,
            "certificate": files.certificate,
            "key": files.key,
            "ca": authority.ca,
            "crl": authority.crl,
            "record": folder / "record.jsonl",
            "salt": SALT,
            "population": 500,
            "city_seed": 3,
            "events_a_day": 60,
        }
        return build(RegisterSettings.model_validate(values | changes))

    return make


def kinds(register: Register) -> list[str]:
    return [entry["kind"] for entry in register.record.entries()]


@pytest.mark.invariant("I3")
async def test_a_day_is_handed_in_with_several_under_way_but_never_two_of_one_resident(gateway: FakeGateway, register: Build) -> None:
    gateway.delay_s = 0.005
    one = register()
    await one.run()
    assert len(gateway.accepted) == 60
    assert gateway.overlaps == 0
    assert gateway.most_under_way > 4
    several = {read_items(content)["resident_record_code"] for content in gateway.content.values()}
    for resident in several:
        numbers = [int(read_items(gateway.content[name])["update_sequence_number"]) for name in gateway.order_of(resident)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert one.record.counts == {"submitted": 60, "accepted": 60, "refused": 0, "replacements": 0}
    assert sorted(kinds(one)) == ["message"] * 60 + ["receipt"] * 60


async def test_the_attributes_are_those_of_the_contract(gateway: FakeGateway, register: Build) -> None:
    await register(events_a_day=1).run()
    (attributes,) = gateway.attributes.values()
    assert attributes.keys() == {"specversion", "id", "source", "type", "time", "operator", "terminal"}
    assert attributes["type"] == "identity-information-update"
    assert attributes["specversion"] == "1.0"


async def test_a_message_is_in_the_record_before_it_is_sent(gateway: FakeGateway, register: Build) -> None:
    one = register(events_a_day=1)
    gateway.reactions = [lambda gateway, attributes, content: web.Response(status=422, text=",".join(kinds(one)))]
    seen: list[str] = []
    gateway.reactions = [lambda gateway, attributes, content: seen.extend(kinds(one))]
    await one.run()
    assert seen == ["message"]


@pytest.mark.invariant("I2")
async def test_without_an_answer_the_same_message_is_sent_again_with_its_id(gateway: FakeGateway, register: Build) -> None:
    gateway.reactions = [lambda *_: "drop", lambda *_: "drop"]
    await register(events_a_day=1).run()
    assert len(gateway.received) == 3
    assert len(set(gateway.received)) == 1
    assert len(gateway.accepted) == 1


@pytest.mark.thorough
async def test_a_gateway_that_does_not_answer_in_time_is_asked_again(gateway: FakeGateway, register: Build) -> None:
    gateway.delay_s = 0.5
    one = register(events_a_day=1, https_timeout_s=0.2)
    running = asyncio.get_running_loop().create_task(one.run())
    await eventually(lambda: len(gateway.received) >= 2)
    gateway.delay_s = 0
    await running
    assert len(gateway.accepted) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("status", [429, 503])
async def test_try_later_is_honoured(gateway: FakeGateway, register: Build, status: int) -> None:
    gateway.reactions = [lambda *_: web.Response(status=status, headers={"Retry-After": "1"})]
    began = time.monotonic()
    one = register(events_a_day=1)
    await one.run()
    assert time.monotonic() - began >= 1
    assert one.progress()["https"]["later"] == 1


async def test_a_refusal_is_final_and_recorded_with_its_code(gateway: FakeGateway, register: Build) -> None:
    problem = json.dumps({"code": "check-digit", "rule": "x"})
    gateway.reactions = [lambda *_: web.Response(status=422, text=problem, content_type="application/problem+json")]
    one = register(events_a_day=3)
    await one.run()
    assert one.record.counts["refused"] == 1
    assert one.record.counts["accepted"] == 2
    (refusal,) = [entry for entry in one.record.entries() if entry.get("status") == "refused"]
    assert refusal["code"] == "check-digit"


@pytest.mark.invariant("I1")
async def test_a_register_that_was_interrupted_goes_on_from_its_record(gateway: FakeGateway, register: Build) -> None:
    gateway.delay_s = 0.01
    first = register(https_in_flight=4)
    running = asyncio.get_running_loop().create_task(first.run())
    await eventually(lambda: len(gateway.accepted) >= 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    first.record.close()
    answered = first.record.counts["accepted"]
    assert 0 < answered < 60
    before = len(gateway.received)
    second = register()
    await second.run()
    assert second.record.counts["accepted"] == 60
    assert len(gateway.accepted) == 60
    assert len(gateway.received) - before == 60 - answered


@pytest.mark.rule("R4")
async def test_a_held_message_is_replaced_by_the_register(gateway: FakeGateway, register: Build) -> None:
    one = register(spoil=1, watch_every_s=0.05)

    def hold_the_spoilt(gateway: FakeGateway, attributes: dict[str, str], content: bytes) -> None:
        if one._source.corrected(attributes["id"], content) != content:
            gateway.states[attributes["id"]] = "held"

    gateway.reactions = [hold_the_spoilt] * 60
    await one.run()
    ((held, _),) = gateway.states.items()
    (new,) = [name for name, attributes in gateway.attributes.items() if attributes.get("corrects") == held]
    before, after = read_items(gateway.content[held]), read_items(gateway.content[new])
    assert after["update_sequence_number"] == before["update_sequence_number"]
    assert after["abnormal_update_sequence_number"] == "1"
    assert after["request_control_number"] != before["request_control_number"]
    assert after["sex"] != before["sex"]
    assert one.record.counts == {"submitted": 61, "accepted": 61, "refused": 0, "replacements": 1}


@pytest.mark.invariant("I6")
async def test_somebody_elses_certificate_stops_the_register(gateway: FakeGateway, authority: TestAuthority, tmp_path: Path) -> None:
    async with gateway.serving(authority, "somebody-else") as url:
        with pytest.raises(DoorRefused, match="gateway-certificate"):
            await maker(url, authority, tmp_path)(events_a_day=1).run()
    assert gateway.received == []


async def test_the_register_as_a_process_prints_its_counts(
    gateway: FakeGateway, url: str, authority: TestAuthority, tmp_path: Path
) -> None:
    import sys

    files = authority.files("resident-record-system")
    config = tmp_path / "register.yaml"
    config.write_text(
        f"url: {url}\ncertificate: {files.certificate}\nkey: {files.key}\nca: {authority.ca}\ncrl: {authority.crl}\n"
        f"record: {tmp_path}/record.jsonl\nsalt: {SALT}\npopulation: 500\nevents_a_day: 5\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.register", "--config", str(config), "--city-seed", "4", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(output)["accepted"] == 5
