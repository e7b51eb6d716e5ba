"""The demo's parts that need no process: its books, its day, its folder, its texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.city import City
from simulators.demo.books import Books, Tail
from simulators.demo.kept import Folder
from simulators.demo.story import SMALLEST, StoryDay
from simulators.demo.text import TEXT
from simulators.errors import BadSettings
from simulators.references import References
from simulators.register.messages import TYPE


def at(second: float) -> str:
    return f"2026-04-01T00:00:{second:09.6f}Z"


def seconds(second: float) -> float:
    return datetime.fromisoformat(at(second)).timestamp()


def record() -> list[dict[str, Any]]:
    """Two residents (fictitious): b is rejected, waits, and is replaced."""
    lines: list[dict[str, Any]] = []
    for n, (name, resident, update, door, corrects) in enumerate(
        [
            ("1", "a", 1, "amqp", None),
            ("2", "b", 1, "https", None),
            ("3", "b", 2, "https", None),
            ("4", "b", 1, "https", "2"),
            ("5", "a", 2, "amqp", None),
        ]
    ):
        message = {"kind": "message", "id": name, "resident": resident, "update": update, "request": f"r{name}", "door": door}
        lines.append({**message, "type": TYPE, "at": at(n), "corrects": corrects, "abnormal": None})
        lines.append({"kind": "receipt", "id": name, "status": "accepted", "at": at(n + 0.2), "accepted_at": at(n + 0.1)})
    return lines


def journal() -> list[dict[str, Any]]:
    return [
        {"kind": "effect", "resident": "a", "request": "r1", "update": 1, "at": at(0.5)},
        {"kind": "refused", "resident": "b", "request": "r2", "update": 1, "at": at(1.5), "code": "E102"},
        {"kind": "effect", "resident": "b", "request": "r4", "update": 1, "at": at(8)},
        {"kind": "effect", "resident": "b", "request": "r3", "update": 2, "at": at(9)},
        {"kind": "effect", "resident": "a", "request": "r5", "update": 2, "at": at(9.5)},
    ]


@pytest.fixture
def books(tmp_path: Path) -> Callable[..., Books]:
    def made(done: list[dict[str, Any]]) -> Books:
        for name, entries in (("record", record()), ("journal", done)):
            (tmp_path / name).write_text("".join(json.dumps({"seq": n, **e}) + "\n" for n, e in enumerate(entries, 1)))
        return Books(record=Tail(tmp_path / "record"), journal=Tail(tmp_path / "journal"))

    return made


def test_both_books_agree(books: Callable[..., Books]) -> None:
    found = books(journal()).reckon([(seconds(9.3), seconds(12))], ["b"])
    assert found.ok
    total = found.total
    assert (total.submitted, total.accepted, total.effects, total.rejected, total.replaced) == (5, 5, 4, 1, 1)
    assert (found.doors["amqp"].effects, found.doors["https"].effects, found.doors["https"].replaced) == (2, 2, 1)
    assert found.accept["total"].count == 5
    assert found.accept["total"].p50 == pytest.approx(0.2)
    assert found.effect["total"].count == 4
    assert found.undisturbed["total"].count == 1, "of a, what was under way in the outage is left out; b is apart"


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.parametrize(
    ("spoil", "charge"),
    [
        (lambda done: done[:-1], "lost"),
        (lambda done: [*done, done[0]], "duplicate_effects"),
        (lambda done: [*done[:2], done[3], done[2], done[4]], "order_violations"),
        (lambda done: [*done, {**done[0], "resident": "c"}], "foreign_effects"),
    ],
)
def test_what_does_not_agree_is_seen(books: Callable[..., Books], spoil: Callable[..., Any], charge: str) -> None:
    found = books(spoil(journal())).reckon([])
    assert not found.ok
    assert getattr(found.total, charge) == 1


def test_a_growing_file_is_read_by_whole_lines(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "journal")
    assert tail.read() == []
    (tmp_path / "journal").write_text('{"seq":1}\n{"se')
    assert tail.read() == [{"seq": 1}]
    with (tmp_path / "journal").open("a") as file:
        file.write('q":2}\n')
    assert tail.read() == [{"seq": 2}]


@pytest.mark.parametrize(("population", "events"), [(400_000, 936), (2000, 60), (100, SMALLEST)])
def test_a_day_tells_of_one_resident(population: int, events: int) -> None:
    day = StoryDay(City(3, population), References("salt of a test"), day=1, events=events)
    assert len(day.events) == len({event.ce_id for event in day.events}) == events
    theirs = [event for event in day.events if event.resident == day.resident]
    assert [(event.reason, event.sequence) for event in theirs] == [("MOVE", 1), ("HH_CHANGE", 2), ("AMEND_OFF", 3)]
    assert [event.ce_time for event in day.events] == sorted(event.ce_time for event in day.events)
    sent = {event.ce_id: event.xml for event in day.sent()}
    assert [event.ce_id for event in day.events if sent[event.ce_id] != event.xml] == [day.mistaken.ce_id]


def test_the_same_seed_is_the_same_day() -> None:
    one, two = (StoryDay(City(5, 5000), References("salt of a test"), day=1, events=50) for _ in range(2))
    assert [event.xml for event in one.sent()] == [event.xml for event in two.sent()]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not of a demo")
    with pytest.raises(BadSettings, match="folder-not-ours"), Folder(tmp_path):
        raise AssertionError("it must not be used")
    assert (tmp_path / "mine.txt").exists()


def test_one_demo_at_a_time_in_a_folder(tmp_path: Path) -> None:
    with Folder(tmp_path / "demo") as folder:
        (folder.path / "old").mkdir()
        folder.clear()
        assert [each.name for each in folder.path.iterdir()] == ["renkei-demo.lock"]
        with pytest.raises(BadSettings, match="folder-in-use"), Folder(tmp_path / "demo"):
            raise AssertionError("it must not be used")
    with Folder(tmp_path / "demo") as folder:
        assert folder.kept() is None
        assert not folder.stop_kept()


def test_both_languages_take_the_same_values() -> None:
    for key, (english, japanese) in TEXT.items():
        assert set(re.findall(r"{(\w+)", english)) == set(re.findall(r"{(\w+)", japanese)), key
