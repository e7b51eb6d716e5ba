"""Every SOAP profile: loaded with zeep, one message built for each operation out of the catalogue's samples, valid against its schema."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import etree
from zeep import Client, Settings

from message_formats import catalogue, profiles, reading, samples, schemas
from message_formats.errors import FormatError
from message_formats.profiles import Operation, Profile
from tests.support.data import read_yaml

OPERATIONS = [(name, operation.name) for name in profiles.names() for operation in profiles.get(name).operations]
WSAM = "{http://www.w3.org/2007/05/addressing/metadata}Action"
_clients: dict[str, Any] = {}


def client(profile: str) -> Any:
    if profile not in _clients:
        settings = Settings(strict=True, forbid_dtd=True, forbid_entities=True)
        _clients[profile] = Client(schemas.wsdl_path(profile), settings=settings)  # type: ignore[no-untyped-call]
    return _clients[profile]


def service(profile: Profile, operation: Operation) -> Any:
    """The service of the WSDL that has the operation: the party's, or ours."""
    name = profile.name if operation.outbound else f"{profile.name}Gateway"
    return client(profile.profile).bind(name, f"{name}Port")


def typed(profile: str, name: str, serial: int) -> Any:
    """A sample of a type as zeep's own values, so that zeep builds it anew."""
    tag = etree.QName(catalogue.get(name).tag)
    wsdl = client(profile).wsdl
    return wsdl.types.get_element(str(tag)).parse(samples.message(name, serial).root, wsdl.types)


def record(profile: str, operation: Operation, serial: int) -> dict[str, Any]:
    made = {catalogue.root_name(operation.type): typed(profile, operation.type, serial), "deliveryId": f"d-{serial}"}
    if operation.addressed:
        made["municipality"] = samples.municipality_code(samples.OTHER_MUNICIPALITY_BASE)
    if operation.digest:
        made["digest"] = hashlib.sha256(samples.message(operation.type, serial).to_bytes()).hexdigest()
    return made


def request(profile: str, operation: Operation, count: int) -> Any:
    made = [record(profile, operation, serial) for serial in range(1, count + 1)]
    where = service(profiles.get(profile), operation)
    envelope = client(profile).create_message(where, operation.name, Record=made if operation.records > 1 else made[0])
    return envelope.find("{*}Body")[0]


def response(profile: Profile, operation: Operation) -> etree._Element:
    root = etree.Element(f"{{{profile.namespace}}}{operation.name}Response")
    result = etree.SubElement(root, f"{{{profile.namespace}}}Result", deliveryId="d-1", duplicate="false")
    if operation.answer is None:
        result.set("outcome", "accepted")
    else:
        result.append(samples.message(operation.answer).root)
    return root


@pytest.mark.parametrize(("profile", "name"), OPERATIONS)
def test_zeep_builds_what_the_schema_and_the_reader_accept(profile: str, name: str) -> None:
    operation = profiles.get(profile).operation(name)
    built = request(profile, operation, min(operation.records, 2))
    schemas.profile_validator(profile)(built)
    for serial, element in enumerate(built, 1):
        message = reading.accept(element[0], expected=operation.type)
        assert message.items == samples.message(operation.type, serial).items


@pytest.mark.parametrize(("profile", "name"), OPERATIONS)
def test_responses_are_those_of_the_schema_and_zeep_reads_them(profile: str, name: str) -> None:
    found = profiles.get(profile)
    operation = found.operation(name)
    made = response(found, operation)
    schemas.profile_validator(profile)(made)
    read = client(profile).wsdl.types.get_element(made.tag).parse(made, client(profile).wsdl.types)
    assert (read.Result[0] if operation.records > 1 else read.Result).deliveryId == "d-1"
    if operation.answer is None:
        made[0].set("outcome", "perhaps")
    else:
        made[0][0].tag = "{urn:x}Secret"
    with pytest.raises(FormatError) as caught:
        schemas.profile_validator(profile)(made)
    assert caught.value.place.startswith(f"/{name}Response/Result")


@pytest.mark.parametrize(("profile", "name"), OPERATIONS)
def test_no_more_records_than_the_operation_takes_and_no_delivery_twice(profile: str, name: str) -> None:
    operation = profiles.get(profile).operation(name)
    full = request(profile, operation, 1)
    again = etree.fromstring(etree.tostring(full[0]))
    full.append(again)
    with pytest.raises(FormatError) as caught:
        schemas.profile_validator(profile)(full)
    assert caught.value.code == ("rule-violated" if operation.records > 1 else "item-unexpected")
    assert caught.value.place == f"/{name}Request/Record[2]"


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("profile", profiles.names())
def test_what_is_forbidden_by_type_has_no_place_in_the_envelope(profile: str) -> None:
    """Closed: neither an item nor an attribute can be smuggled in beside a message."""
    for operation in profiles.get(profile).operations:
        built = request(profile, operation, 1)
        built[0].set("individual_number", samples.individual_number(1))
        with pytest.raises(FormatError) as caught:
            schemas.profile_validator(profile)(built)
        assert (caught.value.code, caught.value.place) == ("attribute-unexpected", f"/{operation.name}Request/Record")


