"""The WSDL and the envelope schema of the city CS profile: zeep builds from them what they accept."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree
from zeep import Client, Settings

from message_formats import reading, samples, schemas
from message_formats.errors import FormatError

J = "urn:renkei:profile:juki-cs:1"


def body(records: int) -> Any:
    client = Client(schemas.wsdl_path("juki_cs"), settings=Settings(strict=True))  # type: ignore[no-untyped-call]
    made = [{"IdentityInformationUpdate": samples.identity_items(n), "deliveryId": f"d-{n}"} for n in range(1, records + 1)]
    envelope = client.create_message(client.service, "UpdateIdentityInformation", Record=made)  # type: ignore[no-untyped-call]
    return envelope.find("{*}Body")[0]


def response(*results: tuple[str, str]) -> etree._Element:
    root = etree.Element(f"{{{J}}}UpdateIdentityInformationResponse")
    for delivery, duplicate in results:
        result = etree.SubElement(root, f"{{{J}}}Result", deliveryId=delivery, duplicate=duplicate)
        result.append(samples.message("identity-update-result").root)
    return root


def test_what_zeep_builds_is_valid_and_readable() -> None:
    built = body(3)
    schemas.profile_validator("juki_cs")(built)
    messages = [reading.accept(record[0], expected="identity-information-update") for record in built]
    assert [message.party_key for message in messages] == [f"SAMPLE{n:010d}" for n in (1, 2, 3)]


def test_responses() -> None:
    schemas.profile_validator("juki_cs")(response(("a", "true"), ("b", "false")))


@pytest.mark.parametrize(
    ("root", "code", "place"),
    [
        (response(("a", "true"), ("a", "false")), "rule-violated", "/UpdateIdentityInformationResponse/Result[2]"),
        (response(("a", "perhaps")), "value-pattern", "/UpdateIdentityInformationResponse/Result"),
        (response(), "item-missing", "/UpdateIdentityInformationResponse"),
        (etree.Element("{urn:x}Secret"), "unknown-type", "/*"),
    ],
)
def test_bad_bodies_have_exact_errors(root: etree._Element, code: str, place: str) -> None:
    with pytest.raises(FormatError) as caught:
        schemas.profile_validator("juki_cs")(root)
    assert (caught.value.code, caught.value.place) == (code, place)


def test_at_most_a_hundred_records() -> None:
    full = body(100)
    schemas.profile_validator("juki_cs")(full)
    full.append(body(1)[0])
    full[100].set("deliveryId", "d-101")
    with pytest.raises(FormatError) as caught:
        schemas.profile_validator("juki_cs")(full)
    assert (caught.value.code, caught.value.place) == ("item-unexpected", "/UpdateIdentityInformationRequest/Record[101]")
