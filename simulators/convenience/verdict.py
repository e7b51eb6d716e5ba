"""Who got whose certificate: judged from the kiosks' journal and the issuing system's alone.

wrong       printed for a request, but made for another request, card, person or kind, or made by nobody, or printed twice
late        came to the kiosk after its deadline
endless     a request without one definite end
withheld    (a figure, no fault) certificates that were made and printed nowhere
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from simulators.journal import Entry

FACTS = ("request", "card", "person", "type")
ENDS = frozenset({"printed", "refused", "timed-out", "no-answer", "late", "abandoned"})


@dataclass(slots=True)
class Pairing:
    """The verdict."""

    asked: int = 0
    issued: int = 0
    printed: int = 0
    withheld: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    """What was printed, by kind of certificate."""
    most_in_a_second: int = 0
    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    endless: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nobody got what is not theirs, nothing came late, everything ended."""
        return not (self.wrong or self.late or self.endless)

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        lists = {name: {"count": len(found), "first": found[:5]} for name in ("wrong", "late", "endless") if (found := getattr(self, name))}
        return {
            "ok": self.ok, "asked": self.asked, "issued": self.issued, "printed": self.printed, "withheld": self.withheld,
            "most_in_a_second": self.most_in_a_second, "ends": dict(sorted(self.ends.items())), **lists,
        }  # fmt: skip


def judge(kiosks: Iterable[Entry], issuing: Iterable[Entry]) -> Pairing:
    """The verdict over both journals. What the answers say of themselves counts only against them."""
    found = Pairing()
    made = {entry["digest"]: entry for entry in issuing if entry["kind"] == "issued"}
    found.issued = len(made)
    asked: dict[str, Entry] = {}
    ended: Counter[str] = Counter()
    printed: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for entry in kiosks:
        if entry["kind"] == "asked":
            if entry["request"] in asked:
                found.wrong.append(f"{entry['request']}: asked twice")
            asked[entry["request"]] = entry
            seconds[entry["at"][:19]] += 1
            continue
        ended[entry["request"]] += 1
        word = entry["kind"] if not entry.get("code") else f"{entry['kind']} {entry['code']}"
        found.ends[word] += 1
        if entry["kind"] not in ENDS or entry["request"] not in asked:
            found.endless.append(f"{entry['request']}: {entry['kind']}")
        if entry["kind"] == "late":
            found.late.append(f"{entry['request']}: {entry['took_s']} s")
        if entry["kind"] in ("printed", "late"):
            printed[entry["digest"]] += 1
            found.kinds[asked.get(entry["request"], {}).get("type", "")] += 1
            found.wrong += _wrong(asked.get(entry["request"], {}), entry, made.get(entry["digest"]), printed[entry["digest"]])
    found.endless += [f"{request}: {ended[request]} ends" for request in asked if ended[request] != 1]
    found.asked, found.printed, found.withheld = len(asked), sum(printed.values()), len(made.keys() - printed.keys())
    found.most_in_a_second = max(seconds.values(), default=0)
    return found


def _wrong(asked: Entry, got: Entry, made: Entry | None, times: int) -> list[str]:
    request = got["request"]
    if made is None:
        return [f"{request}: a certificate that nobody made"]
    problems = [f"{request}: made for another {name}" for name in FACTS if asked.get(name) != made[name]]
    says = got["says"]
    if [says.get(name) for name in ("request_id", "certificate_type", "card")] != [asked.get(name) for name in ("request", "type", "card")]:
        problems.append(f"{request}: the answer names something else")
    if times > 1:
        problems.append(f"{request}: the same certificate twice")
    return problems
