"""The processes of a gateway, run until they are told to stop: what ``renkei up`` calls."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.config import Config
from gateway.errors import GatewayError
from gateway.monitoring import process_index
from gateway.operations import logs

_log = logging.getLogger(__name__)


def run_gateway(config: Config) -> int:
    """``renkei up --role gateway``."""
    from gateway.bootstrap.gateway import gateway  # each process loads its own part

    return _run(gateway, config, "gateway")


def run_worker(config: Config) -> int:
    """``renkei up --role worker``."""
    from gateway.bootstrap.worker import worker

    return _run(worker, config, "worker")


def run_bulk(config: Config) -> int:
    """``renkei up --role bulk``."""
    from gateway.bootstrap.bulk import bulk

    return _run(bulk, config, "bulk")


def run_supervisor(config: Config) -> int:
    """``renkei up``: the embedded broker and all processes."""
    from gateway.supervisor import supervise

    return _run(supervise, config, "supervisor")


def _run(main: Callable[[Config, asyncio.Event], Coroutine[Any, Any, None]], config: Config, role: str) -> int:
    process = f"{role}-{process_index(role)}" if role == "worker" else role
    logs.configure(config.log.level, json_lines=config.log.format == "json", instance=config.instance, process=process)

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        _log.info("process-started", extra={"pid": os.getpid()})
        try:
            await main(config, stop)
        except GatewayError:
            raise  # the command says it in one line
        except Exception:
            _log.critical("process-failed", exc_info=True)
            raise
        _log.info("process-stopped", extra={"pid": os.getpid()})

    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold messages and keys in clear (I5); children inherit it
    try:
        import uvloop
    except ImportError:
        asyncio.run(until_signalled())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_signalled())
    return 0
