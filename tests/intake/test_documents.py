"""OpenAPI, AsyncAPI and the register's guide say what the doors do: references resolve, and the examples are run against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.broker import topology
from gateway.inbound import acknowledgements
from gateway.intake import cloudevents, problems
from gateway.ledger.receipts import accepted, refused
from message_formats.errors import CODES as FORMAT_CODES
from tests.intake.web import Web
from tests.support.data import read_yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"
OPENAPI = read_yaml((DOCS / "openapi.yaml").read_text(encoding="utf-8"))
ASYNCAPI = read_yaml((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
DOCUMENTS = {"openapi": OPENAPI, "asyncapi": ASYNCAPI}


def resolve(document: Any, node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}


def check(document: Any, schema: Any, value: Any, where: str = "$") -> None:
    """The part of JSON Schema that the two documents use; anything else is an error of the test."""
    schema = resolve(document, schema)
    unknown = schema.keys() - {
        "type", "required", "properties", "additionalProperties", "items", "enum", "const", "pattern", "description", "format", "minLength",
        "maxLength", "minimum",
    }  # fmt: skip
    assert not unknown, f"{where}: {unknown} is not looked at here"
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert isinstance(value, tuple(TYPES[name] for name in names)), where
    assert "const" not in schema or value == schema["const"], where
    assert "enum" not in schema or value in schema["enum"], where
    assert "pattern" not in schema or not isinstance(value, str) or re.search(schema["pattern"], value), where
    assert "maxLength" not in schema or len(value) <= schema["maxLength"], where
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= value.keys(), where
        if schema.get("additionalProperties") is False:
            assert value.keys() <= schema["properties"].keys(), where
        for name, child in value.items():
            if name in schema.get("properties", {}):
                check(document, schema["properties"][name], child, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for child in value:
            check(document, schema["items"], child, f"{where}[]")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_resolves(name: str) -> None:
    document = DOCUMENTS[name]
    found = [node["$ref"] for node in nodes(document) if isinstance(node, dict) and "$ref" in node]
    assert found
    for reference in found:
        assert reference.startswith("#/")
        assert resolve(document, {"$ref": reference}) is not None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_component_is_used(name: str) -> None:
    document = DOCUMENTS[name]
    used = {node["$ref"] for node in nodes(document) if isinstance(node, dict) and "$ref" in node}
    for kind in ("schemas", "responses", "parameters", "messages"):
        for each in document["components"].get(kind, {}):
            assert f"#/components/{kind}/{each}" in used


def test_openapi_has_the_form_of_its_version() -> None:
    assert OPENAPI["openapi"].startswith("3.1.")
    assert {"title", "version"} <= OPENAPI["info"].keys()
    operations = [(path, verb, o) for path, item in OPENAPI["paths"].items() for verb, o in item.items()]
    assert len({o["operationId"] for _, _, o in operations}) == len(operations)
    for path, _, operation in operations:
        for status, answer in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert resolve(OPENAPI, answer)["description"]
        named = {resolve(OPENAPI, p)["name"] for p in operation.get("parameters", ()) if resolve(OPENAPI, p)["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_the_attributes_are_those_that_the_door_knows() -> None:
    parameters = {resolve(OPENAPI, p)["name"]: resolve(OPENAPI, p) for p in OPENAPI["paths"]["/v1/messages"]["post"]["parameters"]}
    known = cloudevents._RULES.keys() - {"traceparent", "tracestate"}
    assert {name.removeprefix("ce-") for name in parameters} == known
    assert {n.removeprefix("ce-") for n, p in parameters.items() if p["required"]} == set(cloudevents._REQUIRED)
    headers = ASYNCAPI["components"]["messages"]["event"]["headers"]
    assert {name.removeprefix("cloudEvents:") for name in headers["properties"]} == known
    assert {name.removeprefix("cloudEvents:") for name in headers["required"]} == set(cloudevents._REQUIRED)


def test_every_status_and_code_of_the_door_is_described() -> None:
    described = {**OPENAPI["paths"]["/v1/messages"]["post"]["responses"], **OPENAPI["paths"]["/v1/dialogues"]["post"]["responses"]}
    text = yaml.safe_dump(OPENAPI["components"]["responses"])
    only_elsewhere = {"unknown-path", "method-not-allowed"}
    for code, status in problems.STATUS.items():
        if code not in only_elsewhere:
            assert f"`{code}`" in text, code
            assert str(status) in described or code == "unknown-message"
    assert set(described) - {"200", "202"} <= {str(status) for status in problems.TITLES}


async def test_the_example_of_openapi_is_accepted_and_answered_as_described(web: Web) -> None:
    operation = OPENAPI["paths"]["/v1/messages"]["post"]
    head = {"Content-Type": "application/xml"}
    for parameter in (resolve(OPENAPI, p) for p in operation["parameters"]):
        if "example" in parameter:
            head[parameter["name"]] = parameter["example"]
            check(OPENAPI, parameter["schema"], parameter["example"])
    head["ce-specversion"] = "1.0"
    body = operation["requestBody"]["content"]["application/xml"]["example"].encode()
    answer = await web.post(body, head)
    assert answer.status == 202, answer.body
    described = operation["responses"]["202"]["content"]["application/json"]
    check(OPENAPI, described["schema"], answer.json)
    check(OPENAPI, described["schema"], described["example"])
    assert answer.json.keys() == described["example"].keys()
    again = {**{k[3:]: v for k, v in head.items() if k.startswith("ce-")}, "data": body.decode()}
    check(OPENAPI, operation["requestBody"]["content"]["application/cloudevents+json"]["schema"], again)
    structured = await web.post(json.dumps(again).encode(), {"Content-Type": "application/cloudevents+json"})
    assert (structured.status, structured.body) == (202, answer.body)


async def test_the_problem_of_the_example_is_what_the_door_says(web: Web) -> None:
    response = OPENAPI["components"]["responses"]["BadRequest"]["content"]["application/problem+json"]
    answer = await web.post(b"<x/>", {"Content-Type": "application/xml", "ce-specversion": "1.0"})
    assert answer.json == response["example"]
    check(OPENAPI, response["schema"], answer.json)


async def test_keys_and_description_are_as_described(web: Web) -> None:
    keys = await web.send("GET", "/v1/keys")
    check(OPENAPI, OPENAPI["components"]["schemas"]["JwkSet"], keys.json)
    assert read_yaml((await web.send("GET", "/v1/openapi.yaml")).body) == OPENAPI


def test_asyncapi_names_what_the_broker_has() -> None:
    assert ASYNCAPI["asyncapi"].startswith("3.0.")
    channels = ASYNCAPI["channels"]
    assert channels["intake"]["address"].format(system="a") == topology.intake_exchange("a")
    assert channels["receipts"]["address"].format(system="a") == topology.receipts_queue("a")
    assert channels["inHouse"]["address"].format(system="a") == topology.in_house_queue("a")
    assert channels["acknowledgements"]["address"].format(system="a") == topology.acks_exchange("a")
    assert channels["dialogues"]["address"].format(system="a") == topology.dialogues_queue("a")
    assert channels["answers"]["address"].format(system="a") == topology.answers_exchange("a")
    assert f"routing key `{topology.INTAKE_KEY}`" in channels["intake"]["description"]
    assert f"routing key `{topology.INTAKE_KEY}`" in channels["acknowledgements"]["description"]
    for channel in channels.values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel["parameters"].keys()


def test_the_examples_of_asyncapi_are_what_the_door_reads_and_writes() -> None:
    messages = ASYNCAPI["components"]["messages"]
    head = messages["event"]["examples"][0]["headers"]
    check(ASYNCAPI, messages["event"]["headers"], head)
    assert cloudevents.from_amqp(head).type == "identity-information-update"
    written = {
        "accepted": accepted(message_id="m", source_id="a", system="s", message_type="t", at=1.5),
        "refused": refused(source_id=None, system="s", code="c", rule=None, place="p"),
    }
    for name, receipt in written.items():
        schema, example = messages[name]["payload"]["schema"], messages[name]["examples"][0]["payload"]
        check(ASYNCAPI, schema, json.loads(receipt))
        check(ASYNCAPI, schema, example)
        assert json.loads(receipt).keys() == example.keys()


def test_the_acknowledgement_of_asyncapi_is_one_that_the_gateway_reads() -> None:
    message = ASYNCAPI["components"]["messages"]["acknowledgement"]
    example = message["examples"][0]["payload"]
    check(ASYNCAPI, message["payload"]["schema"], example)
    assert message["payload"]["schema"]["properties"]["status"]["enum"] == list(acknowledgements.KINDS)
    read = acknowledgements.read(json.dumps(example).encode())
    assert read == (example["correlation"], "delivered", "accepted")


@pytest.mark.parametrize("name", ["register-guide.md", "register-guide.ja.md"])
def test_the_guide_leads_to_what_exists_and_names_codes_that_exist(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOCS / link).exists(), link
    source = "".join(p.read_text(encoding="utf-8") for p in (DOCS.parent / "gateway").rglob("*.py"))
    for code in re.findall(r"`((?:jwe|same|party|wrong|ephemeral|quarantined)[a-z-]*)`", text):
        assert f'"{code}"' in source or code in FORMAT_CODES, code


def test_both_languages_of_the_guide_have_the_same_shape() -> None:
    english, japanese = ((DOCS / name).read_text(encoding="utf-8") for name in ("register-guide.md", "register-guide.ja.md"))
    shape = re.compile(r"(?m)^(#+|\||```|\d\.|- )")
    assert [m[0] for m in shape.finditer(english)] == [m[0] for m in shape.finditer(japanese)]
    assert set(re.findall(r"`(jwe-[a-z-]+)`", english)) == set(re.findall(r"`(jwe-[a-z-]+)`", japanese))