@pytest.mark.parametrize("profile", profiles.names())
def test_every_operation_has_its_addressing_actions_and_a_declared_fault(profile: str) -> None:
    found = profiles.get(profile)
    document = etree.parse(schemas.wsdl_path(profile))
    seen: dict[str, set[str]] = {}
    for operation in document.iterfind(".//{*}portType/{*}operation"):
        actions = [str(each.get(WSAM)) for each in operation if each.get(WSAM)]
        name = str(operation.get("name"))
        assert actions == [found.action(name), found.action(name, "Response"), found.fault_action]
        seen.setdefault(str(operation.getparent().get("name")), set()).add(name)  # type: ignore[union-attr]
    ours = {each.name for each in found.operations if each.inbound}
    theirs = {each.name for each in found.operations if each.outbound}
    assert seen == {port: names for port, names in ((f"{found.name}Port", theirs), (f"{found.name}GatewayPort", ours)) if names}
    fault = etree.Element(f"{{{found.namespace}}}Fault", code="schema-invalid")
    schemas.profile_validator(profile)(fault)
    fault.set("code", "Not A Code")
    with pytest.raises(FormatError):
        schemas.profile_validator(profile)(fault)


def test_no_individual_number_on_the_information_network_side() -> None:
    """Persons are known there by 団体内統合宛名番号, requests by 処理通番 (architecture section 10, 4)."""
    carried = {name for operation in profiles.get("intermediate_server").operations for name in operation.types}
    assert all(catalogue.get(name).individual_number in ("no", "forbidden") for name in carried)


# ---- against the specification ---------------------------------------------------------------------------------------------------

CARRIED_LEGS = frozenset({"gateway", "beyond-city-cs"})
NEARNESS = {
    # how far a system is from the gateway; dialogues that start at an integrated terminal are offered to the core register (section 10, 0)
    "city-cs": 1,
    "intermediate-server": 1,
    "certificate-centre": 1,
    "prefecture-server": 2,
    "card-management-system": 2,
    "national-server": 2,
    "j-lis": 2,
    "other-municipality-cs": 2,
}


def _steps() -> list[dict[str, Any]]:
    for parent in Path(__file__).resolve().parents:
        file = parent / "shared" / "spec" / "flows.yaml"
        if file.is_file():
            flows = read_yaml(file.read_text(encoding="utf-8"))["flows"]
            return [{**step, "flow": flow["id"]} for flow in flows for step in flow["steps"] if step.get("leg") in CARRIED_LEGS]
    return []


def _profile_of(party: str) -> Profile:
    return next(found for name in profiles.names() if party in ((found := profiles.get(name)).party, *found.reaches))


def test_every_carried_step_to_or_from_a_soap_party_has_its_operation() -> None:
    used: set[tuple[str, str]] = set()
    for step in _steps():
        away, back = NEARNESS.get(step["to"], 0), NEARNESS.get(step["from"], 0)
        if away == back:
            assert away == 0, "two parties outside never talk to each other through the gateway"
            continue
        profile = _profile_of(step["to"] if away > back else step["from"])
        if "city-cs" in step["via"]:
            profile = profiles.get("juki_cs")
        outward = away > back
        fitting = [
            each
            for each in profile.operations
            if (each.type == step["message"] and (each.outbound if outward else each.inbound))
            or (each.answer == step["message"] and (each.inbound if outward else each.outbound))
        ]
        assert fitting, f"{step['flow']} {step['no']}: no operation of {profile.profile} carries {step['message']}"
        used |= {(profile.profile, each.name) for each in fitting}
    # and the other way round: nothing is offered that no flow needs
    assert not used or used == set(OPERATIONS)


def test_a_profile_of_ones_own_is_checked() -> None:
    good = {
        "profile": "mine", "version": 1, "name": "Mine", "party": "mine", "reaches": [], "name_ja": "例", "name_en": "mine",
        "address": "https://mine.invalid/",
        "operations": [{"name": "A", "type": "move-in-notice", "direction": "out", "ja": "例", "en": "a"}],
    }  # fmt: skip
    assert profiles.parse(yaml.safe_dump(good)).operation("A").outbound
    for change in (
        {"later": "B"},
        {"later": "A"},
        {"direction": "sideways"},
        {"records": 0},
        {"colour": "red"},
        {"name": None, "type": "no-such-type"},
    ):
        bad = {**good, "operations": [{**good["operations"][0], **change}]}  # type: ignore[index]
        with pytest.raises(FormatError):
            profiles.parse(yaml.safe_dump(bad))
    with pytest.raises(FormatError):
        profiles.parse(yaml.safe_dump({**good, "operations": good["operations"] * 2}))  # type: ignore[operator]
    with pytest.raises(FormatError):
        profiles.parse("{}")
    for wanted in (profiles.get, schemas.profile_validator):
        with pytest.raises(KeyError):
            wanted("no-such-profile")
