"""What the tests of the simulators share: certificates, the city CS in this process, and a hand-made caller."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from lxml import etree

from certs.authority import Profile, TestAuthority
from certs.setup import ensure
from certs.tls import client_context
from message_formats import samples
from simulators.city.render import identity_xml
from simulators.control import Control
from simulators.juki_cs.party import JukiCs
from simulators.juki_cs.service import JukiCsSettings, serving_city_cs

SALT = "salt of the tests"
J = "urn:renkei:profile:juki-cs:1"
R = "urn:renkei:format:identity-update-result:1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
ACTION = f"{J}:UpdateIdentityInformation"

_numbers = itertools.count(1)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the simulators run on: uvloop's transports differ from asyncio's in more than speed."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = ensure(tmp_path_factory.mktemp("certificates"))
    made.issue("somebody-else", Profile.PEER, dns=("localhost",), ips=("127.0.0.1",))
    return made


@pytest.fixture(scope="session")
def caller_context(authority: TestAuthority) -> ssl.SSLContext:
    return context_of(authority, "gateway")


def context_of(authority: TestAuthority, name: str) -> ssl.SSLContext:
    files = authority.files(name)
    return client_context(files.certificate, files.key, authority.ca, authority.crl)


@pytest.fixture
def settings_for(authority: TestAuthority, tmp_path: Path) -> Callable[..., JukiCsSettings]:
    def make(**changes: Any) -> JukiCsSettings:
        own, wrong = authority.files("city-cs"), authority.files("somebody-else")
        values: dict[str, Any] = {
            "token_file": tmp_path / "token",
            "certificate": own.certificate,
            "key": own.key,
            "ca": authority.ca,
            "crl": authority.crl,
            "wrong_certificate": wrong.certificate,
            "wrong_key": wrong.key,
            "journal": tmp_path / "journal.jsonl",
            "salt": SALT,
        }
        return JukiCsSettings.model_validate(values | changes)

    return make


class Answer:
    """What came back: HTTP status and body, taken apart."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def root(self) -> etree._Element:
        return etree.fromstring(self.body)

    @property
    def fault(self) -> tuple[str, str] | None:
        """(faultcode, code of the detail)."""
        found = self.root.find(f".//{{{SOAP}}}Fault")
        if found is None:
            return None
        detail = found.find(f".//{{{J}}}Fault")
        return found.findtext("faultcode") or "", "" if detail is None else detail.get("code", "")

    @property
    def results(self) -> list[tuple[str, str, str | None, bool]]:
        """(delivery id, outcome, error code, duplicate) of each record."""
        return [
            (
                result.get("deliveryId", ""),
                result.findtext(f".//{{{R}}}outcome") or "",
                result.findtext(f".//{{{R}}}error_code"),
                result.get("duplicate") == "true",
            )
            for result in self.root.iter(f"{{{J}}}Result")
        ]

    @property
    def relates_to(self) -> str | None:
        return self.root.findtext(f".//{{{WSA}}}RelatesTo")


def xml_of(serial: int, **changes: str | None) -> bytes:
    """A fictitious update; every call has a request control number of its own unless one is given."""
    values = {"request_control_number": f"TEST{next(_numbers):012d}", **changes}
    return identity_xml(samples.identity_items(serial, **values))


def envelope(*records: tuple[str, bytes], message_id: str = "urn:uuid:11111111-1111-4111-8111-111111111111", action: str = ACTION) -> bytes:
    inner = b"".join(b'<j:Record deliveryId="%s">%s</j:Record>' % (delivery.encode(), xml) for delivery, xml in records)
    return (
        (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>{action}</wsa:Action>'
            f"<wsa:MessageID>{message_id}</wsa:MessageID><wsa:To>https://city-cs.invalid/</wsa:To>"
            f"<wsa:ReplyTo><wsa:Address>{WSA}/anonymous</wsa:Address></wsa:ReplyTo></soap:Header><soap:Body>"
            f'<j:UpdateIdentityInformationRequest xmlns:j="{J}">'
        ).encode()
        + inner
        + b"</j:UpdateIdentityInformationRequest></soap:Body></soap:Envelope>"
    )


class Caller:
    """A hand-made gateway: calls the city CS, and its control API."""

    def __init__(self, session: aiohttp.ClientSession, port: int, control_port: int, token: str) -> None:
        self.session = session
        self.port = port
        self.control_port = control_port
        self.token = token

    async def post(self, body: bytes, *, path: str = "/juki-cs/identity", timeout_s: float = 10, **headers: str) -> Answer:
        sent = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{ACTION}"', **headers}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with self.session.post(f"https://127.0.0.1:{self.port}{path}", data=body, headers=sent, timeout=timeout) as response:
            return Answer(response.status, response.headers, await response.read())

    async def update(self, *records: tuple[str, bytes], timeout_s: float = 10) -> Answer:
        return await self.post(envelope(*records), timeout_s=timeout_s)

    async def control(self, method: str, path: str, body: Any = None, *, token: str | None = None, status: int | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        url = f"http://127.0.0.1:{self.control_port}{path}"
        async with self.session.request(method, url, json=body, headers=headers) as response:
            if status is not None:
                assert response.status == status, await response.text()
            text = await response.text()
            return json.loads(text) if response.content_type == "application/json" else text

    async def put_fault(self, **fault: Any) -> str:
        return (await self.control("POST", "/_sim/faults", fault, status=201))["id"]

    async def journal(self) -> list[dict[str, Any]]:
        return (await self.control("GET", "/_sim/journal", status=200))["entries"]

    async def effects(self) -> int:
        return (await self.control("GET", "/_sim/state", status=200))["counts"].get("effect", 0)


class Simulator:
    """The city CS in this process, and its caller."""

    def __init__(self, party: JukiCs, control: Control, caller: Caller) -> None:
        self.party = party
        self.control = control
        self.caller = caller


@asynccontextmanager
async def running(settings: JukiCsSettings, context: ssl.SSLContext) -> AsyncIterator[Simulator]:
    async with serving_city_cs(settings) as (party, server, control):
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            token = settings.token_file.read_text().strip()
            yield Simulator(party, control, Caller(session, server.listener.port, control.port, token))


@pytest.fixture
async def city_cs(settings_for: Callable[..., JukiCsSettings], caller_context: ssl.SSLContext) -> AsyncIterator[Simulator]:
    """An empty city CS in this process."""
    async with running(settings_for(), caller_context) as simulator:
        yield simulator


async def eventually(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Wait until something holds; returns it."""
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):
            await asyncio.sleep(0.005)
        return value
