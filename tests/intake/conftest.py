from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from certs.authority import TestAuthority
from certs.setup import ensure
from tests.intake.kit import House, house
from tests.intake.web import Web, serve
from tests.support.broker import authority, broker_node, declared, endpoint, names
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["authority", "broker_node", "declared", "endpoint", "ledger_url", "names", "postgres_server", "postgres_url"]


@pytest.fixture
def home(tmp_path: Path) -> House:
    return house(tmp_path)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    """Certificates of the register, of a system without rights, and of a stranger: all of one authority, all fictitious."""
    made = ensure(tmp_path_factory.mktemp("people"))
    for name in ("certificate-issuance-system", "stranger"):
        made.issue(name, "client")
    return made


@pytest.fixture
async def web(home: House, people: TestAuthority) -> AsyncIterator[Web]:
    """The HTTPS door on a real port with real mutual TLS."""
    async with serve(home, people) as running:
        yield running
