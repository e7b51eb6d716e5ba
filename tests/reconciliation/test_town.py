"""Reconciliation of everybody, from the parties' files to an authorised correction, as its people do it. All residents are made up."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from simulators.city import City
from simulators.world.digesting import residents_of
from tests.support.broker import until
from tests.world.kit import Whole

pytestmark = pytest.mark.slow
CITY = City(3, 40)
EVERYBODY = {each["resident_record_code"]: each for each in residents_of(CITY)}
CS, PREFECTURE = "city-cs", "prefecture-server"


class Desk:
    """The people at their terminals: the section of the register, and the one who decides."""

    def __init__(self, whole: Whole, folder: Path, run: str) -> None:
        self.whole, self.folder, self.run = whole, folder, run
        self.secret = folder / "secret"

    async def renkei(self, *arguments: str, operator: str | None = "operator-a", code: int = 0) -> Any:
        command = self.whole.town.renkei(*arguments, "--json", operator=operator or "")
        if operator is None:
            command = command[: command.index("--config")]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == code, err.decode()
        return json.loads(out) if out.strip() else None

    async def open(self) -> None:
        process = await asyncio.create_subprocess_exec(*self.whole.town.plan.command, "reconcile", "secret", str(self.secret))
        assert await process.wait() == 0

    async def files(self, party: str, records: Sequence[Mapping[str, str]], name: str, **more: Any) -> tuple[str, ...]:
        """Both sides' files, of now; as options."""
        cut_off = dt.datetime.now(dt.UTC).isoformat()
        listed, ours, theirs = (self.folder / f"{name}{end}" for end in (".jsonl", ".ours", ".theirs"))
        listed.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")
        options = ("--run", self.run, "--cut-off", cut_off, "--secret", str(self.secret), "--out", str(ours))
        done = await self.renkei("reconcile", "digest", str(listed), *options, operator=None)
        assert done["records"] == len(records)
        told = {"run": self.run, "secret": self.secret.read_text().strip(), "cut_off": cut_off, "out": str(theirs)}
        await self.whole.do(party, do="digests", **told, **more)
        return ("--ours", str(ours), "--theirs", str(theirs), "--secret", str(self.secret))

    async def change(self, index: int, address: str) -> None:
        """The register hands in another address of a resident, and everybody outside has it."""
        items = {name: value for name, value in CITY.initial_record(index).items() if value is not None}
        items |= {"address": address, "update_sequence_number": "1", "request_control_number": f"CHANGE{index}", "change_reason": "43"}
        await self.whole.delivered(await self.whole.hand_in("identity-information-update", items), CS, PREFECTURE)
        EVERYBODY[items["resident_record_code"]] |= {name: items[name] for name in ("address", "update_sequence_number", "change_reason")}

    async def worklist(self, *options: str) -> dict[str, tuple[str, tuple[str, ...], str]]:
        """By resident record code: what is wrong, items, state."""
        found = await self.renkei("reconcile", "worklist", self.run, "--open-with", str(self.secret), *options)
        return {each["resident_record_code"]: (each["kind"], tuple(each["items"]), each["state"]) for each in found["items"]}


