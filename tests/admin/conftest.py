"""A real admin API over real TLS, with a service in memory behind it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certs.authority import Profile, TestAuthority
from certs.setup import ensure
from certs.tls import client_context, server_context
from gateway.admin.app import create_app, serve
from gateway.admin.identity import Operators
from gateway.admin.service import State
from gateway.config import Config, load
from tests.admin.memory import MemoryAccounts, MemoryService, delivery

OPERATORS = """
admin:
  port: {port}
  operators:
    operator-a: {{roles: [viewer, operator]}}
    operator-b: {{roles: [viewer, approver]}}
    operator-c: {{roles: [viewer, operator, approver]}}
    operator-d: {{roles: [viewer]}}
    leaver: {{roles: [viewer]}}
    administrator: {{roles: [administrator]}}
    auditor: {{roles: [auditor]}}
    elsewhere: {{roles: [viewer, operator, approver], parties: [prefecture-server]}}
    contractor:
      roles: [viewer, operator, approver]
      contractor: true
      valid_from: 2020-01-01
      valid_until: 2099-03-31
      networks: [127.0.0.1]
    monitor: {{roles: [viewer]}}
data_dir: {directory}
"""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = ensure(tmp_path_factory.mktemp("admin") / "certs")
    made.issue("operator-c", Profile.CLIENT)
    made.issue("operator-d", Profile.CLIENT)
    # "leaver": whose certificate a test revokes, for good, since the authority is everybody's
    for name in ("leaver", "administrator", "auditor", "elsewhere", "contractor"):
        made.issue(name, Profile.CLIENT)
    return made


@dataclass
class Api:
    """The running API."""

    config: Config
    service: MemoryService
    accounts: MemoryAccounts
    operators: Operators
    port: int

    @asynccontextmanager
    async def as_(self, name: str) -> AsyncIterator[Callable[..., Any]]:
        """Calls as the person whose certificate is ``name``: ``await call(method, path, **json)`` gives (status, document)."""
        context = client_context(*self.config.certificate(name), self.config.ca_file, self.config.crl_file)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:

            async def call(method: str, path: str, /, body: Any = None, **more: Any) -> tuple[int, Any]:
                arguments = {"json": body} if body is not None else {}
                async with session.request(method, f"https://localhost:{self.port}/admin/v1{path}", **arguments, **more) as answer:
                    if "json" in answer.content_type:
                        return answer.status, await answer.json(content_type=None)
                    return answer.status, await answer.read()

            yield call


@pytest.fixture
def service() -> MemoryService:
    return MemoryService(
        delivery("d-held"),
        delivery("d-numbered", bears=True),
        delivery("d-unknown", state=State.UNKNOWN, hold=None),
    )


@pytest.fixture
async def api(authority: TestAuthority, service: MemoryService, tmp_path: Path) -> AsyncIterator[Api]:
    file = tmp_path / "config.yaml"
    file.write_text(OPERATORS.format(port=1, directory=authority.directory.parent), encoding="utf-8")
    config = load(file, environment={})
    context: ssl.SSLContext = server_context(*config.certificate(), config.ca_file, config.crl_file)
    accounts = MemoryAccounts()
    operators = Operators.of(config, accounts)
    accounts.configured = operators.configured
    runner = await serve(create_app(service, service, operators, witness=accounts), host="127.0.0.1", port=0, tls=context)
    port = runner.addresses[0][1]
    file.write_text(OPERATORS.format(port=port, directory=authority.directory.parent), encoding="utf-8")
    yield Api(config=load(file, environment={}), service=service, accounts=accounts, operators=operators, port=port)
    await runner.cleanup()
