"""The commands' side of the admin API: one HTTPS connection with the operator's own certificate."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from certs.errors import CertificateError
from certs.path import Purpose
from certs.peer import Authority, require_peer
from certs.tls import client_context
from gateway.admin.service import NotFound
from gateway.cli.wording import language, t
from gateway.config import Config
from gateway.errors import CommandRefused, ConfigurationError, GatewayError, InputRefused, PeerRefused, Unavailable

_ERROR_OF_STATUS: Mapping[int, type[GatewayError]] = {
    400: InputRefused,
    403: PeerRefused,
    404: NotFound,
    409: CommandRefused,
    413: InputRefused,
    415: InputRefused,
    422: InputRefused,
}
ANSWER_LIMIT = 64_000_000


class AdminClient:
    """Calls to ``/admin/v1`` as one operator. A context manager; for one thread."""

    def __init__(self, config: Config, operator: str | None, *, timeout_s: float = 30.0) -> None:
        name = operator or os.environ.get("RENKEI_OPERATOR")
        if not name:
            raise ConfigurationError("operator-unknown", t("operator.unknown", directory=config.certificates_directory))
        certificate, key = config.certificate(name)
        host, port = config.admin.host, config.admin.port
        self._peer = config.certificates.peer
        self._address = f"{host}:{port}"
        try:
            context = client_context(certificate, key, config.ca_file, config.crl_file)
            self._authority = Authority(config.ca_file, config.crl_file)
        except CertificateError as error:
            raise ConfigurationError(error.code, error.safe_detail) from error
        self._connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Any:
        """The JSON at ``/admin/v1/<path>``; :raises GatewayError: what the problem document says."""
        return json.loads(self._call("GET", path, query=query))

    def get_bytes(self, *path: str) -> bytes:
        """The bytes at that path."""
        return self._call("GET", path)

    def stream(self, *path: str, query: Mapping[str, str] | None = None, piece: int = 1 << 20) -> Iterator[bytes]:
        """The bytes at that path, of any length, in pieces; ``admin-cut-off`` if they end too early."""
        answer = self._ask("GET", path, query, None)
        if answer.status >= 400:
            raise _error_of(answer.status, answer.read(ANSWER_LIMIT))
        try:
            while part := answer.read(piece):
                yield part
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("admin-cut-off", t("admin.unreachable", address=self._address)) from error

    def post(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Post ``body`` and return the JSON answer."""
        return json.loads(self._call("POST", path, body=json.dumps(body).encode()))

    def post_bytes(self, *path: str, body: Mapping[str, Any]) -> bytes:
        """Post ``body`` and return the bytes of the answer."""
        return self._call("POST", path, body=json.dumps(body).encode())

    def _call(self, method: str, path: tuple[str, ...], *, query: Mapping[str, str] | None = None, body: bytes | None = None) -> bytes:
        answer = self._ask(method, path, query, body)
        try:
            content = answer.read(ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("admin-unreachable", t("admin.unreachable", address=self._address)) from error
        if answer.status >= 400:
            raise _error_of(answer.status, content)
        return content

    def _ask(self, method: str, path: tuple[str, ...], query: Mapping[str, str] | None, body: bytes | None) -> http.client.HTTPResponse:
        address = "/admin/v1/" + "/".join(quote(step, safe="") for step in path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Accept-Language": language()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connect()
            self._connection.request(method, address, body=body, headers=headers)
            return self._connection.getresponse()
        except ssl.SSLError as error:
            raise PeerRefused("tls", t("admin.tls", address=self._address, reason=_reason(error))) from error
        except CertificateError as error:
            raise PeerRefused(error.code, t("admin.tls", address=self._address, reason=error.safe_detail)) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("admin-unreachable", t("admin.unreachable", address=self._address)) from error

    def _connect(self) -> None:
        """Open the connection and make sure whose it is before anything is sent."""
        if self._connection.sock is None:
            self._connection.connect()
            assert isinstance(self._connection.sock, socket.socket)
            require_peer(self._connection.sock, self._peer, self._authority, Purpose.SERVER)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "unknown").lower().replace("_", " ")


def _error_of(status: int, content: bytes) -> GatewayError:
    try:
        document = json.loads(content)
        code, detail = str(document["code"]), str(document["detail"])
        place, rule = document.get("place"), document.get("rule")
    except (ValueError, KeyError, TypeError):
        return GatewayError("admin-answer", f"the gateway answered {status} in a way that is not understood")
    if status == 503:
        return Unavailable(code, detail)
    text = f"{place}: {detail}" if place else detail
    return _ERROR_OF_STATUS.get(status, GatewayError)(code, text, rule=rule)
