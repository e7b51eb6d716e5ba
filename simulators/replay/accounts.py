"""The books of a replay held against each other: the register's record and inbox, the gateway's ledger, and each party's journal.

One line for each party and type. *Out*: what the register sent and was not replaced, what the ledger says is delivered, and what took
effect at the party must be one number, and the same residents as often; no delivery has two effects. *In*: what the party sent and the
gateway accepted, what the ledger says is delivered, and what took effect at the register likewise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from message_formats import profiles
from simulators.harness.town import REGISTER
from simulators.harness.town_config import PROFILES
from simulators.journal import read_entries
from simulators.replay.ways import CITY_CS, RESULT, UPDATE, Leg, Present, carried
from simulators.verdict import Verdict, judge

Entry = Mapping[str, Any]


@dataclass(slots=True)
class Journal:
    """What one party wrote down."""

    effects: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Type → resident (reference) → effects."""
    refused: Counter[str] = field(default_factory=Counter)
    """Refusals by type, of which some came again as something else."""
    twice: Counter[str] = field(default_factory=Counter)
    """Effects of a delivery that had one already."""
    sent: Counter[str] = field(default_factory=Counter)
    """What it sent of its own accord, and the gateway accepted."""
    unsent: Counter[str] = field(default_factory=Counter)
    """What it still has to send, or was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One party and type. ``wrong``: what does not agree, empty if all does."""

    party: str
    type: str
    way: Literal["out", "in"]
    sent: int
    ledger: int
    effects: int
    refused: int
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All of them."""

    lines: tuple[Line, ...]
    updates: Verdict
    unfinished: Mapping[str, int]
    """Deliveries that the ledger has not ended, by party."""
    refused_at_door: int

    @property
    def ok(self) -> bool:
        """All agree, and nothing is left."""
        agreed = not any(line.wrong for line in self.lines)
        return agreed and self.updates.ok and self.updates.complete and not self.unfinished and not self.refused_at_door

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        verdict = {key: value for key, value in self.updates.shown().items() if key != "examples"}
        return {
            "books": [asdict(line) for line in self.lines],
            "updates": verdict,
            "unfinished": dict(self.unfinished),
            "refused_at_door": self.refused_at_door,
        }


def soap_journal(party: str, entries: Iterable[Entry]) -> Journal:
    """Of a party with a profile. At the city CS updates have lines of their own."""
    profile = profiles.get(PROFILES[party])
    found, known = Journal(), set()
    waiting: dict[str, str] = {}

    def effect(kind: str, entry: Entry) -> None:
        found.effects[kind][entry.get("resident") or ""] += 1
        found.twice[kind] += entry["delivery"] in known
        known.add(entry["delivery"])

    for entry in entries:
        match entry["kind"]:
            case "effect":
                effect(UPDATE, entry)
            case "refused":
                found.refused[UPDATE] += 1
            case "taken" if entry.get("by") == "gateway":
                effect(profile.operation(entry["operation"]).type, entry)
            case "turned-down":
                found.refused[profile.operation(entry["operation"]).type] += 1
            case "outgoing" if entry["to"] == "gateway":
                waiting[entry["delivery"]] = profile.operation(entry["operation"]).type
            case "arrived" if entry["delivery"] in waiting and entry["outcome"] == "accepted":
                found.sent[waiting.pop(entry["delivery"])] += 1
    found.unsent = Counter(waiting.values())
    return found


def system_journal(entries: Iterable[Entry]) -> Journal:
    """Of one of our own systems, or of the register's inbox."""
    found, known = Journal(), set()
    for entry in entries:
        if entry["kind"] == "effect":
            found.effects[entry["type"]][entry.get("resident") or ""] += 1
            found.twice[entry["type"]] += entry["delivery"] in known
            known.add(entry["delivery"])
        elif entry["kind"] == "refused":
            found.refused[entry["type"]] += 1
    return found


def sent_by_register(record: Iterable[Entry]) -> tuple[dict[str, Counter[str]], int]:
    """Accepted messages that were not replaced, by type and resident (reference); and how many were refused at a door."""
    messages: dict[str, Entry] = {}
    accepted: set[str] = set()
    refused: set[str] = set()
    for entry in record:
        if entry["kind"] == "message":
            messages.setdefault(entry["id"], entry)
        elif entry["kind"] == "receipt":
            (accepted if entry["status"] == "accepted" else refused).add(entry["id"])
    replaced = {entry["corrects"] for name, entry in messages.items() if name in accepted and entry["corrects"] is not None}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name in accepted - replaced:
        found[messages[name]["type"]][messages[name]["resident"]] += 1
    return found, len(refused - accepted)


