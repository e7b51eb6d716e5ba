"""A cluster of embedded nodes on one machine: for tests and exercises, with the same class as the real thing."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.broker.admin import NodeAdmin
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.node import VHOST, EmbeddedNode, PortMapper
from gateway.broker.node_files import GATEWAY_USER
from gateway.errors import BrokerUnavailable


class LocalCluster:
    """``size`` nodes in ``directory``, one port mapper, one cookie, one gateway user."""

    def __init__(self, directory: Path | str, *, size: int = 3, disk_free_bytes: int = 64 << 20) -> None:
        self.directory = Path(directory)
        self._port_mapper = PortMapper(self.directory / "port-mapper")
        cookie = secrets.token_hex(20)
        names = [f"renkei-{number}" for number in range(1, size + 1)]
        self.nodes = [
            EmbeddedNode(
                self.directory / name,
                name=name,
                port_mapper=self._port_mapper,
                peers=tuple(f"{one}@localhost" for one in names),
                cookie=cookie,
                disk_free_bytes=disk_free_bytes,
            )
            for name in names
        ]

    def endpoint(self) -> BrokerEndpoint:
        """All nodes, with the gateway's user."""
        one = self.nodes[0].endpoint()
        return BrokerEndpoint(
            hosts=tuple(("127.0.0.1", node.port) for node in self.nodes), vhost=VHOST, user=one.user, password=one.password
        )

    async def start(self, *, timeout_s: float = 120.0) -> None:
        """Start all nodes at once and return when they form one cluster.

        :raises BrokerUnavailable: they do not within ``timeout_s`` seconds.
        """
        await self._port_mapper.start()
        password = secrets.token_urlsafe(32)
        for node in self.nodes:
            node.folder.prepare()
            if not node.folder.record():
                node.folder.put_user(GATEWAY_USER, password=password)
        await asyncio.gather(*(node.start(timeout_s=timeout_s) for node in self.nodes))
        status = json.loads(await NodeAdmin(self.nodes[0]).control("cluster_status", "--formatter", "json"))
        members = len(status["running_nodes"])
        if members != len(self.nodes):
            raise BrokerUnavailable("broker-cluster-split", f"{members} of {len(self.nodes)} nodes formed a cluster")

    async def stop(self) -> None:
        """Stop all nodes; nothing is left running."""
        await asyncio.gather(*(node.stop() for node in self.nodes))
        self._port_mapper.stop()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