@pytest.mark.flow("FR-1")
@pytest.mark.edge("FR-1", "mismatch")
@pytest.mark.invariant("I5")
@pytest.mark.rule("R13")
@pytest.mark.control("C-1-7-10")
@pytest.mark.control("C-2-2-6")
@pytest.mark.control("C-2-2-7")
async def test_a_mismatch_with_the_city_cs_is_corrected_with_authority(whole: Whole, tmp_path: Path) -> None:
    desk = Desk(whole, tmp_path, "FR1-2026")
    await desk.open()
    codes = list(EVERYBODY)
    changed, order, extra = codes[4], codes[5], codes[7]
    stranger = next(residents_of(City(44, 1)))
    missing = stranger["resident_record_code"]
    here = {code: dict(each) for code, each in EVERYBODY.items() if code != extra} | {missing: dict(stranger)}
    here[changed]["address"] += "９９番地"
    here[order]["update_sequence_number"] = "3"
    options = await desk.files(CS, list(here.values()), "first")
    done = await desk.renkei("reconcile", "start", "--with", CS, *options, "--reason", "the yearly reconciliation")
    assert (done["status"], done["next_bucket"], done["found"], done["differing"]) == ("done", 4096, 4, 4)
    assert await desk.worklist() == {
        changed: ("changed", ("address",), "open"), order: ("order", (), "open"), missing: ("missing", (), "open"),
        extra: ("extra", (), "open"),
    }  # fmt: skip

    # nothing in the ledger names anybody (I5)
    [row] = whole.rows("SELECT * FROM reconciliation_difference WHERE kind = 'changed'")
    assert changed not in json.dumps([str(each) for each in tuple(row)])

    # the section head authorises it, nobody alone
    asked = await desk.renkei(
        "reconcile", "release", desk.run, "--correction", "register-resends", "--reason", "checked against the paper", code=6
    )  # fmt: skip
    own = await asyncio.create_subprocess_exec(
        *whole.town.renkei("approvals", "approve", asked["request_id"], "--yes"), stderr=asyncio.subprocess.PIPE
    )
    assert b"same-person" in (await own.communicate())[1] or own.returncode != 0
    await desk.renkei("approvals", "approve", asked["request_id"], "--yes", operator="operator-b")
    assert {state for _, _, state in (await desk.worklist()).values()} == {"released"}
    record = whole.record("command")
    authorised = next(each for each in record if each.get("command") == "reconciliation-correction")
    assert (authorised["requested_by"], authorised["actor"]) == ("operator-a", "operator-b")
    assert authorised["argument"]["correction"] == "register-resends"

    # the register hands the one in again, and corrects what was wrong on its own side; then everybody is the same
    await desk.change(4, here[changed]["address"])
    options = await desk.files(CS, list(EVERYBODY.values()), "second")
    done = await desk.renkei("reconcile", "again", desk.run, *options)
    assert done["states"] == {"resolved": 4}


@pytest.mark.flow("F2-6")
@pytest.mark.parametrize(("party", "other"), [(PREFECTURE, PREFECTURE), (CS, "national-server")])
async def test_whoever_changes_meanwhile_is_compared_again(whole: Whole, tmp_path: Path, party: str, other: str) -> None:
    desk = Desk(whole, tmp_path, f"F26-{other}")
    await desk.open()
    index = 20 if other == PREFECTURE else 21
    code = CITY.resident(index).resident_record_code
    register = {each: {**record} for each, record in EVERYBODY.items()}
    for each in register.values():
        del each["update_sequence_number"]  # the prefecture and J-LIS do not hold it
    more = {} if party == PREFECTURE else {"national": True}
    options = await desk.files(party, list(register.values()), "first", **more)
    # after the cut-off, before the comparison: what was compared is not true any more
    await desk.change(index, EVERYBODY[code]["address"] + "８８番地")
    register[code] |= {name: value for name, value in EVERYBODY[code].items() if name in register[code]}
    ours = await desk.files(party, list(register.values()), "late", **more)
    await asyncio.to_thread(_with_header_of, Path(ours[1]), Path(options[1]))
    done = await desk.renkei("reconcile", "start", "--with", other, *ours[:2], *options[2:], "--reason", "once a year")
    assert done["states"].get("postponed") == 1, done
    assert (await desk.worklist())[code][0::2] == ("changed", "postponed")
    asked = await desk.renkei("reconcile", "release", desk.run, "--correction", "none", "--reason", "nothing to release", code=0)
    assert asked is None
    options = await desk.files(party, list(register.values()), "again", **more)
    assert (await desk.renkei("reconcile", "again", desk.run, *options))["states"] == {"resolved": 1}
    assert (await desk.worklist())[code][2] == "resolved"


def _with_header_of(file: Path, other: Path) -> None:
    """The register's file, as if its export had begun earlier than it ended."""
    content = file.read_bytes()
    file.write_bytes(other.read_bytes().split(b"\n", 1)[0] + b"\n" + content.split(b"\n", 1)[1])