def hold_together(
    *, record: Sequence[Entry], inbox: Journal, tally: Mapping[str, Any], journals: Mapping[str, Journal], city_cs: Iterable[Entry],
    legs: Mapping[str, Sequence[Leg]], time_up: bool = False,
) -> Books:  # fmt: skip
    """All books against each other.

    :param tally: what ``renkei tally --json`` says.
    :param journals: by party or system, without the register's.
    """
    sent, refused_at_door = sent_by_register(record)
    delivered: Counter[tuple[str, str]] = Counter()
    unfinished: Counter[str] = Counter()
    for each in tally["deliveries"]:
        if each["state"] == "delivered":
            delivered[each["party"], each["type"]] += each["count"]
        elif not each["replaced"]:
            unfinished[each["party"]] += each["count"]
    handed_in = {(each["system"], each["type"]): each["count"] for each in tally["messages"]}
    lines = list(_out(sent, delivered, journals, legs))
    lines += _in(inbox, delivered, handed_in, journals)
    ids = {entry["id"] for entry in record if entry["kind"] == "message" and entry["type"] == UPDATE}
    updates = judge([entry for entry in record if entry.get("id") in ids], city_cs, time_up=time_up)
    return Books(lines=tuple(lines), updates=updates, unfinished=dict(unfinished), refused_at_door=refused_at_door)


def _out(
    sent: Mapping[str, Counter[str]],
    delivered: Mapping[tuple[str, str], int],
    journals: Mapping[str, Journal],
    legs: Mapping[str, Sequence[Leg]],
) -> Iterable[Line]:
    expected: dict[tuple[str, str], Counter[str]] = {
        (leg.party, leg.type): sent.get(kind, Counter()) for kind, each in legs.items() for leg in each
    }
    told = {(party, kind) for party, journal in journals.items() for kind in journal.effects}
    seen = {place for place in delivered if place[0] != REGISTER}
    for place in sorted(expected.keys() | told | seen):
        party, kind = place
        own, journal = expected.get(place, Counter()), journals.get(party, Journal())
        done = journal.effects.get(kind, Counter())
        wrong = _differences(own.total(), delivered.get(place, 0), done.total(), journal.twice[kind])
        # who keeps no reference to the resident says so with an empty one
        if not wrong and done.keys() != {""} and done != own:
            wrong = ("residents",)
        yield Line(
            party=party, type=kind, way="out", sent=own.total(), ledger=delivered.get(place, 0), effects=done.total(),
            refused=journal.refused[kind], wrong=wrong,
        )  # fmt: skip


def _in(
    inbox: Journal, delivered: Mapping[tuple[str, str], int], handed_in: Mapping[tuple[str, str], int], journals: Mapping[str, Journal]
) -> Iterable[Line]:
    sent = {(party, kind): count for party, journal in journals.items() for kind, count in journal.sent.items()}
    if CITY_CS in journals:  # each answer to an update is a message to the register (1-4r)
        answers = journals[CITY_CS].effects.get(UPDATE, Counter()).total() + journals[CITY_CS].refused[UPDATE]
        sent[CITY_CS, RESULT] = answers
    kinds = {kind for party, kind in delivered if party == REGISTER} | inbox.effects.keys() | {kind for _, kind in sent}
    for kind in sorted(kinds):
        parties = sorted(party for party, each in sent if each == kind) or ["?"]
        count, taken = sum(sent.get((party, kind), 0) for party in parties), inbox.effects.get(kind, Counter()).total()
        wrong = _differences(count, delivered.get((REGISTER, kind), 0), taken, inbox.twice[kind])
        if sum(handed_in.get((party, kind), 0) for party in parties) not in (count, 0):
            wrong = (*wrong, "messages")
        if any(journals[party].unsent[kind] for party in parties if party in journals):
            wrong = (*wrong, "unsent")
        yield Line(
            party="+".join(parties), type=kind, way="in", sent=count, ledger=delivered.get((REGISTER, kind), 0), effects=taken,
            refused=inbox.refused[kind], wrong=wrong,
        )  # fmt: skip


def _differences(sent: int, ledger: int, effects: int, twice: int) -> tuple[str, ...]:
    named = {"sent": sent == ledger, "effects": effects == ledger, "twice": twice == 0}
    return tuple(name for name, agrees in named.items() if not agrees)


def mailbox_journal(kind: str, entries: Iterable[Entry]) -> Journal:
    """Of a party with a mailbox, which is told of one type only."""
    return system_journal({"type": kind, **entry} for entry in entries)


def read_journals(present: Present, folder: Path) -> dict[str, Journal]:
    """The journals of a town."""
    found = {party: soap_journal(party, read_entries(folder / f"{party}.jsonl")) for party in present.parties}
    for party in present.mailboxes:
        [kind] = {leg.type for legs in carried((party,)).values() for leg in legs}
        found[party] = mailbox_journal(kind, read_entries(folder / f"{party}.jsonl"))
    for system in present.systems:
        found[system] = system_journal(read_entries(folder / "systems" / f"{system}.jsonl"))
    return found
