"""Records, answers and a scripted HTTP caller for adapters. All data is fictitious."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from adapters.juki_cs import JukiCsAdapter
from gateway.contract import AdapterHost, Envelope, HttpAnswer
from message_formats import samples, writing

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
PROFILE = "urn:renkei:profile:juki-cs:1"
RESULT = "urn:renkei:format:identity-update-result:1"
ADDRESS = "https://city-cs.invalid/juki-cs/identity"


def envelope(serial: int = 1, *, resent: bool = False, **changes: str | None) -> Envelope:
    """One delivery of a fictitious resident."""
    items = samples.identity_items(serial, **changes)
    return Envelope(
        delivery_id=f"delivery-{serial}",
        message_id=f"message-{serial}",
        message_type="identity-information-update",
        party_key=items["request_control_number"],
        attempt=1 + resent,
        resent=resent,
        content=writing.write("identity-information-update", items).to_bytes(),
    )


def result(serial: int = 1, outcome: str = "accepted", error: str | None = None, *, duplicate: str = "false", **changed: str) -> str:
    """One result of the party."""
    delivery = changed.get("delivery", f"delivery-{serial}")
    key = changed.get("key", f"SAMPLE{serial:010d}")
    code = f"<r:error_code>{error}</r:error_code>" if error else ""
    return (
        f'<j:Result deliveryId="{delivery}" duplicate="{duplicate}"><r:IdentityUpdateResult><r:request_control_number>{key}'
        f"</r:request_control_number><r:outcome>{outcome}</r:outcome>{code}</r:IdentityUpdateResult></j:Result>"
    )


def soap(content: str, relates_to: str, action: str = f"{PROFILE}:UpdateIdentityInformationResponse", header: str = "") -> bytes:
    """A SOAP message of the party."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}" xmlns:j="{PROFILE}" xmlns:r="{RESULT}">'
        f"<s:Header><a:Action>{action}</a:Action><a:MessageID>urn:uuid:0</a:MessageID><a:RelatesTo>{relates_to}</a:RelatesTo>{header}</s:Header>"
        f"<s:Body>{content}</s:Body></s:Envelope>"
    ).encode()


def response(*results: str) -> str:
    return f"<j:UpdateIdentityInformationResponse>{''.join(results)}</j:UpdateIdentityInformationResponse>"


def fault(whose: str, code: str | None) -> str:
    detail = f'<detail><j:Fault code="{code}"/></detail>' if code is not None else ""
    return f"<s:Fault><faultcode>s:{whose}</faultcode><faultstring>no</faultstring>{detail}</s:Fault>"


Answerer = Callable[[str], HttpAnswer | Exception]


@dataclass
class ScriptedHttp:
    """Stands where the host's transport is; remembers what was posted."""

    answerer: Answerer
    posted: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        assert path == "/juki-cs/identity"
        self.posted.append(body)
        self.headers.append(headers)
        answer = self.answerer(message_id(body))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def probe(self) -> None:
        answer = self.answerer("")
        if isinstance(answer, Exception):
            raise answer


def message_id(body: bytes) -> str:
    found = re.search(rb"<wsa:MessageID>([^<]+)</wsa:MessageID>", body)
    assert found is not None
    return found[1].decode()


def answer(body: bytes, status: int = 200, **headers: str) -> HttpAnswer:
    return HttpAnswer(
        status=status, content_type="text/xml", headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body
    )


Party = Callable[[Answerer], tuple[JukiCsAdapter, ScriptedHttp]]


@pytest.fixture(scope="session")
def party() -> Party:
    """An adapter whose party answers as the given function says."""

    def make(answerer: Answerer) -> tuple[JukiCsAdapter, ScriptedHttp]:
        http = ScriptedHttp(answerer)
        return JukiCsAdapter(AdapterHost(settings={"address": ADDRESS}, http=http)), http

    return make
