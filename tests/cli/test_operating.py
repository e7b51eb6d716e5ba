"""The operating commands against a real admin API: what they show, what they send, how they end. All data are fictitious."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.admin.service import State
from gateway.cli.support import ExitCode
from tests.admin.conftest import Api
from tests.admin.memory import delivery, digest

WHO = ("--as", "operator-a")
YES = ("--yes", "--reason", "the cause is gone")


def at(api: Api) -> tuple[str, str]:
    return ("--config", str(api.config.file))


@pytest.mark.parametrize(
    "command", [("status",), ("queues",), ("held",), ("message", "d-held"), ("approvals", "list"), ("quarantine", "list"), ("bulk",)]
)
async def test_each_look_works_for_people_and_for_machines(api: Api, renkei, command: tuple[str, ...]) -> None:
    people = await renkei(*command, *WHO, *at(api))
    assert (people.code, people.err) == (0, "")
    assert people.out.strip()
    machine = await renkei(*command, *WHO, *at(api), "--json")
    assert (machine.code, machine.err) == (0, "")
    assert machine.json is not None


async def test_held_says_why_and_what_next_in_both_languages(api: Api, renkei) -> None:
    assert "the party refused it (E103)" in (await renkei("held", *WHO, *at(api))).out
    japanese = await renkei("--lang", "ja", "held", *WHO, *at(api))
    assert "相手先が拒否しました (E103)" in japanese.out
    assert "次の動き" in japanese.out


@pytest.mark.rule("R13")
async def test_retry_names_what_it_shows(api: Api, renkei) -> None:
    done = await renkei("retry", "d-held", *YES, *WHO, *at(api))
    assert (done.code, api.service.deliveries["d-held"].state) == (ExitCode.OK, State.QUEUED)
    assert "d-held → city-cs: held" in done.out


@pytest.mark.rule("R13")
async def test_a_command_on_what_was_seen_before_is_refused_when_it_changed(api: Api, renkei) -> None:
    seen = ("--seen", f"queued:{digest('d-held').hex()}")
    refused = await renkei("retry", "d-held", *YES, *seen, *WHO, *at(api))
    assert refused.code == ExitCode.REFUSED
    assert refused.err == "renkei: error: it is held now [state-changed] (R13)\n"
    assert (await renkei("retry", "d-held", *YES, "--seen", "nonsense", *WHO, *at(api))).code == ExitCode.USAGE


async def test_without_a_yes_nothing_is_done(api: Api, renkei, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.confirm", lambda question, err: False)
    answer = await renkei("retry", "d-held", "--reason", "because", *WHO, *at(api))
    assert (answer.code, api.service.log) == (ExitCode.OK, [])
    assert "nothing was done" in answer.out


async def test_skip_waits_and_the_second_person_approves(api: Api, renkei) -> None:
    asked = await renkei("skip", "d-held", *YES, *WHO, *at(api))
    assert asked.code == ExitCode.WAITS
    assert "renkei approvals approve r-1" in asked.out
    own = await renkei("approvals", "approve", "r-1", "--yes", "--as", "operator-c", *at(api))
    assert own.code == ExitCode.OK
    again = await renkei("approvals", "approve", "r-1", "--yes", "--as", "operator-c", *at(api))
    assert (again.code, "not-waiting" in again.err) == (ExitCode.REFUSED, True)


async def test_who_asked_cannot_approve(api: Api, renkei) -> None:
    await renkei("skip", "d-held", *YES, "--as", "operator-c", *at(api))
    own = await renkei("approvals", "approve", "r-1", "--yes", "--as", "operator-c", *at(api))
    assert own.code == ExitCode.REFUSED
    assert "[same-person]" in own.err
    taken = await renkei("approvals", "withdraw", "r-1", "--as", "operator-c", *at(api), "--json")
    assert (taken.code, taken.json["status"]) == (ExitCode.OK, "withdrawn")


@pytest.mark.rule("R4")
async def test_skip_of_what_bears_an_update_number_is_refused_naming_the_rule(api: Api, renkei) -> None:
    refused = await renkei("skip", "d-numbered", *YES, *WHO, *at(api))
    assert (refused.code, "(R4)" in refused.err) == (ExitCode.REFUSED, True)


async def test_a_correction_goes_through_and_its_content_comes_out_for_one_reader(api: Api, renkei, tmp_path: Path) -> None:
    new = tmp_path / "new.xml"
    new.write_bytes(b"<fictitious/>")
    assert (await renkei("correct", "d-held", new, *YES, *WHO, *at(api))).code == ExitCode.WAITS
    out = tmp_path / "look.xml"
    assert (await renkei("approvals", "show", "r-1", "--content", out, "--as", "operator-b", *at(api))).code == ExitCode.OK
    assert out.read_bytes() == b"<fictitious/>"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (await renkei("approvals", "approve", "r-1", "--yes", "--as", "operator-b", *at(api))).code == ExitCode.OK


async def test_settle_says_what_the_party_said(api: Api, renkei) -> None:
    asked = await renkei("settle", "d-unknown", "--no-effect", *YES, *WHO, *at(api), "--json")
    assert (asked.code, asked.json["took_effect"]) == (ExitCode.WAITS, False)
    assert (await renkei("settle", "d-unknown", *YES, *WHO, *at(api))).code == ExitCode.USAGE


async def test_a_message_with_several_deliveries_asks_which(api: Api, renkei) -> None:
    api.service.deliveries["d-two"] = delivery("d-two", message_id="m-d-held", party="prefecture-server")
    refused = await renkei("retry", "m-d-held", *YES, *WHO, *at(api))
    assert (refused.code, "d-held, d-two" in refused.err) == (ExitCode.REFUSED, True)
    assert (await renkei("retry", "d-two", *YES, *WHO, *at(api))).code == ExitCode.OK


async def test_pause_and_resume(api: Api, renkei) -> None:
    assert "operator-a" in (await renkei("pause", "city-cs", "--reason", "their maintenance", *WHO, *at(api))).out
    assert (await renkei("resume", "city-cs", "--reason", "it is over", *WHO, *at(api), "--json")).json["paused_by"] is None


async def test_how_each_failure_ends(api: Api, renkei, tmp_path: Path) -> None:
    nowhere = tmp_path / "away.yaml"
    nowhere.write_text(api.config.file.read_text(encoding="utf-8").replace(str(api.port), "1"), encoding="utf-8")
    for arguments, code, says in (
        (("message", "nothing", *WHO, *at(api)), ExitCode.NOT_FOUND, "there is no message"),
        (("status", *at(api)), ExitCode.CONFIGURATION, "say who you are"),
        (("status", "--as", "nobody", *at(api)), ExitCode.CONFIGURATION, "nobody.key"),
        (("status", "--as", "resident-record-system", *at(api)), ExitCode.REFUSED, "is of nobody in admin.operators"),
        (("status", *WHO, "--config", str(nowhere)), ExitCode.NOT_REACHABLE, "is the gateway running (renkei up)?"),
        (("status", *WHO, "--config", str(tmp_path / "no.yaml")), ExitCode.CONFIGURATION, "there is no file no.yaml"),
        (("retry", "d-held", *WHO, *at(api)), ExitCode.USAGE, "Missing option '--reason'"),
    ):
        ended = await renkei(*arguments)
        assert ended.code == code, ended
        assert says in ended.err
        assert len(ended.err.splitlines()) == 1
        assert ended.out == ""


async def test_a_machine_gets_its_error_as_json_too(api: Api, renkei) -> None:
    ended = await renkei("message", "nothing", *WHO, *at(api), "--json")
    assert ended.json == {"ok": False, "error": {"code": "no-such-message", "detail": ended.json["error"]["detail"], "exit": 7}}


@pytest.mark.invariant("I6")
async def test_a_server_that_is_not_the_gateway_is_told_nothing(api: Api, renkei, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(api.config.file.read_text(encoding="utf-8") + "certificates: {peer: another-gateway}\n", encoding="utf-8")
    refused = await renkei("pause", "city-cs", "--reason", "because", *WHO, "--config", other)
    assert (refused.code, "[wrong-peer]" in refused.err) == (ExitCode.REFUSED, True)
    assert api.service.log == []
