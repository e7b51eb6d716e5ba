"""What departments hand in of the administrative columns, and what the atena system is told: no more than was permitted or preset."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from gateway.errors import InputRefused
from gateway.intake.submission import Sender
from gateway.intake.supplies import Supplier
from gateway.policy.items import present
from gateway.policy.routes import tables
from gateway.security.keys import KeyStore
from message_formats import catalogue, reading, samples
from tests.in_house.kit import message
from tests.intake.kit import preparer, refusal, submission

SOURCES, LINK, COLUMNS, LINKAGE = (
    "administrative-column-sources", "internal-link-system", "administrative-column-update", "atena-linkage-update",
)  # fmt: skip
COLUMN = {
    "health-insurance": "national_health_insurance", "elderly-medical": "late_stage_elderly_medical", "care": "long_term_care",
    "pension": "national_pension", "children": "child_allowance", "elections": "electoral_register",
}  # fmt: skip
"""Department → what it permits."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys")).ensure()


def door(keys: KeyStore) -> Any:
    suppliers = tuple(Supplier(name=name, peer=name, items=frozenset({"atena_number", item})) for name, item in COLUMN.items())
    link = Sender(
        system=LINK, peer=LINK, types=frozenset({LINKAGE}),
        preset={LINKAGE: {"business_identifier/system": frozenset({"tax", "welfare"})}},
    )  # fmt: skip
    sources = Sender(system=SOURCES, peer=SOURCES, types=frozenset({COLUMNS}), suppliers=suppliers)
    return preparer(keys, senders={SOURCES: sources, LINK: link}, parties=frozenset({LINK, "atena-system"}), policy=tables())


def columns(*departments: str, serial: int = 3) -> bytes:
    """What these departments say, and nothing of the others."""
    kept = {COLUMN[name] for name in departments} | {"atena_number"}
    items = samples.message(COLUMNS, serial).items
    return message(COLUMNS, serial, **{name: value if name.partition("/")[0] in kept else None for name, value in items.items()})


def handed_in(keys: KeyStore, data: bytes, supplier: str | None) -> InputRefused | None:
    given = dataclasses.replace(submission(data, system=SOURCES, source="/x", type=COLUMNS), supplier=supplier)
    return refusal(lambda: door(keys).prepare(given))


@pytest.mark.control("C-1-2-2")
@pytest.mark.flow("FS1-8b")
@pytest.mark.edge("FS1-8b", "item-not-permitted")
@pytest.mark.parametrize("department", COLUMN)
def test_a_department_hands_in_the_items_that_it_permits_and_no_others(keys: KeyStore, department: str) -> None:
    assert handed_in(keys, columns(department), department) is None
    for other in set(COLUMN) - {department}:
        data = columns(department, other)
        refused = handed_in(keys, data, department)
        assert refused is not None
        assert (refused.code, refused.rule) == ("item-not-permitted", "C-1-2-2")
        assert (refused.place or "").startswith(COLUMN[other]), "the item is named"
        values = {value for name, value in reading.read(data).items.items() if value and len(value) > 3 and name.startswith(COLUMN[other])}
        assert not any(value in str(refused.__dict__) for value in values), "its value is not"
    assert handed_in(keys, columns(*COLUMN), None) is None, "the system itself, for all of them"


@pytest.mark.control("C-1-2-2")
def test_an_item_that_nobody_permits_is_not_linked_whoever_hands_it_in(keys: KeyStore) -> None:
    ready = door(keys)
    sources = ready._senders[SOURCES]
    fewer = tuple(each for each in sources.suppliers if each.name != "elections")
    ready._senders[SOURCES] = Sender(system=SOURCES, peer=SOURCES, types=frozenset({COLUMNS}), suppliers=fewer)
    refused = refusal(lambda: ready.prepare(submission(columns(*COLUMN), system=SOURCES, source="/x", type=COLUMNS)))
    assert refused is not None
    assert (refused.place or "").startswith("electoral_register")


@pytest.mark.flow("FS5-4")
@pytest.mark.edge("FS5-4", "not-in-mapping")
def test_what_is_not_in_the_preset_mapping_is_not_handed_over(keys: KeyStore) -> None:
    """A business system that is not in it, and an item that the message type does not have."""
    template = {name: None for name in samples.message(LINKAGE, 5).items if name.startswith("business_identifier")}

    def linkage(*systems: str) -> bytes:
        said = {
            f"business_identifier[{n}]/{name}": value
            for n, system in enumerate(systems, 1)
            for name, value in (("system", system), ("number", f"B-{n}"))
        }
        return message(LINKAGE, 5, **{**template, **said})

    def say(data: bytes) -> InputRefused | None:
        return refusal(lambda: door(keys).prepare(submission(data, system=LINK, source="/x", type=LINKAGE)))

    assert say(linkage("tax", "welfare")) is None
    assert say(linkage()) is None
    refused = say(linkage("tax", "unknown-business"))
    assert refused is not None
    assert (refused.code, refused.place) == ("not-in-mapping", "business_identifier[2]/system")
    assert "unknown-business" not in str(refused.__dict__)
    more = linkage("tax").replace(b"</AtenaLinkageUpdate>", b"<family_name>x</family_name></AtenaLinkageUpdate>")
    assert more != linkage("tax")
    extra = say(more)
    assert extra is not None
    assert extra.rule is not None


def test_every_column_has_its_department() -> None:
    groups = {item.id for item in catalogue.get(COLUMNS).items} - {"atena_number"}
    assert groups == set(COLUMN.values())
    assert {re.sub(r"/.*", "", each) for each in present(samples.message(COLUMNS, 1))} <= {*groups, "atena_number"}
