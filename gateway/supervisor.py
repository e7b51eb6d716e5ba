"""The supervisor: runs the embedded broker, one gateway process and the workers, and starts again what ends or freezes.

Children die with it (the kernel sees to that). When it sees one end, it ends that process's registrations in the ledger, so that its
claims are void at once and not only after three seconds (R6). One that has not renewed its registration for ten seconds, while the
supervisor's own is renewed, is frozen: it is killed and started anew. ``run/supervisor.json`` says which processes it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certs.errors import CertificateError
from certs.tls import server_context
from gateway.bootstrap.base import topology_of
from gateway.broker import EmbeddedNode, TlsListener, topology
from gateway.broker.admin import NodeAdmin
from gateway.broker.child import Child
from gateway.broker.node_files import GATEWAY_USER
from gateway.config import Config
from gateway.delivery.liveness import Liveness
from gateway.errors import BrokerUnavailable, ConfigurationError, LedgerUnavailable
from gateway.ledger.clock import ledger_time
from gateway.ledger.ledger import Ledger, host_name
from gateway.ledger.lookup import last_renewal, party_row
from gateway.monitoring import INDEX_VARIABLE
from gateway.ready import run_directory, write_json
from gateway.startup import require_sound

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Before an ended process is started again; grows while it ends within :data:`GOOD_AFTER_S` of its start."""
GOOD_AFTER_S = 5.0
WATCH_S = 1.0
FROZEN_S = 10.0
STOP_S = 30.0
CONFIGURATION = 3
"""Exit code of a process whose configuration cannot be used: starting it again does not help."""

_log = logging.getLogger(__name__)


class _Process:
    """One child, started again and again."""

    def __init__(self, name: str, role: str, index: int, config: Config) -> None:
        self.name = name
        self._role = role
        self._index = index
        self._config = config
        self.child: Child | None = None

    def start(self) -> Child:
        log = self._config.data_dir / "log"
        log.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gateway", "up", "--role", self._role]
        if self._config.file is not None:
            command += ["--config", str(self._config.file)]
        env = {**os.environ, INDEX_VARIABLE: str(self._index)}
        self.child = Child(command, env=env, cwd=Path.cwd(), output=log / f"{self.name}.log")
        return self.child


