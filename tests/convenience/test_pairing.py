"""Whose certificate comes out of which kiosk, judged from the journals of kiosks and issuing system alone; planted bugs are convicted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from simulators.convenience.verdict import judge
from simulators.harness.pairing import MISCHIEF, PairingPlan, run_pairing

pytestmark = [pytest.mark.slow, pytest.mark.flow("F5-1"), pytest.mark.flow("F5-2"), pytest.mark.invariant("I7")]
PLANTED = Path(__file__).parent / "planted"
SMALL = PairingPlan(
    requests=500, at_once=100, people=30, kills=3, answer_s=3.0, victims=("certificate-issuance", "gateway", "certificate-centre")
)


def planted(bug: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(PLANTED), os.environ.get("PYTHONPATH")]))
    return {"RENKEI_PLANTED_PAIRING": bug, "PYTHONPATH": path}


@pytest.mark.timeout(300)
async def test_nobody_gets_what_is_not_theirs(tmp_path: Path) -> None:
    """500 requests in waves of 100 in a moment, answers that go wrong in ten ways, and the death of three processes."""
    found = await run_pairing(tmp_path, SMALL)
    assert found["ok"], found
    assert found["asked"] == sum(found["ends"].values()) == 500
    assert found["ends"].get("printed", 0) >= 30, found
    assert found["most_in_a_second"] >= 50, found
    assert len(found["killed"]) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", ["latest", *(pytest.param(name, marks=pytest.mark.long) for name in ("second", "kiosk", "not-compared"))])
async def test_a_planted_pairing_bug_is_convicted(tmp_path: Path, bug: str) -> None:
    wrong = {"slow": 0.5} if bug != "not-compared" else {name: MISCHIEF[name] for name in ("exchanged", "other-person", "other-kind")}
    plan = PairingPlan(requests=100, at_once=50, people=30, kills=0, mischief=wrong, environment=planted(bug))
    found = await run_pairing(tmp_path, plan)
    assert found["wrong"]["count"] > 0, found


def test_the_judge_sees_each_kind_of_wrong() -> None:
    """A verdict that has never convicted is worth nothing."""
    facts = {"request": "r1", "card": "c1", "person": "p1", "type": "1"}
    asked = {"kind": "asked", "kiosk": 1, "deadline_s": 5, "at": "2026-11-23T00:00:00.0Z", **facts}
    made = {"kind": "issued", "number": 1, "digest": "d1", **facts}
    says = {"request_id": "r1", "certificate_type": "1", "card": "c1"}
    got = {"kind": "printed", "request": "r1", "digest": "d1", "took_s": 1.0, "says": says}
    assert judge([asked, got], [made]).ok
    for name in facts:
        assert judge([asked, got], [{**made, name: "other"}]).wrong, name
    assert judge([asked, got], []).wrong
    assert judge([asked, {**got, "says": {**says, "card": "c2"}}], [made]).wrong
    other = [{**asked, "request": "r2"}, {**got, "request": "r2"}]
    assert len(judge([asked, got, *other], [made]).wrong) >= 2
    assert judge([asked, {**got, "kind": "late"}], [made]).late
    assert judge([asked], [made]).endless
    assert judge([asked, got, {"kind": "refused", "request": "r1", "code": "x"}], [made]).endless
