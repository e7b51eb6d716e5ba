"""What is proved where: which tests are marked with which invariant, rule, planted bug, flow or control.

``python -m tests.traceability`` prints it; ``--write`` writes ``docs/traceability.md``; ``--tests`` names the single tests.
Tests say themselves what they prove (``@pytest.mark.rule("R15")``); nothing is kept by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from gateway.flows.model import flows
from gateway.policy.controls import controls
from tests.reports import edges_of

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "traceability.md"

KINDS: Mapping[str, str] = {
    "invariant": "Invariants",
    "rule": "Rules of order and durability",
    "planted": "Planted bugs: each is convicted by",
    "flow": "Flows of the specification",
    "edge": "Edge cases of the flows (gateway/flows/data/flows.yaml)",
    "control": "Controls of the specification",
}
INVARIANTS = {
    "I1": "nothing accepted is lost", "I2": "one effect", "I3": "order per resident", "I4": "isolation", "I5": "no personal data in clear",
    "I6": "known peers only", "I7": "nothing leaves without a legal basis", "I8": "evidence", "I9": "erasure on time",
    "I10": "bad input is refused clearly",
}  # fmt: skip
RULES = {
    "R1": "scope of order", "R2": "numbers", "R3": "dependence", "R4": "the party's own numbers", "R5": "before the first byte",
    "R6": "liveness", "R7": "outcome", "R8": "taking over", "R9": "unknown", "R10": "in-call retry", "R11": "batches", "R12": "breaker",
    "R13": "commands", "R14": "replies", "R15": "bells", "R15a": "an unusable work queue", "R16": "intake", "R17": "same id",
    "R18": "in-house delivery", "R19": "pressure", "R20": "groups", "R21": "settings", "R22": "audit",
    "R23": "erasure", "R24": "restore",
}  # fmt: skip
LATER = {
    "R18": "no in-house consumer yet", "I7": "only who may send what to whom, so far", "I9": "no erasure yet",
}  # fmt: skip
"""What this release does not have, and why a test for it may be missing."""
PLANTED = (
    "ack before commit", "no sending commit", "epoch not checked", "sending re-sent as queued after a crash", "bell as the only wake-up",
    "due_at not set by a predecessor", "retry by requeue", "dedupe by content only", "corrected message with the old party key",
    "late outcome dropped", "breaker that spends budgets", "intake without epoch", "number from memory",
)  # fmt: skip
"""The bugs that the model test and the fault harness must convict."""


def _plain(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


_SPELLED = {_plain(each): each for each in PLANTED}
"""The fault harness spells its bugs with hyphens, as its command line wants them."""

Traces = Mapping[str, Mapping[str, Sequence[str]]]
"""Kind → id → tests, as ``file::name``."""


class _Collector:
    def __init__(self) -> None:
        self.found: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in KINDS}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            place = item.nodeid.partition("[")[0]
            for kind, ids in self.found.items():
                for mark in item.iter_markers(kind):
                    for each in edges_of(mark) if kind == "edge" else mark.args:
                        ids[_SPELLED.get(_plain(each), each)].add(place)


def collect() -> Traces:
    """Ask pytest for all tests and their marks. Raises RuntimeError if a test module cannot be loaded."""
    collector = _Collector()
    with redirect_stdout(StringIO()) as output:
        code = pytest.main(["--collect-only", "-q", "--rootdir", str(REPOSITORY), str(REPOSITORY / "tests")], [collector])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(output.getvalue()[-2000:])
    return {kind: {each: sorted(tests) for each, tests in sorted(ids.items(), key=_order)} for kind, ids in collector.found.items()}


def missing(traces: Traces) -> list[str]:
    """What this release must prove and no test is marked with."""
    wanted = {"invariant": INVARIANTS, "rule": RULES, "planted": PLANTED}
    return [f"{kind} {each}" for kind, ids in wanted.items() for each in ids if each not in traces[kind] and each not in LATER]


def misspelt(traces: Traces) -> list[str]:
    """Marks that name no invariant, rule, control, flow or edge case that there is."""
    known = {"invariant": {*INVARIANTS}, "rule": {*RULES}, "control": {each.id for each in controls()}}
    known["flow"] = {*flows().by_id}
    known["edge"] = {f"{flow.id}/{edge.id}" for flow in flows().all for edge in flow.edge_cases}
    return [f"{kind} {each}" for kind, ids in known.items() for each in traces.get(kind, ()) if each not in ids]


def page(traces: Traces) -> str:
    """``docs/traceability.md``: by files, so that a further test in the same place changes nothing."""
    lines = [
        "# What is proved where",
        "",
        "Written by `python -m tests.traceability --write`; `--tests` names the single tests. Tests say themselves what they prove.",
    ]
    for kind, title in KINDS.items():
        if not traces[kind]:
            continue
        lines += ["", f"## {title}", "", "| | | tests |", "|---|---|---|"]
        names: Mapping[str, str] = {"invariant": INVARIANTS, "rule": RULES}.get(kind, {})
        known = [*names, *(each for each in traces[kind] if each not in names)]
        for each in known:
            files = sorted({place.partition("::")[0] for place in traces[kind].get(each, ())})
            places = ", ".join(f"[{_short(file)}](../{file})" for file in files) or f"– ({LATER.get(each, 'none')})"
            said = "the control: without a bug all is well" if (kind, each) == ("planted", "none") else names.get(each, "")
            lines.append(f"| {each} | {said} | {places} |")
    return "\n".join(lines) + "\n"


def _short(file: str) -> str:
    return file.removeprefix("tests/").removesuffix(".py").replace("test_", "", 1)


def _order(entry: tuple[str, object]) -> tuple[str, int, str]:
    match = re.fullmatch(r"([A-Za-z]+)(\d+)(.*)", entry[0])
    return (match[1], int(match[2]), match[3]) if match else (entry[0], 0, "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 if something is proved by no test."""
    parser = argparse.ArgumentParser(prog="python -m tests.traceability", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(REPOSITORY)}")
    parser.add_argument("--tests", action="store_true", help="name the single tests")
    parser.add_argument("--json", action="store_true", help="the same for a program")
    chosen = parser.parse_args(arguments)
    traces = collect()
    if chosen.json:
        print(json.dumps(traces))
        return 0
    if chosen.write:
        PAGE.write_text(page(traces), encoding="utf-8")
    elif chosen.tests:
        for kind, ids in traces.items():
            for each, tests in ids.items():
                print(f"{kind} {each}", *tests, sep="\n    ")
    else:
        print(page(traces), end="")
    wrong = [f"no test is marked with {each}" for each in missing(traces)]
    wrong += [f"a test is marked with {each}, which there is not" for each in misspelt(traces)]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
