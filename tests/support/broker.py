"""A real RabbitMQ for tests. Use it with ``from tests.support.broker import *`` in a ``conftest.py``, or import the fixtures by name.

One node serves the whole test run (a start takes about 7 s); each test takes names of its own from ``names``.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.broker import BrokerEndpoint, EmbeddedNode, TlsListener, topology
from gateway.broker.child import free_port
from tests.support.certificates import ThrowAwayAuthority

__all__ = ["Names", "authority", "broker_node", "declared", "endpoint", "names", "until"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Fictitious ids that no other test uses."""

    system: str
    party: str

    @property
    def live(self) -> str:
        return topology.work_queue(self.party, "live")

    @property
    def live_key(self) -> str:
        return topology.work_key(self.party, "live")

    @property
    def intake(self) -> str:
        return topology.intake_queue(self.system)

    @property
    def topology(self) -> topology.Topology:
        return topology.build(systems=[self.system], parties=[self.party])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ThrowAwayAuthority:
    return ThrowAwayAuthority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def broker_node(tmp_path_factory: pytest.TempPathFactory, authority: ThrowAwayAuthority) -> Iterator[EmbeddedNode]:
    """The node of this test run. A test that kills, stops or freezes it brings it back."""
    pair = authority.issue("broker", server=True)
    tls = TlsListener(port=free_port(), certificate=pair.certificate, key=pair.key, ca=authority.ca)
    node = EmbeddedNode(tmp_path_factory.mktemp("broker"), tls=tls, disk_free_bytes=64 << 20)
    asyncio.run(node.start())
    try:
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.fixture
def endpoint(broker_node: EmbeddedNode) -> BrokerEndpoint:
    return broker_node.endpoint()


@pytest.fixture
def names() -> Names:
    number = next(_numbers)
    return Names(system=f"test-system-{number}", party=f"test-party-{number}")


@pytest.fixture
async def declared(endpoint: BrokerEndpoint, names: Names) -> Names:
    """``names`` with its exchanges and queues declared."""
    await topology.declare(endpoint, names.topology)
    return names


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Wait until a condition of the world outside holds; fails the test if it does not within ``timeout_s`` seconds."""
    async with asyncio.timeout(timeout_s):
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            await asyncio.sleep(0.02)


def listeners() -> set[tuple[str, int, int]]:
    """(address, port, inode) of every listening TCP socket of this machine."""
    found: set[tuple[str, int, int]] = set()
    for name, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in Path(name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A":
                continue
            raw, port = fields[1].split(":")
            words = [bytes.fromhex(raw[i : i + 8])[::-1] for i in range(0, len(raw), 8)]
            found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16), int(fields[9])))
    return found


def sockets_of(pid: int) -> set[int]:
    """Inodes of the sockets that a process holds."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.readlink().name
        except FileNotFoundError:
            continue  # closed while we looked
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return inodes
