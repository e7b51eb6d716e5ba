"""How the certificate centre calls: signed SOAP over mutual TLS with connections that are kept, and answers verified. Written from the
profile's WSDL, without a look at the gateway's side."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import aiohttp
from lxml import etree

from message_formats import profiles, writing
from message_formats.schemas import profile_validator
from simulators.signatures import SOAP, WSA, SignatureRefused, Signatures

PROFILE: Final = profiles.get("convenience_store")
OPERATION: Final = PROFILE.operation("RequestCertificate")
ADDRESS: Final = "https://renkei-gateway.invalid/soap/convenience_store"
OPENING, RECONNECT_S = 16, 0.1
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, recover=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An answer with a certificate: what it says of itself, and the body."""

    items: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back: a certificate, or the code of a fault; neither: no answer that can be believed."""

    certificate: Certificate | None = None
    fault: str | None = None
    problem: str | None = None


class _Gently(aiohttp.TCPConnector):
    """Opens a few connections at a time: hundreds of handshakes in one moment are what a listener defends itself against."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._opening = asyncio.Semaphore(OPENING)

    async def _create_connection(self, *given: Any) -> Any:
        async with self._opening:
            return await super()._create_connection(*given)


class Caller:
    """Calls one gateway. Belongs to the event loop."""

    def __init__(self, *, url: str, server_name: str, context: ssl.SSLContext, signatures: Signatures, connections: int = 700) -> None:
        """``url``: of the listener, ``https://host:port``."""
        self._url, self._server_name, self._context, self._connections = f"{url}/soap/convenience_store", server_name, context, connections
        self._signatures = signatures
        self._validate = profile_validator("convenience_store")
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def request(self, items: dict[str, str | None], *, deadline_s: float, timeout_s: float) -> Said:
        """One certificate request; never raises for what the far side does. ``deadline_s``: so long an answer is of use, which the message
        says (``wsu:Expires``); ``timeout_s``: so long it is listened for."""
        message_id = f"urn:uuid:{uuid.uuid4()}"
        record = writing.write("certificate-request", items).to_bytes().decode()
        action = PROFILE.action(OPERATION.name)
        text = (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>{action}</wsa:Action>'
            f"<wsa:MessageID>{message_id}</wsa:MessageID><wsa:To>{ADDRESS}</wsa:To></soap:Header><soap:Body>"
            f'<c:{OPERATION.name}Request xmlns:c="{PROFILE.namespace}"><c:Record deliveryId={quoteattr(str(uuid.uuid4()))}>'
            f"{record}</c:Record></c:{OPERATION.name}Request></soap:Body></soap:Envelope>"
        )
        ends = time.monotonic() + timeout_s
        body = self._signatures.sign(etree.fromstring(text, _PARSER), life_s=deadline_s)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
        while (left_s := ends - time.monotonic()) > 0:
            try:
                async with self._opened().post(
                    self._url,
                    data=body,
                    headers=headers,
                    server_hostname=self._server_name,
                    timeout=aiohttp.ClientTimeout(total=left_s),
                ) as answer:
                    return self._read(await answer.read(), message_id)
            except aiohttp.ClientConnectorError:  # nothing was sent
                await asyncio.sleep(RECONNECT_S)
            except TimeoutError:
                break
            except aiohttp.ClientError as error:
                return Said(problem=type(error).__name__)
        return Said(problem="time-out")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = _Gently(ssl=self._context, limit=self._connections, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        return self._session

    def _read(self, body: bytes, message_id: str) -> Said:
        try:
            envelope = etree.fromstring(body, _PARSER)
            self._signatures.verify(envelope)
            relates_to = (envelope[0].findtext(f"{{{WSA}}}RelatesTo") or "").strip()
        except (etree.XMLSyntaxError, SignatureRefused, IndexError):
            return Said(problem="not-believed")
        content = envelope[1][0]
        if content.tag == f"{{{SOAP}}}Fault":
            detail = content.find(f"detail/{{{PROFILE.namespace}}}Fault")
            return Said(fault=(detail.get("code") if detail is not None else None) or "unnamed")
        if relates_to != message_id:
            return Said(problem="another-call")
        self._validate(content)
        found = {etree.QName(each).localname: each.text or "" for each in content[0][0]}
        return Said(certificate=Certificate(items=found, body=base64.b64decode(found.pop("certificate"))))
