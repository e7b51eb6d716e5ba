"""Every MJ character goes through everything that carries names: XML, batches, CSV, fixed length, SOAP, the broker, both databases."""

from __future__ import annotations

import io
import re

import pika
import pytest
import sqlalchemy as sa
from lxml import etree
from zeep import Client, Settings

from adapters.soap.operation import load_operation
from adapters.soap.template import compile_records
from gateway.broker import BrokerEndpoint
from message_formats import batch, layouts, reading, records, samples, schemas, writing
from message_formats.message import Message
from message_formats.repertoire import clusters, gaiji_count
from tests.formats import mj_characters

pytestmark = pytest.mark.thorough

NAME = "identity-information-update"


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    made = []
    for serial, text in enumerate(mj_characters.texts(), 1):
        count = gaiji_count(text)
        made.append(
            writing.write(
                NAME, samples.identity_items(serial, name_kanji=text, name_gaiji_count=str(count), gaiji_flag=str(int(count > 0)))
            )
        )
    return made


def names_of(results: object) -> list[str | None]:
    return [result.items["name_kanji"] for _, result in results if isinstance(result, Message)]  # type: ignore[attr-defined]


def test_there_are_tens_of_thousands_and_none_is_torn() -> None:
    every = mj_characters.characters()
    assert len(every) > (59_000 if mj_characters.font() else 90_000)
    assert sum(len(character) > 1 for character in every) >= 11_000
    if mj_characters.font():
        assert mj_characters.glyphs() > 59_000, "names mjNNNNNN of the font that a code point or a sequence leads to"
    assert tuple(clusters("".join(every))) == every


def test_xml_and_batch(messages: list[Message]) -> None:
    wanted = list(mj_characters.texts())
    assert [reading.read(message.to_bytes()).items["name_kanji"] for message in messages] == wanted
    utf16 = [reading.read(message.to_bytes().decode().encode("utf-16")).items["name_kanji"] for message in messages]
    assert utf16 == wanted
    file = io.BytesIO(batch.OPEN + b"".join(message.to_bytes() for message in messages) + batch.CLOSE)
    assert names_of(batch.read(file)) == wanted


@pytest.mark.parametrize("name", [name for name in layouts.names() if name.startswith(NAME)])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_csv_and_fixed_length(messages: list[Message], name: str, encoding: str) -> None:
    file = layouts._packaged.path("data", "layouts", f"{name}.yaml").read_text(encoding="utf-8")
    layout = layouts.parse(file.replace("encoding: UTF-8", f"encoding: {encoding}").replace("unit: bytes", "unit: utf16-units"))
    out = io.BytesIO()
    records.write_records([message.items for message in messages], layout, out)
    out.seek(0)
    assert names_of(records.read_messages(out, layout)) == list(mj_characters.texts())


def test_fixed_length_cut_in_bytes(messages: list[Message]) -> None:
    """Records that are cut before they are decoded: another way through the engine than lengths in characters."""
    file = layouts._packaged.path("data", "layouts", f"{NAME}.fixed.yaml").read_text(encoding="utf-8")
    wide = re.sub(r"length: (\d+), unit: characters, pad: '　'", lambda found: f"length: {int(found[1]) * 8}, unit: bytes, pad: ' '", file)
    layout = layouts.parse(wide)
    assert layout.in_bytes
    out = io.BytesIO()
    records.write_records([message.items for message in messages], layout, out)
    out.seek(0)
    assert names_of(records.read_messages(out, layout)) == list(mj_characters.texts())


def test_the_envelopes_of_the_adapters(messages: list[Message]) -> None:
    """As on the way of every message: the bytes of the record into a compiled template, and back as a party reads them."""
    operation = load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={})
    template = compile_records(operation, to="urn:x", record="Record", identifier="deliveryId", element="IdentityInformationUpdate")
    carried: list[str | None] = []
    for start in range(0, len(messages), 100):
        part = messages[start : start + 100]
        built = template.build("urn:uuid:1", ((f"d-{number}", message.to_bytes()) for number, message in enumerate(part)))
        body = reading.parse(built).find("{*}Body")
        assert body is not None
        carried += [reading.accept(record[0]).items["name_kanji"] for record in body[0]]
    assert carried == list(mj_characters.texts())


def test_soap(messages: list[Message]) -> None:
    client = Client(schemas.wsdl_path("juki_cs"), settings=Settings(strict=True))  # type: ignore[no-untyped-call]
    carried: list[str | None] = []
    for start in range(0, len(messages), 100):
        part = messages[start : start + 100]
        made = [{"IdentityInformationUpdate": message.items, "deliveryId": f"d-{number}"} for number, message in enumerate(part)]
        envelope = client.create_message(client.service, "UpdateIdentityInformation", Record=made)  # type: ignore[no-untyped-call]
        body = reading.parse(etree.tostring(envelope, encoding="UTF-8")).find("{*}Body")
        assert body is not None
        schemas.profile_validator("juki_cs")(body[0])
        carried += [reading.accept(record[0]).items["name_kanji"] for record in body[0]]
    assert carried == list(mj_characters.texts())


@pytest.mark.slow
def test_the_broker(messages: list[Message], endpoint: BrokerEndpoint) -> None:
    connection = pika.BlockingConnection(endpoint.parameters(0, name="mj characters"))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    for message in messages:
        channel.basic_publish("", queue, message.to_bytes(), pika.BasicProperties(headers={"name": message.items["name_kanji"]}))
    bodies, headers = [], []
    for _ in messages:
        _, properties, body = channel.basic_get(queue, auto_ack=True)
        bodies.append(reading.read(body).items["name_kanji"])
        headers.append((properties.headers or {})["name"])
    connection.close()
    assert bodies == headers == list(mj_characters.texts())


def test_both_databases(messages: list[Message], ledger_url: str, tmp_path: object) -> None:
    url = sa.make_url(ledger_url)
    engine = sa.create_engine("sqlite://" if url.drivername.startswith("sqlite") else url.set(drivername="postgresql+psycopg"))
    table = sa.Table(
        "mj", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text), sa.Column("body", sa.LargeBinary)
    )
    with engine.begin() as connection:
        table.create(connection)
        rows = [{"id": number, "name": message.items["name_kanji"], "body": message.to_bytes()} for number, message in enumerate(messages)]
        connection.execute(table.insert(), rows)
    with engine.connect() as connection:
        found = connection.execute(sa.select(table.c.name, table.c.body).order_by(table.c.id)).all()
    engine.dispose()
    assert [row.name for row in found] == list(mj_characters.texts())
    assert [reading.read(bytes(row.body)).items["name_kanji"] for row in found] == list(mj_characters.texts())
