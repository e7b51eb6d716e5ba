"""The control API and the page: who may use them, and what they show."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from message_formats import samples
from simulators.juki_cs.service import JukiCsSettings
from tests.simulators.conftest import Simulator, eventually, running, xml_of


async def test_without_the_token_there_is_nothing_but_the_page(city_cs: Simulator) -> None:
    for path in ("/_sim/state", "/_sim/received", "/_sim/journal", "/_sim/faults"):
        assert (await city_cs.caller.control("GET", path, token="wrong", status=401))["code"] == "token-required"
    await city_cs.caller.control("POST", "/_sim/reset", token="", status=401)
    assert (await city_cs.caller.control("GET", "/_sim/ready", token="", status=200)) == {"party": "city-cs", "mode": "up"}


async def test_the_token_file_is_private_and_goes_with_the_simulator(
    settings_for: Callable[..., JukiCsSettings], caller_context: ssl.SSLContext
) -> None:
    settings = settings_for()
    async with running(settings, caller_context):
        assert settings.token_file.stat().st_mode & 0o777 == 0o600
    assert not settings.token_file.exists()


async def test_another_host_name_is_refused(city_cs: Simulator) -> None:
    url = f"http://127.0.0.1:{city_cs.caller.control_port}/"
    async with city_cs.caller.session.get(url, headers={"Host": "evil.example"}) as response:
        assert response.status == 403


@pytest.mark.invariant("I5")
async def test_state_received_and_journal_tell_what_happened_and_not_to_whom(city_cs: Simulator) -> None:
    await city_cs.caller.update(("d1", xml_of(1)), ("d2", xml_of(2, change_reason="22")))
    state = await city_cs.caller.control("GET", "/_sim/state", status=200)
    assert state["counts"] == {"calls": 1, "records": 2, "effect": 1, "refused": 1}
    assert (state["party"], state["mode"], state["journal_entries"]) == ("city-cs", "up", 2)
    (call,) = (await city_cs.caller.control("GET", "/_sim/received?limit=5", status=200))["received"]
    assert [record["delivery"] for record in call["records"]] == ["d1", "d2"]
    assert call["outcome"] == "1 effect, 1 refused"
    journal = await city_cs.caller.control("GET", "/_sim/journal?after=1&limit=1", status=200)
    assert (journal["count"], [entry["seq"] for entry in journal["entries"]]) == (2, [2])
    for document in (state, call, journal):
        assert samples.resident_record_code(1) not in str(document)
        assert "sealed" not in str(document)


async def test_wrong_parameters_are_refused_with_a_reason(city_cs: Simulator) -> None:
    assert (await city_cs.caller.control("GET", "/_sim/journal?after=-1", status=400))["code"] == "parameter-invalid"
    assert (await city_cs.caller.control("POST", "/_sim/faults", {"kind": "x"}, status=400))["code"] == "fault-invalid"
    assert (await city_cs.caller.control("POST", "/_sim/emit", {}, status=400))["code"] == "emits-nothing"
    assert (await city_cs.caller.control("DELETE", "/_sim/faults/f99", status=404))["code"] == "no-such-fault"


async def test_faults_are_listed_with_all_kinds_and_taken_away_one_by_one(city_cs: Simulator) -> None:
    first = await city_cs.caller.put_fault(kind="reset", rate=0.5)
    await city_cs.caller.put_fault(kind="http-500", times=3)
    listed = await city_cs.caller.control("GET", "/_sim/faults", status=200)
    assert [fault["kind"] for fault in listed["active"]] == ["reset", "http-500"]
    assert {"refuse", "garbage", "wrong-certificate"} <= {kind["kind"] for kind in listed["kinds"]}
    await city_cs.caller.control("DELETE", f"/_sim/faults/{first}", status=200)
    listed = await city_cs.caller.control("GET", "/_sim/faults", status=200)
    assert [fault["kind"] for fault in listed["active"]] == ["http-500"]


async def test_a_wrong_certificate_needs_one(settings_for: Callable[..., JukiCsSettings], caller_context: ssl.SSLContext) -> None:
    async with running(settings_for(wrong_certificate=None, wrong_key=None), caller_context) as simulator:
        answer = await simulator.caller.control("POST", "/_sim/faults", {"kind": "wrong-certificate"}, status=400)
        assert answer["code"] == "no-wrong-certificate"
        assert (await simulator.caller.update(("d", xml_of(1)))).results[0][1] == "accepted"


async def test_reset_forgets_everything_and_keeps_the_old_journal_aside(city_cs: Simulator) -> None:
    await city_cs.caller.update(("d1", xml_of(1)))
    await city_cs.caller.put_fault(kind="http-500")
    await city_cs.caller.control("POST", "/_sim/reset", status=200)
    assert (await city_cs.caller.update(("d1", xml_of(1)))).results == [("d1", "accepted", None, False)]
    assert city_cs.party.journal.count == 1
    assert city_cs.party.journal.path.with_name("journal.1.jsonl").exists()


async def test_the_page_reads_in_both_languages_and_escapes_what_it_shows(city_cs: Simulator) -> None:
    await city_cs.caller.update(("d1", xml_of(1, request_control_number="Q<b>&amp;")))
    await city_cs.caller.put_fault(kind="http-500", key="<script>")
    english = await city_cs.caller.control("GET", "/?lang=en", token="", status=200)
    japanese = await city_cs.caller.control("GET", "/?lang=ja", token="", status=200)
    assert "All residents are fictitious" in english
    assert "住民はすべて架空です" in japanese
    assert '<html lang="ja">' in japanese
    for page in (english, japanese):
        assert "http-500" in page
        assert "<script" not in page
        assert "<b>&" not in page
        assert samples.resident_record_code(1) not in page


async def test_a_script_acts_by_counts(
    settings_for: Callable[..., JukiCsSettings], caller_context: ssl.SSLContext, tmp_path: object
) -> None:
    settings = settings_for()
    script = settings.token_file.with_name("script.yaml")
    script.write_text("steps: [{after_effects: 1, put: {kind: refuse, code: E901}}, {after_calls: 2, clear: true}]\n")
    async with running(settings.model_copy(update={"faults": script}), caller_context) as simulator:
        assert (await simulator.caller.update(("a", xml_of(1)))).results[0][1] == "accepted"
        await eventually(simulator.party.faults.active)
        assert (await simulator.caller.update(("b", xml_of(2)))).results[0][2] == "E901"
        await eventually(lambda: not simulator.party.faults.active())
        assert (await simulator.caller.update(("c", xml_of(3)))).results[0][1] == "accepted"
