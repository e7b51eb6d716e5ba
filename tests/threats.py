"""The threat model: ``docs/threat-model.md`` is made of ``tests/threats.yaml`` and the attack tables, and checked against the tests.

``python -m tests.threats`` says what is wrong with it: tests that are named and do not exist. ``--write`` writes the page. ``--ran FILE``
(as ``pytest --ran FILE`` wrote it) also demands that each named test, and a test of each attack, ran and passed.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.data import read_yaml

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY / "tests" / "threats.yaml"
PAGE = REPOSITORY / "docs" / "threat-model.md"
_ID = re.compile(r"A-[A-Z]+-[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Threat:
    """One row."""

    id: str
    area: str
    threat: str
    control: str
    tests: tuple[str, ...]
    """``FILE`` or ``FILE::test_name``, from the top of the repository."""
    attacks: tuple[str, ...] = ()
    """Prefixes of ids in the attack tables."""
    invariants: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    spec: tuple[str, ...] = ()
    open: str = ""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One row of an attack table."""

    id: str
    attack: str
    refused: str
    """Its reasons, by direction."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Everything."""

    areas: Mapping[str, str]
    threats: tuple[Threat, ...]
    attacks: tuple[Attack, ...]
    controls: Mapping[str, str]
    awaited: tuple[str, ...]
    """Files that are named and are not in this tree: nothing is proved by them."""


def load(data: Path = DATA) -> Model:
    """:raises ValueError: a row is malformed, or an id stands twice."""
    found = read_yaml(data.read_text(encoding="utf-8"))
    try:
        threats = tuple(Threat(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}) for row in found["threats"])
    except TypeError as error:
        raise ValueError(f"a row is malformed: {error}") from error
    tables = [each["file"] for each in found["attack_tables"]]
    attacks = tuple(attack for file in tables if (REPOSITORY / file).exists() for attack in attacks_of(file))
    ids = [each.id for each in (*threats, *attacks)]
    if twice := {each for each in ids if ids.count(each) > 1}:
        raise ValueError(f"ids stand twice: {sorted(twice)}")
    if strange := {each.area for each in threats} - set(found["areas"]):
        raise ValueError(f"no such area: {sorted(strange)}")
    if unknown := {each for threat in threats for each in threat.spec} - set(found["controls"]):
        raise ValueError(f"controls without their text: {sorted(unknown)}")
    prefixes = {prefix for table in found["attack_tables"] for prefix in table["prefixes"]}
    if unknown := {prefix for threat in threats for prefix in threat.attacks} - prefixes:
        raise ValueError(f"no attack table has {sorted(unknown)}")
    if unknown := {each.id for each in attacks if each.id.rpartition("-")[0] not in prefixes}:
        raise ValueError(f"no threat has the attacks {sorted(unknown)}: name their prefix in attack_tables and in a threat")
    named = {place.partition("::")[0] for threat in threats for place in threat.tests} | set(tables)
    awaited = tuple(sorted(each for each in named if not (REPOSITORY / each).exists()))
    return Model(areas=found["areas"], threats=threats, attacks=attacks, controls=found["controls"], awaited=awaited)


def attacks_of(file: str) -> Iterator[Attack]:
    """The rows of a table: mappings with ``id`` and ``attack`` in a YAML file, or such objects in the tuples of a module."""
    if file.endswith(".yaml"):
        for section in read_yaml((REPOSITORY / file).read_text(encoding="utf-8")).values():
            for row in section:
                said = {name: row[name] for name in ("in", "out") if name in row}
                yield Attack(id=row["id"], attack=row["attack"], refused=_reasons(said))
        return
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for value in vars(module).values():
        for row in value if isinstance(value, tuple | list) else ():
            if isinstance(getattr(row, "id", None), str) and _ID.fullmatch(row.id):
                yield Attack(id=row.id, attack=row.attack, refused=_reasons(row.codes))


def _reasons(said: Mapping[str, str]) -> str:
    return ", ".join(f"{way}: `{code}`" for way, code in said.items())


