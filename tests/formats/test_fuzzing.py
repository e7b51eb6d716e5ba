"""Fuzzing: 20,000 inputs in a process with little memory; and the harness convicts readers that crash, echo or dawdle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from message_formats import reading
from message_formats.errors import FormatError
from message_formats.message import Message
from tests.formats import corpora, fuzzing


@pytest.mark.slow
@pytest.mark.invariant("I5")
@pytest.mark.invariant("I10")
def test_twenty_thousand_inputs_crash_nothing_and_come_back_in_no_error() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.formats.fuzzing", "--count", "20000", "--seed", "20260401", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(answer.stdout)
    assert found["ok"], found
    assert found["count"] == 20_000
    assert found["accepted"] > 200  # the harness reaches what is behind the refusals
    assert len(found["codes"]) >= 18


def outcome_of(data: bytes) -> Message | FormatError:
    try:
        return reading.read(data)
    except FormatError as error:
        return error


@pytest.mark.parametrize("data", [*corpora.attacks(), *corpora.broken_encodings()])
def test_attacks_and_broken_encodings(data: bytes) -> None:
    started = time.process_time()
    result = outcome_of(data)
    if isinstance(result, FormatError):
        assert len(str(result)) < 300
    else:
        assert reading.read(result.to_bytes()).items == result.items
    assert time.process_time() - started < 1


def crashing(data: bytes) -> object:
    raise KeyError("x")


def echoing(data: bytes) -> object:
    raise FormatError("value-pattern", "-", "x", data.decode("utf-8", "ignore"))


def dawdling(data: bytes) -> object:
    until = time.process_time() + 1.05
    while time.process_time() < until:
        sum(range(1000))
    return None


def endless(data: bytes) -> object:
    while True:
        sum(range(1000))


def test_the_harness_breaks_off_what_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "BROKEN_OFF_S", 0.05)
    before = signal.signal(signal.SIGPROF, fuzzing._break_off)
    try:
        outcome = fuzzing.Outcome()
        fuzzing._one(endless, corpora.GOOD, outcome, None)
    finally:
        signal.signal(signal.SIGPROF, before)
    assert [finding["what"] for finding in outcome.findings] == ["broken off"]


@pytest.mark.parametrize("reader", [crashing, echoing, dawdling])
@pytest.mark.thorough
def test_the_harness_convicts(reader: object) -> None:
    outcome = fuzzing.Outcome()
    fuzzing._one(reader, corpora.GOOD, outcome, None)  # type: ignore[arg-type]
    assert len(outcome.findings) == 1
