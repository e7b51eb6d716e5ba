"""The fault board and scripts: which call or record a fault meets, decided without chance that could not be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulators.errors import BadFault
from simulators.faults import GARBAGE, KINDS, SIGNATURES, FaultBoard, ScriptRun, fault_spec, read_script


def subject(number: int) -> tuple[str, str, str]:
    return (f"ref{number}", f"delivery{number}", f"Q{number}")


def met(board: FaultBoard, numbers: list[int]) -> list[int]:
    return [number for number in numbers if board.for_record(subject(number)) is not None]


def test_the_next_n_only() -> None:
    board = FaultBoard()
    board.put(fault_spec({"kind": "refuse", "code": "E901", "times": 2}))
    assert met(board, [1, 2, 3, 4]) == [1, 2]
    assert board.active() == []


def test_some_may_pass_first() -> None:
    board = FaultBoard()
    board.put(fault_spec({"kind": "refuse", "code": "E901", "times": 1, "skip": 2}))
    assert met(board, [1, 2, 3, 4]) == [3]


def test_one_resident_or_one_key_only() -> None:
    board = FaultBoard()
    board.put(fault_spec({"kind": "refuse", "code": "E901", "resident": "ref2"}))
    assert met(board, [1, 2, 3, 2]) == [2, 2]
    board.clear()
    board.put(fault_spec({"kind": "refuse", "code": "E901", "key": "Q3"}))
    board.put(fault_spec({"kind": "refuse", "code": "E901", "key": "delivery4"}))
    assert met(board, [1, 2, 3, 4]) == [3, 4]


def test_a_share_is_the_same_at_every_run_in_whatever_order_the_traffic_comes() -> None:
    def chosen(order: list[int], seed: int) -> set[int]:
        board = FaultBoard(seed)
        board.put(fault_spec({"kind": "refuse", "code": "E901", "rate": 0.3}))
        return set(met(board, order))

    numbers = list(range(1000))
    assert chosen(numbers, 1) == chosen(numbers[::-1], 1)
    assert chosen(numbers, 1) != chosen(numbers, 2)
    assert 230 < len(chosen(numbers, 1)) < 370


def test_a_share_draws_anew_at_every_attempt() -> None:
    board = FaultBoard(1)
    board.put(fault_spec({"kind": "refuse", "code": "E901", "rate": 0.5}))
    assert 50 < len(met(board, [7] * 200)) < 150


def test_call_faults_meet_calls_and_record_faults_records() -> None:
    board = FaultBoard()
    board.put(fault_spec({"kind": "http-500", "resident": "ref2"}))
    assert board.for_record(subject(2)) is None
    assert board.for_call([subject(1)]) is None
    fault = board.for_call([subject(1), subject(2)])
    assert fault is not None
    assert fault.kind.name == "http-500"
    assert board.met_total == {"http-500": 1}


def test_the_oldest_that_applies_is_taken() -> None:
    board = FaultBoard()
    board.put(fault_spec({"kind": "http-500", "times": 1}))
    board.put(fault_spec({"kind": "reset"}))
    kinds = [fault.kind.name for fault in (board.for_call([subject(1)]), board.for_call([subject(1)])) if fault]
    assert kinds == ["http-500", "reset"]


def test_the_newest_listener_fault_is_the_mode_until_it_is_cleared() -> None:
    board = FaultBoard()
    assert board.listener_mode() == "up"
    down = board.put(fault_spec({"kind": "down"}))
    board.put(fault_spec({"kind": "silent"}))
    assert board.listener_mode() == "silent"
    board.clear()
    assert board.listener_mode() == "up"
    assert down.gone.is_set()


def test_clearing_releases_those_whom_a_used_up_fault_still_holds() -> None:
    board = FaultBoard()
    board.put(fault_spec({"kind": "half-open", "times": 1}))
    fault = board.for_call([subject(1)])
    assert fault is not None
    assert board.active() == []
    assert board.take_away(fault.id)
    assert fault.gone.is_set()
    assert not board.take_away(fault.id)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ({"kind": "earthquake"}, "unknown kind"),
        ({"kind": "refuse"}, "needs a code"),
        ({"kind": "reset", "code": "E901"}, "no parameter code"),
        ({"kind": "reset", "tmies": 1}, "tmies"),
        ({"kind": "garbage", "variant": "poem"}, "unknown variant"),
        ({"kind": "http-503", "takes_effect": True}, "no parameter takes_effect"),
        ({"kind": "down", "times": 1}, "for_s only"),
        ({"kind": "reset", "rate": 2}, "rate"),
        ("reset", ""),
    ],
)
def test_a_wrong_description_is_refused_with_its_reason(raw: Any, part: str) -> None:
    with pytest.raises(BadFault) as caught:
        fault_spec(raw)
    assert part in caught.value.detail


def test_every_kind_can_be_put() -> None:
    board = FaultBoard()
    for kind in KINDS.values():
        raw: dict[str, Any] = {"kind": kind.name}
        if kind.name == "refuse":
            raw["code"] = "E901"
        if kind.name == "signature":
            raw["variant"] = "unsigned"
        assert board.put(fault_spec(raw)).takes_effect == bool(kind.takes_effect)
    for variant in GARBAGE:
        board.put(fault_spec({"kind": "garbage", "variant": variant}))
    for variant in SIGNATURES:
        board.put(fault_spec({"kind": "signature", "variant": variant}))
    for kind_name, other in (("garbage", SIGNATURES[0]), ("signature", GARBAGE[0])):
        with pytest.raises(BadFault, match="unknown variant"):
            fault_spec({"kind": kind_name, "variant": other})


def test_a_script_takes_its_steps_when_their_time_or_count_has_come(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(
        "seed: 5\nsteps:\n- {after_calls: 10, put: {kind: down, for_s: 2}}\n- {after_s: 3, put: {kind: reset, rate: 0.1}}\n"
        "- {after_effects: 50, clear: true}\n"
    )
    script = read_script(path)
    run = ScriptRun(script)
    assert script.seed == 5
    assert run.due(elapsed_s=9, calls=9, effects=99) == []
    assert [step.after_calls or step.after_s for step in run.due(elapsed_s=9, calls=10, effects=49)] == [10, 3]
    assert [step.clear for step in run.due(elapsed_s=9, calls=10, effects=50)] == [True]
    assert run.over


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{after_s: 1, put: {kind: earthquake}}]",
        "steps: [{after_s: 1}]",
        "steps: [{put: {kind: reset}}]",
        "steps: [{after_s: 1, after_calls: 2, clear: true}]",
        "steps: [",
        "stairs: []",
    ],
)
def test_a_wrong_script_is_refused_naming_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(BadFault, match=r"script\.yaml"):
        read_script(path)
