"""The books of a replay: whatever differs between record, ledger and journals is found in the right line. All data are made up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from simulators.convenience.verdict import judge
from simulators.replay.accounts import Books, hold_together, soap_journal, system_journal
from simulators.replay.ways import handed_in

LINK, CS, PREFECTURE, REGISTER = "internal-link-system", "city-cs", "prefecture-server", "resident-record-system"
COLUMNS, COLUMN = "administrative-column-sources", "administrative-column-update"
CHANGE, UPDATE, NOTICE = "resident-change-notification", "identity-information-update", "identity-information-notice"
AT = "2026-11-02T00:00:00Z"


def message(number: int, kind: str, resident: str, corrects: str | None = None, update: int | None = None) -> list[dict[str, Any]]:
    name = f"m{number}"
    return [
        {
            "kind": "message",
            "id": name,
            "type": kind,
            "resident": resident,
            "request": f"r{number}",
            "update": update,
            "corrects": corrects,
        },
        {"kind": "receipt", "id": name, "status": "accepted", "accepted_at": f"2026-11-02T00:00:{number:02d}Z"},
    ]


def town() -> dict[str, Any]:
    """Books that agree: two updates of which one was replaced, a change, a notice that came in."""
    update = {"request": "r2", "update": 1, "seq": 2}
    return {
        "record": [
            *message(1, UPDATE, "a", update=1),
            *message(2, UPDATE, "a", corrects="m1", update=1),
            *message(3, CHANGE, "a"),
        ],
        CS: [
            {"kind": "refused", "resident": "a", "delivery": "d1", "request": "r1", "update": 1, "seq": 1},
            {"kind": "effect", "resident": "a", "delivery": "d2", **update},
            {"kind": "outgoing", "to": "gateway", "operation": "SendMoveInNotice", "delivery": "n1"},
            {"kind": "arrived", "to": "gateway", "operation": "SendMoveInNotice", "delivery": "n1", "outcome": "accepted"},
        ],
        PREFECTURE: [
            {"kind": "taken", "operation": "NotifyIdentityInformation", "delivery": "d3", "resident": "a", "by": "gateway"},
            {"kind": "taken-again", "operation": "NotifyIdentityInformation", "delivery": "d3", "resident": "a"},
        ],
        LINK: [
            {"kind": "effect", "type": CHANGE, "delivery": "d4", "resident": "a"},
            {"kind": "effect", "type": COLUMN, "delivery": "d8", "resident": "c"},
        ],
        COLUMNS: message(4, COLUMN, "c"),
        "kiosks": (
            [
                {"kind": "asked", "at": AT, "request": "q1", "card": "k", "person": "a", "type": "1", "kiosk": 1},
                {
                    "kind": "printed",
                    "at": AT,
                    "request": "q1",
                    "digest": "x",
                    "says": {"request_id": "q1", "certificate_type": "1", "card": "k"},
                },
            ],
            [{"kind": "issued", "request": "q1", "card": "k", "person": "a", "type": "1", "digest": "x"}],
        ),
        "inbox": [
            {"kind": "effect", "type": "move-in-notice", "delivery": "d5", "resident": "b"},
            *({"kind": "effect", "type": "identity-update-result", "delivery": f"d{n}", "resident": ""} for n in (6, 7)),
        ],
        "tally": {
            "messages": [
                {"system": REGISTER, "type": UPDATE, "count": 2},
                {"system": REGISTER, "type": CHANGE, "count": 1},
                {"system": CS, "type": "move-in-notice", "count": 1},
                {"system": COLUMNS, "type": COLUMN, "count": 1},
                {"system": CS, "type": "identity-update-result", "count": 2},
            ],
            "deliveries": [
                {"party": party, "type": kind, "state": state, "replaced": replaced, "count": count}
                for party, kind, state, replaced, count in (
                    (CS, UPDATE, "delivered", False, 1),
                    (CS, UPDATE, "skipped", True, 1),
                    (PREFECTURE, NOTICE, "delivered", False, 1),
                    (PREFECTURE, NOTICE, "skipped", True, 1),
                    (LINK, CHANGE, "delivered", False, 1),
                    (LINK, COLUMN, "delivered", False, 1),
                    (REGISTER, "move-in-notice", "delivered", False, 1),
                    (REGISTER, "identity-update-result", "delivered", False, 2),
                )
            ],
        },
    }


def books(of: dict[str, Any]) -> Books:
    journals = {CS: soap_journal(CS, of[CS]), PREFECTURE: soap_journal(PREFECTURE, of[PREFECTURE]), LINK: system_journal(of[LINK])}
    return hold_together(
        records={REGISTER: of["record"], COLUMNS: of[COLUMNS]}, tally=of["tally"], city_cs=of[CS], kiosks=judge(*of["kiosks"]),
        time_up=True, journals={**journals, REGISTER: system_journal(of["inbox"])}, handed_in=handed_in((CS, PREFECTURE, LINK)),
    )  # fmt: skip


def test_books_that_agree() -> None:
    found = books(town())
    assert found.ok, found
    lines = {(line.party, line.type): line for line in found.lines}
    assert (lines[CS, UPDATE].sent, lines[CS, UPDATE].effects, lines[CS, UPDATE].refused) == (1, 1, 1)
    assert lines[CS, "identity-update-result"].way == "in"


@pytest.mark.invariant("I2")
def test_a_delivery_that_is_refused_twice_has_one_answer() -> None:
    """The party carried out two attempts, of which the first answered too late."""
    late = town()
    late[CS].insert(1, late[CS][0])
    assert books(late).ok, books(late)


def _count(of: dict[str, Any], place: int, by: int) -> None:
    of["tally"]["deliveries"][place]["count"] += by


REFUSAL = {"kind": "receipt", "id": "m8", "status": "refused"}
PLANTED: dict[str, tuple[tuple[str, str] | None, Callable[[dict[str, Any]], object]]] = {
    "an effect that is missing": ((LINK, CHANGE), lambda of: of[LINK].pop(0)),
    "an effect twice": ((LINK, CHANGE), lambda of: of[LINK].append(of[LINK][0])),
    "an effect for somebody else": ((LINK, CHANGE), lambda of: of[LINK][0].update(resident="c")),
    "a notice that nobody asked for": ((PREFECTURE, NOTICE), lambda of: of[PREFECTURE].append({**of[PREFECTURE][0], "delivery": "d9"})),
    "a ledger that says less": ((LINK, CHANGE), lambda of: _count(of, 4, -1)),
    "a ledger that says more": ((REGISTER, "move-in-notice"), lambda of: _count(of, 6, 1)),
    "something that the ledger still has": (None, lambda of: of["tally"]["deliveries"][4].update(state="queued")),
    "a notice that the register never had": ((REGISTER, "move-in-notice"), lambda of: of["inbox"].pop(0)),
    "a notice that was not sent off": ((REGISTER, "move-in-notice"), lambda of: of[CS].pop()),
    "a message of a party that the ledger has twice": ((REGISTER, "move-in-notice"), lambda of: of["tally"]["messages"][2].update(count=2)),
    "a message without a receipt": (None, lambda of: of["record"].extend(message(8, UPDATE, "b", update=1)[:1])),
    "an accepted message of which nothing became": ((LINK, CHANGE), lambda of: of["record"].extend(message(8, CHANGE, "b"))),
    "what another system handed in and nobody has": ((LINK, COLUMN), lambda of: of[COLUMNS].extend(message(9, COLUMN, "d"))),
    "an effect that another system did not ask for": ((LINK, COLUMN), lambda of: of[LINK].append({**of[LINK][1], "delivery": "d9"})),
    "a door that refused another system": (None, lambda of: of[COLUMNS].extend([message(9, COLUMN, "d")[0], {**REFUSAL, "id": "m9"}])),
    "a certificate of somebody else": (None, lambda of: of["kiosks"][1][0].update(person="b")),
    "a request without an end": (None, lambda of: of["kiosks"][0].pop()),
    "a door that refused": (None, lambda of: of["record"].extend([message(8, CHANGE, "b")[0], REFUSAL])),
    "an update that took effect though it was replaced": (
        (CS, UPDATE), lambda of: of[CS].append({**of[CS][0], "kind": "effect"}),
    ),
}  # fmt: skip


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.parametrize("name", PLANTED)
def test_what_differs_is_found(name: str) -> None:
    where, plant = PLANTED[name]
    changed = copy.deepcopy(town())
    plant(changed)
    found = books(changed)
    assert not found.ok
    wrong = {(REGISTER if line.way == "in" else line.party, line.type) for line in found.lines if line.wrong}
    assert where is None or where in wrong, found.lines