class Supervisor:
    """Everything of one ``renkei up``. Belongs to the event loop of its process, on the main thread (children die with that thread)."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._liveness = Liveness(ledger, "supervisor")
        self._processes = [_Process("gateway", "gateway", 0, config)]
        self._processes += [_Process(f"worker-{n}", "worker", n, config) for n in range(1, config.workers.processes + 1)]
        if config.bulk.process:
            self._processes.append(_Process("bulk", "bulk", config.workers.processes + 1, config))
        self._node = embedded_node(config) if config.broker.mode == "embedded" else None
        self._state: dict[str, Any] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; then ends workers and gateway first, the broker last.

        :raises ConfigurationError: a process cannot run with this configuration.
        """
        try:
            await self._liveness.start()
            await self.pause_parties()
            if self._node is not None:
                await start_node(self._node, self._config)
            await self._until_stopped(stop)
        finally:
            for process in self._processes:
                if process.child is not None:
                    process.child.kill()
            await self._liveness.stop()
            if self._node is not None:
                await self._node.stop()
            (run_directory(self._config.data_dir) / "supervisor.json").unlink(missing_ok=True)

    async def pause_parties(self) -> None:
        """``paused`` in the configuration: once, at this start; an operator may resume the party afterwards."""
        for name, party in self._config.parties.items():
            if party.paused and (await self._ledger.read(functools.partial(party_row, party=name))).paused_by is None:
                await self._ledger.pause(name, "configuration", "paused: true in the configuration", paused=True)

    async def _until_stopped(self, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(self._keep(process, stop), name=process.name) for process in self._processes]
        tasks.append(asyncio.create_task(self._report(), name="report"))
        if self._node is not None:
            tasks.append(asyncio.create_task(self._keep_broker(self._node, stop), name="broker"))
            tasks.append(asyncio.create_task(self._follow_certificates(self._node), name="broker certificates"))
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await self._stop_all()
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(stopped, *tasks, return_exceptions=True)
        for task in done - {stopped}:
            task.result()  # what ended by itself ended with an error: it is the result of all

    async def _keep(self, process: _Process, stop: asyncio.Event) -> None:
        pause = FIRST_PAUSE_S
        while not stop.is_set():
            started = time.monotonic()
            child = process.start()
            while not await child.wait(WATCH_S):
                if await self._frozen(child):
                    _log.error("process-frozen", extra={"child": process.name})
                    child.kill()
            child.kill()  # reaps it, and ends what it may have left
            if stop.is_set():
                return
            _log.error("process-ended", extra={"child": process.name, "code": child.exit_code})
            with contextlib.suppress(LedgerUnavailable):  # its registration runs out by itself within three seconds
                await self._ledger.end_process(child.pid)
            if child.exit_code == CONFIGURATION:
                raise ConfigurationError("process-configuration", f"{process.name} refuses its configuration; see log/{process.name}.log")
            if time.monotonic() - started > GOOD_AFTER_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)

    async def _keep_broker(self, node: EmbeddedNode, stop: asyncio.Event) -> None:
        pause = FIRST_PAUSE_S
        while not stop.is_set():
            started = time.monotonic()
            await node.wait_ended()
            if stop.is_set():
                return
            _log.error("broker-ended")
            if time.monotonic() - started > GOOD_AFTER_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)
            try:
                await node.start(timeout_s=self._config.broker.embedded.ready_s)
            except BrokerUnavailable as error:
                _log.error("broker-not-started", extra={"code": error.code})

    async def _follow_certificates(self, node: EmbeddedNode) -> None:
        """The listener of the broker takes over new certificates, authorities and revocation lists."""
        if node.tls is None:
            await asyncio.Event().wait()  # until this task is cancelled: one that ends would end all
        tls = node.tls
        assert tls is not None
        files = [each for each in (tls.certificate, tls.key, tls.ca, tls.crl) if each is not None]
        taken = _stamp(files)
        while True:
            await asyncio.sleep(WATCH_S)
            stamp = _stamp(files)
            if stamp == taken or stamp is None or not node.ready:
                continue
            try:
                server_context(tls.certificate, tls.key, tls.ca, tls.crl)  # half written, or a key that does not belong to it yet
                await NodeAdmin(node).reload_certificates()
            except (CertificateError, BrokerUnavailable) as error:
                _log.warning("broker-certificates-not-taken", extra={"code": error.code})
                continue
            taken = stamp
            _log.info("broker-certificates-taken")

    async def _frozen(self, child: Child) -> bool:
        """It once renewed, but not for long, while we ourselves could: so it is not the ledger's fault."""
        if not self._liveness.alive():
            return False
        with contextlib.suppress(LedgerUnavailable):  # then nothing can be said of the child
            silent = await self._ledger.read(lambda conn: _silence(conn, child.pid))
            return silent is not None and silent > FROZEN_S and self._liveness.alive()
        return False

    async def _report(self) -> None:
        while True:
            processes = {process.name: process.child.pid if process.child else None for process in self._processes}
            state = {"pid": os.getpid(), "processes": processes, "broker": self._node.pid if self._node is not None else None}
            if state != self._state:
                self._state = state
                write_json(run_directory(self._config.data_dir) / "supervisor.json", state)
            await asyncio.sleep(0.1)

    async def _stop_all(self) -> None:
        children = [process.child for process in self._processes if process.child is not None]
        for child in children:
            child.signal(signal.SIGCONT)
            child.signal(signal.SIGTERM)
        await asyncio.gather(*(child.wait(STOP_S) for child in children))


def _stamp(files: Sequence[Path]) -> tuple[tuple[int, int, int], ...] | None:
    try:
        stats = [os.stat(each) for each in files]
    except OSError:
        return None
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)


def _silence(conn: Any, pid: int) -> float | None:
    renewed = last_renewal(conn, host_name(), pid)
    return None if renewed is None else ledger_time(conn) - renewed


async def supervise(config: Config, stop: asyncio.Event) -> None:
    """Run everything until ``stop`` is set."""
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_sound(config)
    ledger = await asyncio.to_thread(Ledger.open, config.ledger_url(), profile=config.profile)
    try:
        await Supervisor(config, ledger).run(stop)
    finally:
        await ledger.close()


def embedded_node(config: Config) -> EmbeddedNode:
    """The broker of this configuration, not yet started."""
    embedded = config.broker.embedded
    tls = None
    if embedded.listener is not None:
        certificate, key = config.certificate(embedded.listener.certificate)
        tls = TlsListener(
            port=embedded.listener.port,
            host=embedded.listener.host,
            certificate=certificate,
            key=key,
            ca=config.ca_file,
            crl=config.crl_file if config.certificates.unknown_revocation == "refuse" else None,
        )
    return EmbeddedNode(
        config.broker_directory, port=embedded.port, tls=tls, memory_bytes=embedded.memory_bytes, disk_free_bytes=embedded.disk_free_bytes
    )


async def start_node(node: EmbeddedNode, config: Config) -> None:
    """Start the broker with a user for each system that sends or has messages by AMQP (login by certificate), and declare the topology."""
    node.folder.prepare()
    known = node.folder.users()
    systems = list(topology_of(config).users)
    for system in systems:
        if system not in known:
            # before the start: the node then loads them with its definitions, which is quicker than rabbitmqctl
            node.folder.put_user(system, password=None)
    await node.start(timeout_s=config.broker.embedded.ready_s)
    admin = NodeAdmin(node)
    for system in set(known) - set(systems) - {GATEWAY_USER}:
        await admin.revoke_system(system)
    await topology.declare(node.endpoint(), topology_of(config))