@functools.cache
def tests_in(file: Path) -> frozenset[str]:
    """Names of the tests in a file, without importing it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def missing(model: Model) -> list[str]:
    """What is named and does not exist, in files that do."""
    wrong = []
    for threat in model.threats:
        for place in threat.tests:
            file, _, name = place.partition("::")
            path = REPOSITORY / file
            if path.exists() and not (name in tests_in(path) if name else tests_in(path)):
                wrong.append(f"{threat.id} names {place}, which there is not")
    return wrong


def not_run(model: Model, outcomes: Mapping[str, str]) -> list[str]:
    """What is named and did not run, or did not pass. ``outcomes``: by node id, as ``pytest --ran`` writes them."""
    by_place: dict[str, list[str]] = {}
    by_attack: dict[str, list[str]] = {}
    for node, outcome in outcomes.items():
        place, _, parameters = node.partition("[")
        file = place.partition("::")[0]
        for key in (place, file):
            by_place.setdefault(key, []).append(outcome)
        for identity in _ID.findall(parameters):
            by_attack.setdefault(identity, []).append(outcome)
    wrong = []
    named = [
        (threat.id, place, by_place) for threat in model.threats for place in threat.tests if place.partition("::")[0] not in model.awaited
    ]
    for who, what, table in (*named, *((each.id, each.id, by_attack) for each in model.attacks)):
        found = table.get(what, [])
        if not found:
            wrong.append(f"{who}: {what} did not run")
        elif bad := sorted({each for each in found if each != "passed"} - ({"skipped"} if "passed" in found else set())):
            wrong.append(f"{who}: {what} {' and '.join(bad)}")
    return wrong


def page(model: Model) -> str:
    """``docs/threat-model.md``."""
    lines = [
        "# Threat model",
        "",
        "Made by `python -m tests.threats --write` of `tests/threats.yaml` and the attack tables; a test holds it against them, and",
        "`pytest --ran FILE` with `python -m tests.threats --ran FILE` shows that each named test exists, ran and passed.",
        "What is defended: the data of residents (I5), one true effect of each message (I1 to I3), who may have what (I6, I7), and the",
        "record of it (I8). Who attacks: outsiders on the network, known peers that want more than theirs, operators and administrators",
        "who act alone, and whoever gets hold of a disk. Not defended: a machine whose kernel is another's while it runs.",
        "",
        f"{len(model.threats)} threats, {len(model.attacks)} single attacks that are tests of their own.",
    ]
    for area, title in model.areas.items():
        lines += ["", f"## {title}", "", "| | threat | what stands against it | proved by |", "|---|---|---|---|"]
        lines += [_row(each, model) for each in model.threats if each.area == area]
    lines += ["", "## Controls of the specification that appear above", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in model.controls.items()]
    if model.attacks:
        lines += [
            "",
            "## Single attacks",
            "",
            "Each is a test by its id (`pytest -k A-TLS-01`).",
            "",
            "| | attack | refused as |",
            "|---|---|---|",
        ]
        lines += [f"| {each.id} | {each.attack.replace('|', chr(92) + '|')} | {each.refused} |" for each in model.attacks]
    if model.awaited:
        lines += [
            "",
            "## Named, and not in this tree",
            "",
            "Nothing is proved by them yet:",
            "",
            *(f"- `{each}`" for each in model.awaited),
        ]
    return "\n".join(lines) + "\n"


def _row(threat: Threat, model: Model) -> str:
    control = threat.control
    if refers := [*threat.invariants, *threat.rules, *threat.spec]:
        control += f" ({', '.join(refers)})"
    if threat.open:
        control += f". *Remains:* {threat.open}"
    proofs = []
    for prefix in threat.attacks:
        count = sum(each.id.startswith(f"{prefix}-") for each in model.attacks)
        proofs.append(f"[{prefix}](#single-attacks) ({count})" if count else prefix)
    for place in threat.tests:
        file, _, name = place.partition("::")
        shown = name.removeprefix("test_").replace("_", " ") if name else file.removeprefix("tests/").removesuffix(".py")
        proofs.append(shown if file in model.awaited else f"[{shown}](../{file})")
    return f"| {threat.id} | {threat.threat} | {control} | {'; '.join(proofs)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 where something is named that does not exist, or did not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.threats", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(REPOSITORY)}")
    parser.add_argument("--ran", type=Path, metavar="FILE", help="what pytest --ran FILE wrote")
    chosen = parser.parse_args(arguments)
    model = load()
    if chosen.write:
        PAGE.write_text(page(model), encoding="utf-8")
    wrong = missing(model) + [f"{each} is not in this tree" for each in model.awaited]
    if chosen.ran is not None:
        outcomes: dict[str, Any] = json.loads(chosen.ran.read_text(encoding="utf-8"))
        wrong += not_run(model, outcomes)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
