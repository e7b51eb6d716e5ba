"""The embedded RabbitMQ node: a real broker that the gateway starts in its own folder and supervises.

It shares nothing with a RabbitMQ of the machine: own folder, node name, ports, cookie, Erlang port mapper, users; no file under ``/etc`` is
read. Everything listens on loopback, the distribution port and the port mapper included; only a TLS listener may be opened beyond it. The
node dies with its supervisor (the kernel sees to that), and what a killed one left behind does not hinder the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.broker import installation
from gateway.broker.child import Child, free_port, port_taken
from gateway.broker.connection import session
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.errors import ConnectFailed
from gateway.broker.node_files import GATEWAY_USER, NodeFolder, NodeSettings, TlsListener
from gateway.errors import BrokerUnavailable, ConfigurationError

__all__ = ["EmbeddedNode", "PortMapper", "TlsListener"]

VHOST = "renkei"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_LOCK_WAIT_S = 5.0
_END_PORT_MAPPER = b"\x00\x01k"
"""epmd's KILL_REQ; it is obeyed only where no node is registered any more."""


def _environment(home: Path, port_mapper: int) -> dict[str, str]:
    """A clean environment: no RABBITMQ_*, ERL_* or NOTIFY_SOCKET of ours gets through."""
    return {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "ERL_EPMD_PORT": str(port_mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP_BYTES": "0",  # a dump would hold messages (I5)
    }


class PortMapper:
    """An Erlang port mapper (epmd) of our own, on loopback, as a child; shared by the nodes of one cluster."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it unless it runs.

        :raises BrokerUnavailable: it does not come up.
        """
        if self._child is not None and self._child.running:
            return
        self.stop()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _attempt in range(5):
            self.port = free_port()
            env = _environment(self.directory, self.port)
            self._child = Child(
                ["epmd", "-port", str(self.port), "-address", "127.0.0.1"], env=env, cwd=self.directory, output=self.directory / "epmd.out"
            )
            for _turn in range(200):
                if not self._child.running:
                    break  # somebody took the port in between
                if port_taken(self.port):
                    return
                await asyncio.sleep(0.02)
            self.stop()
        raise BrokerUnavailable("broker-no-port-mapper", "epmd does not start; see epmd.out in the broker's folder")

    def stop(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child = None
        if port_taken(self.port):
            # A node that missed its port mapper for a while starts one itself, as a daemon that nobody would end.
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as other:
                other.sendall(_END_PORT_MAPPER)
                other.recv(2)


class EmbeddedNode:
    """One node. ``start`` and ``stop`` may be called again and again; start it from the main thread (see :class:`Child`).

    :param directory: the node's own folder; made if missing.
    :param name: the node's name, without host.
    :param port: AMQP on loopback; 0: a free one, kept in the folder from then on.
    :param port_mapper: shared with other nodes (a cluster); by default the node has its own.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        name: str = "renkei",
        port: int = 0,
        tls: TlsListener | None = None,
        memory_bytes: int = 1 << 30,
        disk_free_bytes: int = 512 << 20,
        message_bytes: int = 16 << 20,
        prometheus_port: int | None = None,
        management_port: int | None = None,
        rabbitmq_home: Path | None = None,
        port_mapper: PortMapper | None = None,
        peers: tuple[str, ...] = (),
        cookie: str | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationError("broker-node-name", "a node name is small letters, digits, hyphens and underscores")
        self.folder = NodeFolder(Path(directory))
        self.name = f"{name}@localhost"
        self.installation = installation.find(rabbitmq_home)
        self.tls = tls
        self._port = port
        self._memory_bytes, self._disk_free_bytes, self._message_bytes = memory_bytes, disk_free_bytes, message_bytes
        self._prometheus_port, self._management_port = prometheus_port, management_port
        self._port_mapper = port_mapper or PortMapper(self.folder.directory)
        self._own_port_mapper = port_mapper is None
        self._peers = peers
        self._cookie = cookie
        self._child: Child | None = None
        self._ready = False

    # --- what it is

    @property
    def directory(self) -> Path:
        return self.folder.directory

    @property
    def port(self) -> int:
        """The AMQP port; 0 before the first start if none was given."""
        return self._port

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    @property
    def running(self) -> bool:
        """The process is there (it may be frozen, or still starting)."""
        return self._child is not None and self._child.running

    @property
    def ready(self) -> bool:
        """:meth:`start` has seen it answer, and its process has not ended since."""
        return self._ready and self.running

    def endpoint(self, user: str = GATEWAY_USER) -> BrokerEndpoint:
        """How ``user`` logs in with its password.

        :raises ConfigurationError: no such user, or one that has a certificate only.
        """
        entry = self.folder.users().get(user)
        if entry is None or not entry["password"]:
            raise ConfigurationError("broker-user-unknown", f"the embedded broker has no user {user} with a password")
        return BrokerEndpoint(hosts=(("127.0.0.1", self._port),), vhost=VHOST, user=user, password=entry["password"])

    def control_environment(self) -> dict[str, str]:
        """The environment in which ``rabbitmqctl`` reaches this node and no other."""
        return {
            **_environment(self.directory, self._port_mapper.port),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "rabbitmq-env.conf"),
            # rabbitmqctl listens too, as a hidden node.
            "RABBITMQ_CTL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        }

    # --- life

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """Start the node and return when it answers AMQP logins of the gateway's user. Nothing happens if it runs.

        :raises ConfigurationError: no RabbitMQ installed, the folder is in use or was written by a newer version, the port is taken.
        :raises BrokerUnavailable: it ended, or was not ready in time (it is killed then); the log is in the folder.
        """
        if self.running:
            return
        self.kill()  # what is left of one that ended by itself
        await self._lock()
        try:
            self._prepare()
            await self._port_mapper.start()
            self._launch()
            await self._until_ready(timeout_s)
        except BaseException:
            self.kill()
            raise
        self.folder.write_record(name=self.name, port=self._port, version=self.installation.version)
        if any(entry["revoked"] for entry in self.folder.users().values()):
            from gateway.broker.admin import NodeAdmin  # it needs this module

            await NodeAdmin(self).finish_revocations()
        self._ready = True

    async def stop(self, *, timeout_s: float = 30.0) -> None:
        """Stop gracefully; a node that does not end within ``timeout_s`` seconds is killed. Nothing is left running."""
        if self._child is not None and self._child.running:
            self.thaw()
            self._child.signal(signal.SIGTERM)
            await self._child.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, at once; the port mapper (if it is the node's own) and the lock go too."""
        self._ready = False
        if self._child is not None:
            self._child.kill()
            self._child = None
        if self._own_port_mapper:
            self._port_mapper.stop()
        self.folder.unlock()

    def freeze(self) -> None:
        """SIGSTOP: the node keeps its connections and answers nothing."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)

    async def wait_ended(self, timeout_s: float | None = None) -> bool:
        """For a supervisor: wait until the process has ended by itself, at most ``timeout_s`` seconds; return whether it has. Then
        :meth:`start` starts it again."""
        return self._child is None or await self._child.wait(timeout_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    # --- steps of the start

    async def _lock(self) -> None:
        # A node whose supervisor was killed holds the lock until the kernel has ended it too, a moment later.
        deadline = asyncio.get_running_loop().time() + _LOCK_WAIT_S
        while not self.folder.try_lock():
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(
                    "broker-folder-in-use",
                    "another process runs a broker in this folder; stop it first, or give this one its own data_dir",
                    place=self.directory.name,
                )
            await asyncio.sleep(0.1)

    def _prepare(self) -> None:
        self.folder.check_version(self.installation.version, name=self.name)
        self.folder.prepare()
        if self._cookie is not None:
            self.folder.write_cookie(self._cookie)
        recorded = int(self.folder.record().get("port", 0))
        if not self._port:
            self._port = recorded or free_port()
        if port_taken(self._port):
            raise ConfigurationError(
                "broker-port-taken", f"port {self._port} on 127.0.0.1 is in use; choose another", place="broker.embedded.port"
            )
        settings = NodeSettings(
            port=self._port,
            tls=self.tls,
            memory_bytes=self._memory_bytes,
            disk_free_bytes=self._disk_free_bytes,
            message_bytes=self._message_bytes,
            prometheus_port=self._prometheus_port,
            management_port=self._management_port,
            peers=self._peers,
        )
        self.folder.write_configuration(settings, vhost=VHOST, version=self.installation.version)

    def _launch(self) -> None:
        directory = self.directory
        env = {
            **_environment(directory, self._port_mapper.port),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder.data),
            "RABBITMQ_LOG_BASE": str(self.folder.log),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(directory / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(directory / "node.pid"),
            # The start script then becomes the Erlang machine instead of waiting for it as a shell in between.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }
        keep = (self.folder.lock_fd,) if self.folder.lock_fd is not None else ()
        self._child = Child(
            [self.installation.program("rabbitmq-server")], env=env, cwd=directory, output=self.folder.log / "start.out", keep_fds=keep
        )

    async def _until_ready(self, timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        endpoint = self.endpoint()
        while True:
            if not self.running:
                raise BrokerUnavailable("broker-node-ended", "the embedded broker ended while starting; see log/ in its folder")
            try:
                if port_taken(self._port):  # before that a login cannot succeed and would only cost time
                    async with session(endpoint, name="renkei ready"):
                        return
            except ConnectFailed as error:
                if error.code == "broker-login-refused":
                    raise
            if asyncio.get_running_loop().time() > deadline:
                raise BrokerUnavailable(
                    "broker-node-not-ready", f"the embedded broker was not ready within {timeout_s:g} s; see log/ in its folder"
                )
            await asyncio.sleep(0.1)
