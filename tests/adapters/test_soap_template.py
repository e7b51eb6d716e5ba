"""The compiled template builds, byte for byte, what zeep builds from the WSDL, and embeds a record without touching a byte of it."""

from __future__ import annotations

import random
import re
import uuid
from pathlib import Path

import pytest
from lxml import etree
from zeep.exceptions import ExternalReferenceForbidden

from adapters.soap.operation import Operation, load_operation, to_bytes
from adapters.soap.template import RecordsTemplate, compile_records
from message_formats import catalogue, samples, schemas, writing
from tests.adapters.conftest import ADDRESS, PROFILE

UPDATE = "identity-information-update"


@pytest.fixture(scope="module")
def operation() -> Operation:
    return load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": PROFILE})


@pytest.fixture(scope="module")
def template(operation: Operation) -> RecordsTemplate:
    return compile_records(operation, to=ADDRESS, record="Record", identifier="deliveryId", element="IdentityInformationUpdate")


def some_items(chance: random.Random, serial: int) -> dict[str, str | None]:
    """Items of a valid record, optional ones left out by chance, texts with markup characters, kanji beyond the BMP and variants."""
    items = samples.identity_items(serial)
    for item in catalogue.get(UPDATE).items:
        if not item.required and chance.random() < 0.4:
            items[item.id] = None
    name = "".join(chance.choices("見本&<>\"'𠮷葛\U000e0102　']]>", k=chance.randint(1, 30)))
    return {**items, "name_kanji": f"例{name}例", "address": f"架空{name}町"}


def test_template_is_what_zeep_builds_byte_for_byte(operation: Operation, template: RecordsTemplate) -> None:
    chance = random.Random(20260401)
    for _ in range(150):
        message_id = f"urn:uuid:{uuid.UUID(int=chance.getrandbits(128))}"
        serials = chance.sample(range(10_000), chance.choice([1, 1, 1, 2, 7]))
        items = [some_items(chance, serial) for serial in serials]
        arguments = [
            {
                "deliveryId": f"delivery-{serial}",
                "IdentityInformationUpdate": {key: value for key, value in each.items() if value is not None},
            }
            for serial, each in zip(serials, items, strict=True)
        ]
        zeep_built = to_bytes(operation.envelope(message_id=message_id, to=ADDRESS, arguments={"Record": arguments}))

        # the same elements, as zeep wrote them
        records = [
            (name.decode(), part) for name, part in re.findall(rb'<j:Record deliveryId="([^"]+)">(.*?)</j:Record>', zeep_built, re.DOTALL)
        ]
        assert [name for name, _ in records] == [f"delivery-{serial}" for serial in serials]
        assert template.build(message_id, records) == zeep_built

        # and the elements as the gateway has them: the same message but for prefixes
        ours = [(f"delivery-{serial}", to_utf8(writing.element(UPDATE, each))) for serial, each in zip(serials, items, strict=True)]
        assert canonical(template.build(message_id, ours)) == canonical(zeep_built)


def to_utf8(element: etree._Element) -> bytes:
    return etree.tostring(element, encoding="UTF-8", xml_declaration=False)


def canonical(data: bytes) -> str:
    return etree.canonicalize(data.decode().partition("?>")[2], rewrite_prefixes=True)


def test_what_is_embedded_comes_out_unchanged(template: RecordsTemplate) -> None:
    element = b'<IdentityInformationUpdate  xmlns = "urn:x" ><a>\xe8\xa6\x8b&#x672C;<![CDATA[<]]></a\n></IdentityInformationUpdate >'
    assert element in template.build("urn:uuid:1", [("d", element)])


@pytest.mark.parametrize("identifier", ['"', "<", "a b", "", "é", "x" * 101, "a\n"])
def test_identifiers_cannot_break_out(template: RecordsTemplate, identifier: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        template.build("urn:uuid:1", [(identifier, b"<a/>")])
    with pytest.raises(ValueError, match="identifier"):
        template.build(identifier, [("d", b"<a/>")])


def test_wsdl_refers_to_packaged_files_only(tmp_path: Path) -> None:
    source = Path(schemas.wsdl_path("juki_cs")).read_text(encoding="utf-8")
    for place in ("/etc/hostname", "http://127.0.0.1:9/x.xsd"):
        folder = tmp_path / "wsdl"
        folder.mkdir(exist_ok=True)
        (folder / "bad.wsdl").write_text(source.replace("juki_cs.xsd", place), encoding="utf-8")
        with pytest.raises((PermissionError, ExternalReferenceForbidden)):
            load_operation(str(folder / "bad.wsdl"), "UpdateIdentityInformation", prefixes={})
