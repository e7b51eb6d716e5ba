"""The books of the updates: the register's record and the city CS's journal, read while they are written, and held together at the end.

What else goes and comes is only counted here; its books are those of a replay (:mod:`simulators.replay.accounts`). Nothing here comes
from the gateway. A resident uses one door, so that what the city CS did can be put down to a door.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from simulators.register.messages import TYPE
from simulators.verdict import Verdict, judge

DOORS = ("amqp", "https")
Entry = Mapping[str, Any]


class Tail:
    """Reads the complete lines of a growing JSON Lines file, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def read(self) -> list[dict[str, Any]]:
        """What has come since the last time."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCounts:
    """What both sides wrote down for one door, or for all."""

    submitted: int
    accepted: int
    refused: int
    """At the door."""
    effects: int
    rejected: int
    """By the city CS."""
    replaced: int
    lost: int
    duplicate_effects: int
    order_violations: int
    stuck: int
    foreign_effects: int
    unaccepted: int

    @property
    def agrees(self) -> bool:
        """One effect for each message that was accepted and not replaced, and nothing else."""
        wrong = self.lost or self.duplicate_effects or self.order_violations or self.stuck or self.foreign_effects or self.unaccepted
        return not wrong and self.effects == self.accepted - self.replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds."""

    count: int
    p50: float | None
    p99: float | None
    longest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """Both books held against each other."""

    doors: Mapping[str, DoorCounts]
    total: DoorCounts
    accept: Mapping[str, Times]
    """From submission to receipt, for each door and ``total``."""
    effect: Mapping[str, Times]
    """From acceptance to effect."""
    undisturbed: Mapping[str, Times]
    """The same, without what met the outage or the hold."""

    @property
    def ok(self) -> bool:
        """Both agree, in all and for each door."""
        return self.total.agrees and all(counts.agrees for counts in self.doors.values())

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        shown: dict[str, Any] = {"doors": {name: asdict(counts) for name, counts in self.doors.items()}, "total": asdict(self.total)}
        for name in ("accept", "effect", "undisturbed"):
            times: Mapping[str, Times] = getattr(self, name)
            shown[f"{name}_s"] = {door: asdict(each) for door, each in times.items()}
        return shown


