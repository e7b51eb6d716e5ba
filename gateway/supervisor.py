"""The supervisor: runs the embedded broker, one gateway process and the workers, and starts again what ends.

Children die with it (the kernel sees to that). When it sees one end, it ends that process's registrations in the ledger, so that its
claims are void at once and not only after three seconds (R6). ``run/supervisor.json`` says which processes it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from gateway.bootstrap import INDEX_VARIABLE, topology_of
from gateway.broker import EmbeddedNode, TlsListener, topology
from gateway.broker.admin import NodeAdmin
from gateway.broker.child import Child
from gateway.config import Config
from gateway.errors import BrokerUnavailable, ConfigurationError, LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ready import run_directory, write_json

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Before an ended process is started again; grows while it ends within :data:`GOOD_AFTER_S` of its start."""
GOOD_AFTER_S = 20.0
STOP_S = 30.0
_CONFIGURATION = 3
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
        self.starts = 0

    def start(self) -> Child:
        log = self._config.data_dir / "log"
        log.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gateway", "up", "--role", self._role]
        if self._config.file is not None:
            command += ["--config", str(self._config.file)]
        env = {**os.environ, INDEX_VARIABLE: str(self._index)}
        self.starts += 1
        self.child = Child(command, env=env, cwd=Path.cwd(), output=log / f"{self.name}.log")
        return self.child


async def supervise(config: Config, stop: asyncio.Event) -> None:
    """Run everything until ``stop`` is set, then end it in order: workers and gateway first, the broker last."""
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = await asyncio.to_thread(Ledger.open, config.ledger_url())
    processes = [_Process("gateway", "gateway", 0, config)]
    processes += [_Process(f"worker-{n}", "worker", n, config) for n in range(1, config.workers.processes + 1)]
    node = _node(config) if config.broker.mode == "embedded" else None
    try:
        if node is not None:
            await _start_node(node, config)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_keep(process, config, ledger, stop, processes, node)) for process in processes]
            if node is not None:
                tasks.append(group.create_task(_keep_node(node, config, stop)))
            await stop.wait()
            await _stop_all(processes)
            for task in tasks:
                task.cancel()
    finally:
        for process in processes:
            if process.child is not None:
                process.child.kill()
        if node is not None:
            await node.stop()
        await ledger.close()
        (run_directory(config.data_dir) / "supervisor.json").unlink(missing_ok=True)


def _node(config: Config) -> EmbeddedNode:
    embedded = config.broker.embedded
    tls = None
    if embedded.listener is not None:
        certificate, key = config.certificate(embedded.listener.certificate)
        tls = TlsListener(port=embedded.listener.port, host=embedded.listener.host, certificate=certificate, key=key, ca=config.ca_file)
    return EmbeddedNode(config.broker_directory, port=embedded.port, tls=tls, disk_free_bytes=embedded.disk_free_bytes)


async def _start_node(node: EmbeddedNode, config: Config) -> None:
    node.folder.prepare()
    known = node.folder.users()
    systems = [name for name, system in config.intake.systems.items() if "amqp" in system.doors]
    for system in systems:
        if system not in known:
            # before the start: the node then loads them with its definitions, which is quicker than rabbitmqctl
            node.folder.put_user(system, password=None)
    await node.start(timeout_s=config.broker.embedded.ready_s)
    admin = NodeAdmin(node)
    for system in set(known) - set(systems) - {"gateway"}:
        await admin.revoke_system(system)
    await topology.declare(node.endpoint(), topology_of(config))


async def _keep_node(node: EmbeddedNode, config: Config, stop: asyncio.Event) -> None:
    while not stop.is_set():
        if await node.wait_ended(60.0) and not stop.is_set():
            _log.error("broker-ended", extra={"code": "restarting"})
            try:
                await node.start(timeout_s=config.broker.embedded.ready_s)
            except BrokerUnavailable as error:
                _log.error("broker-not-started", extra={"code": error.code})
                await asyncio.sleep(1.0)


async def _keep(
    process: _Process, config: Config, ledger: Ledger, stop: asyncio.Event, processes: list[_Process], node: EmbeddedNode | None
) -> None:
    pause = FIRST_PAUSE_S
    while not stop.is_set():
        started = time.monotonic()
        child = process.start()
        _write_state(config, processes, node)
        while not await child.wait(3600.0):
            pass
        if stop.is_set():
            return
        _log.error("process-ended", extra={"process": process.name, "code": child.returncode})
        with contextlib.suppress(LedgerUnavailable):  # its registration runs out by itself within three seconds
            await ledger.end_process(child.pid)
        if child.returncode == _CONFIGURATION:
            raise ConfigurationError("process-configuration", f"{process.name} refuses its configuration; see log/{process.name}.log")
        if time.monotonic() - started > GOOD_AFTER_S:
            pause = FIRST_PAUSE_S
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_S, pause * 2)


async def _stop_all(processes: list[_Process]) -> None:
    import signal

    children = [process.child for process in processes if process.child is not None]
    for child in children:
        child.signal(signal.SIGCONT)
        child.signal(signal.SIGTERM)
    await asyncio.gather(*(child.wait(STOP_S) for child in children))


def _write_state(config: Config, processes: list[_Process], node: EmbeddedNode | None) -> None:
    running: Mapping[str, int | None] = {process.name: process.child.pid if process.child else None for process in processes}
    state = {"pid": os.getpid(), "processes": dict(running), "broker": node.pid if node is not None else None, "written_at": time.time()}
    write_json(run_directory(config.data_dir) / "supervisor.json", state)
