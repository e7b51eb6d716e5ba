"""The catalogue against the specification's own table, where that lies beside the repository (a clone does not have it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from message_formats import catalogue
from tests.support.data import read_yaml


def _list(name: str) -> list[dict[str, Any]]:
    for parent in Path(__file__).resolve().parents:
        file = parent / "shared" / "spec" / f"{name}.yaml"
        if file.is_file():
            found: list[dict[str, Any]] = read_yaml(file.read_text(encoding="utf-8"))[name]
            return found
    return []


def _specified() -> list[dict[str, Any]]:
    return _list("messages")


def test_every_specified_type_is_in_the_catalogue_as_specified() -> None:
    for wanted in _specified():
        entry = catalogue.get(wanted["name"])
        assert entry.name_ja == wanted["name_ja"]
        assert list(entry.producers) == wanted["producer"]
        assert list(entry.consumers) == wanted["consumers"]
        assert entry.direction == wanted["direction"]
        assert entry.carried is wanted["gateway_carries"]
        assert entry.confidentiality == wanted["confidentiality"]
        assert list(entry.flows) == wanted["flows"]
        assert entry.named_in_document is wanted["named_in_document"]
        conditional = "conditional" in wanted.get("individual_number_note", "") and wanted["carries_individual_number"] == "yes"
        assert entry.individual_number == ("conditional" if conditional else wanted["carries_individual_number"])


def test_items_are_the_specified_ones_in_their_order() -> None:
    for wanted in _specified():
        entry = catalogue.get(wanted["name"])
        flat = [inner for item in entry.items for inner in ((item,) if not item.ours or not item.items else item.items)]
        specified = [(item["id"], item["name_ja"], item.get("no")) for item in wanted["data_items"]]
        assert [(item.id, item.name_ja, item.number) for item in flat if not item.ours] == specified


def test_nothing_of_the_specification_is_missing_and_one_type_is_added() -> None:
    names = {wanted["name"] for wanted in _specified()}
    assert not names or set(catalogue.names()) - names == {"resident-protection-mark"}


def test_flows_have_the_specified_titles_in_the_specified_order() -> None:
    specified = [(flow["id"], (flow["title_en"], flow["title_ja"])) for flow in _list("flows")]
    assert not specified or list(catalogue.flows().items()) == specified
    assert all(flow in catalogue.flows() for entry in catalogue.all_types() for flow in entry.flows)
