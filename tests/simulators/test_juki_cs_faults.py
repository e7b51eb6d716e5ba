"""Each fault of the city CS on the wire, seen by a caller over real TLS: what is answered, and whether it took effect."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import aiohttp
import pytest
from lxml import etree

from simulators.references import References
from tests.simulators.conftest import SALT, Simulator, eventually, xml_of

pytestmark = pytest.mark.thorough

Errors = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError)


async def one(simulator: Simulator, serial: int = 1, *, timeout_s: float = 10, **changes: Any) -> Any:
    return await simulator.caller.update((f"d{serial}", xml_of(serial, **changes)), timeout_s=timeout_s)


async def kinds(simulator: Simulator) -> list[str]:
    return [entry["kind"] for entry in simulator.party.journal.entries()]


async def test_refuse_for_the_next_n(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="refuse", code="E901", times=1)
    assert (await one(city_cs)).results == [("d1", "rejected", "E901", False)]
    assert (await one(city_cs)).results == [("d1", "accepted", None, False)]
    (refused, _) = city_cs.party.journal.entries()
    assert (refused["kind"], refused["code"], refused["injected"]) == ("refused", "E901", True)


async def test_refuse_one_resident(city_cs: Simulator) -> None:
    from message_formats import samples

    await city_cs.caller.put_fault(kind="refuse", code="E901", resident=References(SALT).of(samples.resident_record_code(2)))
    answer = await city_cs.caller.update(("a", xml_of(1)), ("b", xml_of(2)), ("c", xml_of(3)))
    assert [result[1] for result in answer.results] == ["accepted", "rejected", "accepted"]


async def test_refuse_does_not_refuse_what_took_effect_before(city_cs: Simulator) -> None:
    await one(city_cs, request_control_number="Q1")
    await city_cs.caller.put_fault(kind="refuse", code="E901")
    assert (await one(city_cs, request_control_number="Q1")).results == [("d1", "accepted", None, True)]


@pytest.mark.parametrize("effect", [False, True])
async def test_http_500(city_cs: Simulator, effect: bool) -> None:
    await city_cs.caller.put_fault(kind="http-500", times=1, takes_effect=effect)
    answer = await one(city_cs)
    assert answer.status == 500
    assert b"Envelope" not in answer.body
    assert await city_cs.caller.effects() == effect


async def test_http_503_names_a_time_and_does_nothing(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="http-503", times=1, retry_after_s=7)
    answer = await one(city_cs)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert await kinds(city_cs) == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "soap-client"}, ("soap:Client", "schema-invalid")),
        ({"kind": "soap-client", "code": "too-many-records"}, ("soap:Client", "too-many-records")),
        ({"kind": "soap-busy"}, ("soap:Server", "busy")),
        ({"kind": "soap-server"}, ("soap:Server", "internal")),
    ],
)
async def test_soap_faults_without_effect(city_cs: Simulator, fault: dict[str, Any], expected: tuple[str, str]) -> None:
    await city_cs.caller.put_fault(**fault, times=1)
    answer = await one(city_cs)
    assert (answer.status, answer.fault) == (500, expected)
    assert answer.relates_to == "urn:uuid:11111111-1111-4111-8111-111111111111"
    assert await city_cs.caller.effects() == 0


async def test_soap_server_fault_after_the_effect(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="soap-server", times=1, takes_effect=True)
    assert (await one(city_cs)).fault == ("soap:Server", "internal")
    assert await city_cs.caller.effects() == 1


@pytest.mark.invariant("I2")
@pytest.mark.parametrize("effect", [False, True])
async def test_time_out_before_and_after_the_effect(city_cs: Simulator, effect: bool) -> None:
    await city_cs.caller.put_fault(kind="time-out", times=1, hold_s=30, takes_effect=effect)
    with pytest.raises(Errors):
        await one(city_cs, timeout_s=0.3, request_control_number="Q1")
    assert await city_cs.caller.effects() == effect
    assert (await one(city_cs, request_control_number="Q1")).results == [("d1", "accepted", None, effect)]


async def test_a_time_out_ends_the_connection_by_itself(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="time-out", times=1, hold_s=0.1)
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await one(city_cs)


async def test_a_late_effect_comes_after_the_caller_has_gone(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="late-effect", times=1, delay_s=0.4)
    with pytest.raises(Errors):
        await one(city_cs, timeout_s=0.1)
    assert city_cs.party.counters["effect"] == 0
    await eventually(lambda: city_cs.party.counters["effect"] == 1)


@pytest.mark.rule("R4")
async def test_duplicate_answer_with_and_without_effect(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="duplicate-answer", times=1, takes_effect=False)
    assert (await one(city_cs)).results == [("d1", "accepted", None, True)]
    assert await city_cs.caller.effects() == 0
    await city_cs.caller.put_fault(kind="duplicate-answer", times=1)
    assert (await one(city_cs)).results == [("d1", "accepted", None, True)]
    assert await city_cs.caller.effects() == 1


@pytest.mark.parametrize("variant", ["not-xml", "empty", "truncated"])
async def test_garbage_that_is_no_xml(city_cs: Simulator, variant: str) -> None:
    await city_cs.caller.put_fault(kind="garbage", variant=variant, times=1)
    answer = await one(city_cs)
    assert answer.status == 200
    with pytest.raises(etree.XMLSyntaxError):
        _ = answer.root
    assert await city_cs.caller.effects() == 1


@pytest.mark.parametrize("effect", [True, False])
async def test_garbage_of_another_schema(city_cs: Simulator, effect: bool) -> None:
    await city_cs.caller.put_fault(kind="garbage", variant="other-schema", times=1, takes_effect=effect)
    answer = await one(city_cs)
    assert answer.results == []
    assert answer.root[1][0].tag == "{urn:example:weather}WeatherReport"
    assert await city_cs.caller.effects() == effect


async def test_garbage_that_answers_another_call(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="garbage", variant="wrong-relates-to", times=1)
    answer = await one(city_cs)
    assert answer.relates_to != "urn:uuid:11111111-1111-4111-8111-111111111111"
    assert answer.results == [("d1", "accepted", None, False)]


async def test_garbage_that_answers_another_delivery(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="garbage", variant="other-delivery", times=1)
    assert (await one(city_cs)).results == [("not-d1", "accepted", None, False)]


async def test_garbage_that_leaves_a_record_out(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="garbage", variant="missing-result", times=1)
    answer = await city_cs.caller.update(("a", xml_of(1)), ("b", xml_of(2)))
    assert [result[0] for result in answer.results] == ["a"]
    assert await city_cs.caller.effects() == 2


async def test_slow_drip(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="slow-drip", times=1, interval_s=0.05, chunk_bytes=200)
    began = time.monotonic()
    assert (await one(city_cs)).results == [("d1", "accepted", None, False)]
    assert time.monotonic() - began > 0.15
    await city_cs.caller.put_fault(kind="slow-drip", times=1, interval_s=5, chunk_bytes=1)
    with pytest.raises(Errors):
        await one(city_cs, 2, timeout_s=0.3)


@pytest.mark.parametrize("effect", [False, True])
async def test_reset_before_and_after_the_effect(city_cs: Simulator, effect: bool) -> None:
    await city_cs.caller.put_fault(kind="reset", times=1, takes_effect=effect)
    with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
        await one(city_cs)
    assert await city_cs.caller.effects() == effect
    assert (await one(city_cs, 2)).results[0][1] == "accepted"


async def test_half_open_holds_without_an_end_until_cleared(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="half-open", times=1, takes_effect=True)
    call = asyncio.get_running_loop().create_task(one(city_cs))
    await eventually(lambda: city_cs.party.counters["effect"] == 1)
    done, _ = await asyncio.wait((call,), timeout=0.3)
    assert not done
    await city_cs.caller.control("DELETE", "/_sim/faults", status=200)
    with pytest.raises(aiohttp.ClientError):
        await call


async def test_oversize(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="oversize", times=1, size_bytes=3_000_000)
    answer = await one(city_cs)
    assert len(answer.body) >= 3_000_000
    assert answer.results == [("d1", "accepted", None, False)]


async def test_reordered_results(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="reordered")
    ids = [f"d{n}" for n in range(1, 21)]
    answer = await city_cs.caller.update(*[(name, xml_of(n)) for n, name in enumerate(ids, 1)])
    names = [result[0] for result in answer.results]
    assert names != ids
    assert sorted(names) == sorted(ids)
    two = await city_cs.caller.update(("x", xml_of(31)), ("y", xml_of(32)))
    assert [result[0] for result in two.results] == ["y", "x"]


@pytest.mark.invariant("I6")
async def test_wrong_certificate_is_seen_by_connections_that_are_kept_alive_too(city_cs: Simulator) -> None:
    await one(city_cs)
    port = city_cs.caller.port
    await city_cs.caller.put_fault(kind="wrong-certificate")
    with pytest.raises(aiohttp.ClientError):
        async with city_cs.caller.session.post(f"https://127.0.0.1:{port}/", data=b"", server_hostname="city-cs"):
            pass
    await city_cs.caller.control("DELETE", "/_sim/faults", status=200)
    async with city_cs.caller.session.post(f"https://127.0.0.1:{port}/", data=b"", server_hostname="city-cs") as response:
        assert response.status == 404


async def test_down_and_up_again_on_the_same_port(city_cs: Simulator) -> None:
    await one(city_cs)
    await city_cs.caller.put_fault(kind="down")
    with pytest.raises(aiohttp.ClientError):  # on the connection that was kept alive
        await one(city_cs, 2)
    with pytest.raises(aiohttp.ClientConnectorError):
        await one(city_cs, 2)
    await city_cs.caller.control("DELETE", "/_sim/faults", status=200)
    assert (await one(city_cs, 2)).results[0][1] == "accepted"


async def test_down_for_a_while(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="down", for_s=0.2)
    await eventually(lambda: city_cs.party.faults.listener_mode() == "up")

    async def works() -> bool:
        try:
            return bool((await one(city_cs)).results)
        except Errors:
            return False

    async with asyncio.timeout(5):
        while not await works():
            await asyncio.sleep(0.01)


async def test_down_cuts_a_call_that_is_under_way(city_cs: Simulator) -> None:
    await city_cs.caller.put_fault(kind="time-out", times=1, takes_effect=True)
    call = asyncio.get_running_loop().create_task(one(city_cs))
    await eventually(lambda: city_cs.party.counters["effect"] == 1)
    await city_cs.caller.put_fault(kind="down")
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(call, 2)


async def test_silent_takes_the_connection_and_never_shakes_hands(city_cs: Simulator, caller_context: ssl.SSLContext) -> None:
    await city_cs.caller.put_fault(kind="silent")
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", city_cs.caller.port, ssl=caller_context), 0.3)
    await city_cs.caller.control("DELETE", "/_sim/faults", status=200)
    assert (await one(city_cs)).results[0][1] == "accepted"