def without_order(records: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """As the prefecture and J-LIS hold them: without 更新順番号."""
    return {code: {name: value for name, value in each.items() if name != "update_sequence_number"} for code, each in records.items()}


@pytest.mark.flow("F2-6")
@pytest.mark.edge("F2-6", "mismatch")
@pytest.mark.rule("R13")
async def test_a_mismatch_with_the_prefecture_is_a_line_of_the_worklist_until_it_is_corrected(whole: Whole, tmp_path: Path) -> None:
    """The prefecture's file comes on a medium, and is compared from there; what differs is corrected by two persons' authority."""
    desk = Desk(whole, tmp_path, "F26-MISMATCH")
    await desk.open()
    codes = [CITY.resident(index).resident_record_code for index in (22, 23)]
    await whole.do(PREFECTURE, do="alter", code=codes[0], changes={"address": "虚構県架空市見本町９丁目９番９号"})
    await whole.do(PREFECTURE, do="alter", code=codes[1], missing=True)
    options = await desk.files(PREFECTURE, list(without_order(EVERYBODY).values()), "first")
    done = await desk.renkei("reconcile", "start", "--with", PREFECTURE, *options, "--reason", "once a year")
    assert (done["status"], done["found"], done["states"]) == ("done", 2, {"open": 2})
    assert await desk.worklist() == {codes[0]: ("changed", ("address",), "open"), codes[1]: ("missing", (), "open")}
    asked = await desk.renkei(
        "reconcile", "release", desk.run, "--correction", "register-resends", "--reason", "the register is right", code=6
    )
    await desk.renkei("approvals", "approve", asked["request_id"], "--yes", operator="operator-b")
    for index in (22, 23):
        await desk.change(index, EVERYBODY[CITY.resident(index).resident_record_code]["address"] + "７７番地")
    options = await desk.files(PREFECTURE, list(without_order(EVERYBODY).values()), "second")
    assert (await desk.renkei("reconcile", "again", desk.run, *options))["states"] == {"resolved": 2}


STOPS_IN_THE_MIDDLE = """
import pathlib, sys, time
from gateway.cli import main as cli
from gateway.reconciliation import steps

whole = steps.compared

def some(*arguments):
    told = 0
    for step in whole(*arguments):
        yield step
        told += len(step["found"])
        if told:  # the step after it is asked for, so it has its answer: it is in the ledger
            pathlib.Path(sys.argv[1]).touch()
            time.sleep(3600)

steps.compared = some
sys.exit(cli.run(sys.argv[2:]))
"""
"""`renkei`, but it never goes on from the first step that found anything."""


@pytest.mark.flow("F2-6")
@pytest.mark.edge("F2-6", "interrupted")
async def test_an_interrupted_run_goes_on_where_it_was(whole: Whole, tmp_path: Path) -> None:
    desk = Desk(whole, tmp_path, "F26-INTERRUPTED")
    await desk.open()
    register = list(without_order(EVERYBODY).values())[5:]
    options = await desk.files(PREFECTURE, register, "first")
    asked = whole.town.renkei("reconcile", "start", "--with", PREFECTURE, *options, "--reason", "cut off soon")
    arguments = asked[len(whole.town.plan.command) :]
    stopped = tmp_path / "stopped"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STOPS_IN_THE_MIDDLE, str(stopped), *arguments)

    def run() -> Any:
        [row] = whole.rows("SELECT * FROM reconciliation WHERE run = ?", desk.run)
        return row

    await until(stopped.exists, 40.0)
    process.kill()
    await process.wait()
    before = run()
    assert before["status"] == "running"
    assert 0 < before["next_bucket"] < 4096
    assert before["found"] > 0
    assert (await desk.renkei("reconcile", "pause", desk.run, "--reason", "over lunch"))["status"] == "paused"
    other = await desk.files(PREFECTURE, register, "other")
    await desk.renkei("reconcile", "resume", desk.run, *other, "--reason", "not the files that were begun with", code=5)
    assert run()["next_bucket"] == before["next_bucket"]
    done = await desk.renkei("reconcile", "resume", desk.run, *options, "--reason", "after lunch")
    assert (done["status"], done["next_bucket"], done["found"] >= 5) == ("done", 4096, True)
    numbers = [row["number"] for row in whole.rows(
        "SELECT d.number FROM reconciliation_difference d JOIN reconciliation r ON r.id = d.reconciliation WHERE r.run = ?", desk.run
    )]  # fmt: skip
    assert sorted(numbers) == list(range(1, done["found"] + 1)), "told once each"
    await desk.renkei("reconcile", "start", "--with", PREFECTURE, *options, "--reason", "the same name", code=5)
    assert run()["found"] == done["found"]
    # from the beginning under another name: nothing of the first is touched, and the same is found
    repeated = Desk(whole, tmp_path / "repeated", "F26-REPEATED")
    repeated.folder.mkdir()
    await repeated.open()
    options = await repeated.files(PREFECTURE, register, "first")
    whole_run = await repeated.renkei("reconcile", "start", "--with", PREFECTURE, *options, "--reason", "repeated")
    assert (whole_run["status"], whole_run["found"]) == ("done", done["found"])
    assert await repeated.worklist() == await desk.worklist()
