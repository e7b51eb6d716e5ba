"""The books of a replay held against each other: what each of our systems handed in, the gateway's ledger, and the journal of each party
and system.

One line for each receiver and type. *Out*: what our systems handed in and was not replaced, what the ledger says is delivered, and what
took effect at the receiver must be one number, and the same residents as often; no delivery has two effects. *In*: what a party sent and
the gateway accepted, what the ledger says is delivered, and what took effect at the system whose it is likewise. What goes to the gateway
itself is in its ledger as a message only. Of the kiosks each request has one end, and no certificate is another's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from message_formats import profiles
from simulators.convenience.verdict import Pairing
from simulators.convenience.verdict import judge as pairing
from simulators.harness.town_config import PROFILES
from simulators.journal import read_entries
from simulators.replay.ways import (
    CITY_CS,
    FROM_PARTIES,
    GATEWAY,
    IMMIGRATION,
    ISSUING,
    PORTAL,
    REGISTER,
    RESULT,
    UPDATE,
    Leg,
    Present,
    handed_in,
)  # fmt: skip
from simulators.verdict import Verdict, judge

Entry = Mapping[str, Any]
Place = tuple[str, str]
"""Whose a message is, and its type."""


@dataclass(slots=True)
class Journal:
    """What one party wrote down."""

    effects: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Type → resident (reference) → effects."""
    refused: Counter[str] = field(default_factory=Counter)
    """Deliveries that were refused and had no effect, by type: one that is sent again and refused again has one answer."""
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
class Dialogues:
    """What was asked while somebody waited, by type. ``unanswered``: by type and status; ``foreign``: answers about somebody else."""

    asked: Mapping[str, int]
    answered: Mapping[str, int]
    unanswered: Mapping[str, int]
    foreign: int

    @property
    def ok(self) -> bool:
        """Each question had one end, and its own."""
        return not self.foreign and sum(self.asked.values()) == sum(self.answered.values()) + sum(self.unanswered.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All of them."""

    lines: tuple[Line, ...]
    updates: Verdict
    unfinished: Mapping[str, int]
    """Deliveries that the ledger has not ended, by party."""
    refused_at_door: Mapping[str, int]
    """By system and type."""
    kiosks: Pairing | None = None
    dialogues: Dialogues | None = None

    @property
    def ok(self) -> bool:
        """All agree, and nothing is left."""
        agreed = not any(line.wrong for line in self.lines) and all(each is None or each.ok for each in (self.kiosks, self.dialogues))
        return agreed and self.updates.ok and self.updates.complete and not self.unfinished and not self.refused_at_door

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        verdict = {key: value for key, value in self.updates.shown().items() if key != "examples"}
        return {
            "books": [asdict(line) for line in self.lines],
            "updates": verdict,
            "unfinished": dict(self.unfinished),
            "refused_at_door": dict(self.refused_at_door),
            **({"kiosks": self.kiosks.shown()} if self.kiosks is not None else {}),
            **({"dialogues": asdict(self.dialogues)} if self.dialogues is not None else {}),
        }


def soap_journal(party: str, entries: Iterable[Entry]) -> Journal:
    """Of a party with a profile. At the city CS updates have lines of their own."""
    profile = profiles.get(PROFILES[party])
    found, known = Journal(), set()
    waiting: dict[str, str] = {}
    refusals: dict[str, set[str]] = defaultdict(set)

    def effect(kind: str, entry: Entry) -> None:
        found.effects[kind][entry.get("resident") or ""] += 1
        found.twice[kind] += entry["delivery"] in known
        known.add(entry["delivery"])

    for entry in entries:
        match entry["kind"]:
            case "effect":
                effect(UPDATE, entry)
            case "refused":
                refusals[UPDATE].add(entry["delivery"])
            case "taken" if entry.get("by") == "gateway":
                effect(profile.operation(entry["operation"]).type, entry)
            case "turned-down":
                refusals[profile.operation(entry["operation"]).type].add(entry["delivery"])
            case "outgoing" if entry["to"] == "gateway":
                waiting[entry["delivery"]] = profile.operation(entry["operation"]).type
            case "arrived" if entry["delivery"] in waiting and entry["outcome"] == "accepted":
                found.sent[waiting.pop(entry["delivery"])] += 1
    found.unsent = Counter(waiting.values())
    found.refused = Counter({kind: len(deliveries - known) for kind, deliveries in refusals.items()})
    return found


def system_journal(entries: Iterable[Entry]) -> Journal:
    """Of one of our own systems, or of the register's inbox; the issuing system and the family register call a resident ``person``."""
    found, known = Journal(), set()
    for entry in entries:
        if entry["kind"] == "effect":
            found.effects[entry["type"]][entry.get("resident") or entry.get("person") or ""] += 1
            found.twice[entry["type"]] += entry["delivery"] in known
            known.add(entry["delivery"])
        elif entry["kind"] == "refused" and "type" in entry:  # another refusal is that of a certificate
            found.refused[entry["type"]] += 1
    return found


def sent_by(record: Iterable[Entry]) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Accepted messages that were not replaced, by type (and work) and resident (reference); how many were refused at a door, by type."""
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
        kind, work = messages[name]["type"], messages[name].get("work")
        found[kind if work is None else f"{kind} {work}"][messages[name]["resident"]] += 1
    return found, Counter(messages[name]["type"] for name in refused - accepted)


def hold_together(
    *, records: Mapping[str, Sequence[Entry]], journals: Mapping[str, Journal], tally: Mapping[str, Any], city_cs: Iterable[Entry],
    handed_in: Mapping[str, Mapping[str, Sequence[Leg]]], kiosks: Pairing | None = None,
    dialogues: Dialogues | None = None, time_up: bool = False,
) -> Books:  # fmt: skip
    """All books against each other.

    :param records: what each of our systems wrote down of what it handed in.
    :param journals: by party or system; the register's is its inbox.
    :param tally: what ``renkei tally --json`` says.
    """
    delivered: Counter[tuple[str, str]] = Counter()
    unfinished: Counter[str] = Counter()
    for each in tally["deliveries"]:
        if each["state"] == "delivered":
            delivered[each["party"], each["type"]] += each["count"]
        elif not each["replaced"]:
            unfinished[each["party"]] += each["count"]
    own: dict[Place, Counter[str]] = {}
    refused_at_door: Counter[str] = Counter()
    for system, record in records.items():
        sent, refused = sent_by(record)
        refused_at_door.update({f"{system} {kind}": count for kind, count in refused.items()})
        for kind, legs in handed_in[system].items():
            for leg in legs:
                own.setdefault((leg.party, leg.type), Counter()).update(sent.get(kind, Counter()))
    messages = {(each["system"], each["type"]): each["count"] for each in tally["messages"]}
    lines = tuple(_lines(own, _came(journals), delivered, messages, journals))
    record = records[REGISTER]
    ids = {entry["id"] for entry in record if entry["kind"] == "message" and entry["type"] == UPDATE}
    updates = judge([entry for entry in record if entry.get("id") in ids], city_cs, time_up=time_up)
    return Books(
        lines=lines, updates=updates, unfinished=dict(unfinished), refused_at_door=dict(refused_at_door), kiosks=kiosks, dialogues=dialogues
    )


def _came(journals: Mapping[str, Journal]) -> dict[Place, dict[str, int]]:
    """What the parties sent: by whose it is and type, from whom how many."""
    found: dict[Place, dict[str, int]] = {}
    for party, journal in journals.items():
        for kind, count in (journal.sent + journal.unsent).items():
            found.setdefault((FROM_PARTIES.get(kind, REGISTER), kind), {})[party] = count - journal.unsent[kind]
    if CITY_CS in journals:  # each answer to an update is a message to the register (1-4r)
        answers = journals[CITY_CS].effects.get(UPDATE, Counter()).total() + journals[CITY_CS].refused[UPDATE]
        found[REGISTER, RESULT] = {CITY_CS: answers}
    return found


def _lines(
    own: Mapping[Place, Counter[str]],
    came: Mapping[Place, Mapping[str, int]],
    delivered: Mapping[Place, int],
    messages: Mapping[Place, int],
    journals: Mapping[str, Journal],
) -> Iterator[Line]:
    told = {(party, kind) for party, journal in journals.items() for kind in journal.effects}
    for place in sorted(own.keys() | came.keys() | told | delivered.keys()):
        party, kind = place
        expected, outside, journal = own.get(place, Counter()), came.get(place, {}), journals.get(party, Journal())
        done = journal.effects.get(kind, Counter())
        sent, ledger, effects = expected.total() + sum(outside.values()), delivered.get(place, 0), done.total()
        if party == GATEWAY:
            ledger = effects = sum(messages.get((each, kind), 0) for each in outside)
        wrong = _differences(sent, ledger, effects, journal.twice[kind])
        # who keeps no reference to the resident says so with an empty one; the register keeps that of another item
        if not wrong and not outside and party != REGISTER and done.keys() != {""} and done != expected:
            wrong = ("residents",)
        if any(messages.get((each, kind), 0) not in (count, 0) for each, count in outside.items()):
            wrong = (*wrong, "messages")
        if any(journals[each].unsent[kind] for each in outside):
            wrong = (*wrong, "unsent")
        inbound = bool(outside) or party == REGISTER
        yield Line(
            party="+".join(sorted(outside)) or party, type=kind, way="in" if inbound else "out", sent=sent, ledger=ledger,
            effects=effects, refused=journal.refused[kind], wrong=wrong,
        )  # fmt: skip


def _differences(sent: int, ledger: int, effects: int, twice: int) -> tuple[str, ...]:
    named = {"sent": sent == ledger, "effects": effects == ledger, "twice": twice == 0}
    return tuple(name for name, agrees in named.items() if not agrees)


def mailbox_journal(kind: str, fetched: str, entries: Iterable[Entry]) -> Journal:
    """Of a party with a mailbox, which is told of one type only, and of whose records another is made (``fetched``)."""
    seen = list(entries)
    found = system_journal({"type": kind, **entry} for entry in seen)
    acknowledged = {entry["batch"]: entry["results"] for entry in seen if entry["kind"] == "acknowledged"}
    lists = {entry["batch"] for entry in seen if entry["kind"] == "batch" and entry["batch"].startswith("list-")}
    for batch, results in acknowledged.items():
        if batch not in lists:
            found.sent[fetched] += sum(each["outcome"] == "accepted" for each in results)
            found.refused[fetched] += sum(each["outcome"] != "accepted" for each in results)
    found.unsent[fetched] = len({entry["batch"] for entry in seen if entry["kind"] == "batch"} - acknowledged.keys())
    return found


FETCHED = {IMMIGRATION: "residence-status-notice", PORTAL: "application-record"}


def read_journals(present: Present, folder: Path) -> dict[str, Journal]:
    """The journals of a town."""
    found = {party: soap_journal(party, read_entries(folder / f"{party}.jsonl")) for party in present.parties}
    told = {leg.party: leg.type for types in handed_in(present.everybody).values() for legs in types.values() for leg in legs}
    for party in present.mailboxes:
        found[party] = mailbox_journal(told[party], FETCHED[party], read_entries(folder / f"{party}.jsonl"))
    for system in present.systems:
        found[system] = system_journal(read_entries(folder / "systems" / f"{system}.jsonl"))
    found[REGISTER] = system_journal(read_entries(folder / "inbox.jsonl"))
    return found


def read_records(present: Present, folder: Path) -> dict[str, list[Entry]]:
    """What each of our systems handed in."""
    files = {system: folder / "systems" / f"{system}.sent.jsonl" for system in handed_in(present.everybody)} | {
        REGISTER: folder / "register.jsonl"
    }
    return {system: list(read_entries(file)) for system, file in files.items()}


def read_kiosks(present: Present, folder: Path) -> Pairing | None:
    """The verdict over the kiosks' journal and the issuing system's."""
    if not present.kiosks:
        return None
    return pairing(read_entries(folder / "kiosks.jsonl"), read_entries(folder / "systems" / f"{ISSUING}.jsonl"))