@dataclass(slots=True, kw_only=True)
class Books:
    """Both books of one run."""

    record: Tail
    journal: Tail
    _record: list[dict[str, Any]] = field(default_factory=list)
    _journal: list[dict[str, Any]] = field(default_factory=list)
    _door_of: dict[str, str] = field(default_factory=dict)
    """Resident → door."""
    _message: dict[str, str] = field(default_factory=dict)
    """Id → door."""
    others: Counter[str] = field(default_factory=Counter)
    """Messages of other types: submitted, accepted."""
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {door: Counter() for door in DOORS})

    def look(self) -> None:
        """Read what has come; :attr:`counts` are as of then."""
        for entry in self.record.read():
            update = entry["id"] in self._message or entry.get("type", "") == TYPE
            if not update:
                self.others["submitted" if entry["kind"] == "message" else entry["status"]] += 1
                continue
            self._record.append(entry)
            if entry["kind"] == "message":
                self._door_of[entry["resident"]] = self._message[entry["id"]] = entry["door"]
                self.counts[entry["door"]]["submitted"] += 1
            elif entry["kind"] == "receipt":
                self.counts[self._message[entry["id"]]][entry["status"]] += 1
        for entry in self.journal.read():
            entry.pop("sealed", None)
            self._journal.append(entry)
            door = self._door_of.get(entry.get("resident") or "")
            if door is not None and entry["kind"] in ("effect", "refused"):
                self.counts[door][entry["kind"]] += 1

    def total(self, what: str) -> int:
        """One count over both doors."""
        return sum(counts[what] for counts in self.counts.values())

    def of_resident(self, resident: str) -> list[dict[str, Any]]:
        """What the city CS did for one resident, in order."""
        return [entry for entry in self._journal if entry.get("resident") == resident]

    def first_effect_after(self, at: float) -> float:
        """When the first effect after a time was (Unix); the time itself if there is none."""
        return next((when for entry in self._journal if entry["kind"] == "effect" and (when := _seconds(entry["at"])) >= at), at)

    def reckon(self, disturbed: Sequence[tuple[float, float]], apart: Iterable[str] = (), *, time_up: bool = False) -> Reckoning:
        """Hold both books against each other.

        :param disturbed: times (Unix, from and to) in which something was made to fail: what was under way then is not ``undisturbed``.
        :param apart: residents who are not ``undisturbed`` either.
        """
        self.look()
        doors = {}
        for door in DOORS:
            messages = [e for e in self._record if self._message[e["id"]] == door]
            done = [e for e in self._journal if self._door_of.get(e.get("resident") or "") == door]
            doors[door] = _counts(judge(messages, done, time_up=time_up), done)
        total = _counts(judge(self._record, self._journal, time_up=time_up), self._journal)
        accept, effect, undisturbed = self._times(disturbed, frozenset(apart))
        return Reckoning(doors=doors, total=total, accept=accept, effect=effect, undisturbed=undisturbed)

    def _times(
        self, disturbed: Sequence[tuple[float, float]], apart: frozenset[str]
    ) -> tuple[dict[str, Times], dict[str, Times], dict[str, Times]]:
        sent: dict[str, dict[str, Any]] = {}
        accepted: dict[str, float] = {}
        accept: dict[str, list[float]] = {door: [] for door in DOORS}
        for entry in self._record:
            if entry["kind"] == "message":
                sent[entry["id"]] = entry
            elif entry["kind"] == "receipt" and entry["status"] == "accepted":
                accepted[entry["id"]] = _seconds(entry["accepted_at"] or entry["at"])
                accept[self._message[entry["id"]]].append(_seconds(entry["at"]) - _seconds(sent[entry["id"]]["at"]))
        by_request = {(entry["resident"], entry["request"]): name for name, entry in sent.items()}
        effect: dict[str, list[float]] = {door: [] for door in DOORS}
        calm: dict[str, list[float]] = {door: [] for door in DOORS}
        for entry in self._journal:
            name = by_request.get((entry.get("resident") or "", entry.get("request") or ""))
            if entry["kind"] != "effect" or name not in accepted:
                continue
            began, ended = accepted[name], _seconds(entry["at"])
            effect[self._message[name]].append(max(0.0, ended - began))
            if entry["resident"] not in apart and not any(began < until and ended > since for since, until in disturbed):
                calm[self._message[name]].append(max(0.0, ended - began))
        return _all_times(accept), _all_times(effect), _all_times(calm)


def _counts(verdict: Verdict, journal: Iterable[Entry]) -> DoorCounts:
    return DoorCounts(
        submitted=verdict.submitted,
        accepted=verdict.accepted,
        refused=verdict.refused,
        effects=verdict.effects,
        rejected=sum(entry["kind"] == "refused" for entry in journal),
        replaced=verdict.replaced,
        lost=verdict.lost,
        duplicate_effects=verdict.duplicate_effects,
        order_violations=verdict.order_violations,
        stuck=verdict.stuck,
        foreign_effects=verdict.foreign_effects,
        unaccepted=verdict.unaccepted,
    )


def _all_times(by_door: Mapping[str, list[float]]) -> dict[str, Times]:
    times = {door: _times_of(values) for door, values in by_door.items()}
    return times | {"total": _times_of([value for values in by_door.values() for value in values])}


def _times_of(values: list[float]) -> Times:
    ranked = sorted(values)
    if not ranked:
        return Times(count=0, p50=None, p99=None, longest=None)
    place = [ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.5, 0.99)]
    return Times(count=len(ranked), p50=round(place[0], 4), p99=round(place[1], 4), longest=round(ranked[-1], 4))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
