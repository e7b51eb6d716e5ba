"""Test manifests of adapters over a profile, for the contract suite (:mod:`gateway.testing`). All residents are fictitious."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lxml import etree

from adapters.soap.profile_adapter import ProfileAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation, first_attempt
from message_formats import catalogue, invalid_samples, samples


def simulated(adapter: type[ProfileAdapter], command: Sequence[str], operation: str) -> Simulation:
    """``command``: arguments after the Python interpreter that start the simulator of one party, which takes its settings from a file;
    ``operation``: by which the suite sends its records, the delivery id being the key."""
    kind = catalogue.get(adapter.profile.operation(operation).type)

    def settings(place: Place) -> Sequence[str]:
        values = {**place.settings(signed=True), "salt": "contract-suite"}
        file = place.folder / "settings.yaml"
        file.write_text("".join(f"{name}: {str(value)!r}\n" for name, value in values.items()), encoding="utf-8")
        return [*command, "--config", str(file)]

    def record(serial: int, change: Callable[[bytes], bytes] = lambda content: content) -> Envelope:
        content = change(samples.message(kind.name, serial).to_bytes())
        key = etree.fromstring(content).findtext(f"{{{kind.schema}}}{kind.party_key_item}") if kind.party_key_item else None
        return first_attempt(kind.name, content, party_key=key)

    def refused(serial: int) -> Envelope:
        """A resident record code with a wrong check digit: its form is right, so only the party's own rules refuse it. A type without one
        has another mistake, by a rule beyond its schema where it has such rules."""
        if samples.resident_record_code(serial).encode() not in samples.message(kind.name, serial).to_bytes():
            found = invalid_samples.of(kind.name)
            spoilt = next((each for each in found if not each.rule.startswith(("xsd", "catalogue"))), found[0]).data
            return record(serial, lambda content: spoilt)
        right = samples.resident_record_code(serial)
        wrong = right[:-1] + str((int(right[-1]) + 1) % 10)
        return record(serial, lambda content: content.replace(right.encode(), wrong.encode()))

    return Simulation(
        adapter=adapter, peer=adapter.profile.party, command=settings, record=record, refused=refused, effects=frozenset({"taken"})
    )
