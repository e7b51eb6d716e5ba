"""Runs a party as a process: door, control page, ready file, until SIGTERM or SIGINT."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from certs.tls import server_context
from simulators.control import Control
from simulators.errors import BadSettings
from simulators.faults import read_script
from simulators.listener import Listener
from simulators.party import Party, PartyServer, until_told_to_stop
from simulators.settings import PartySettings


@asynccontextmanager
async def serving(party: Party, settings: PartySettings) -> AsyncIterator[tuple[PartyServer, Control]]:
    """The party on the network while the block runs. Writes the ready file when it serves and removes it at the end."""
    script = read_script(settings.faults) if settings.faults else None
    if script is not None:
        party.faults.seed = script.seed or settings.seed
    party.open_journal(settings.journal, sync=settings.journal_sync)
    listener = Listener(
        party.handle, settings.host, settings.port, _context(settings), _wrong_context(settings), keepalive_s=settings.keepalive_s
    )
    server = PartyServer(party=party, listener=listener, script=script)
    control = Control(server, settings.control_port, settings.token_file)
    try:
        await server.start()
        await control.start()
        if settings.ready_file is not None:
            _write_whole(settings.ready_file, {"pid": os.getpid(), "port": listener.port, "control_port": control.port})
        yield server, control
    finally:
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
        await control.stop()
        await server.stop()


async def serve(party: Party, settings: PartySettings) -> None:
    """Serve until told to stop."""
    async with serving(party, settings):
        await until_told_to_stop()


def _context(settings: PartySettings) -> ssl.SSLContext:
    return server_context(settings.certificate, settings.key, settings.ca, settings.crl, minimum=_lowest(settings))


def _wrong_context(settings: PartySettings) -> ssl.SSLContext | None:
    if settings.wrong_certificate is None and settings.wrong_key is None:
        return None
    if settings.wrong_certificate is None or settings.wrong_key is None:
        raise BadSettings("wrong-certificate-incomplete", "wrong_certificate and wrong_key belong together")
    return server_context(settings.wrong_certificate, settings.wrong_key, settings.ca, settings.crl, minimum=_lowest(settings))


def _lowest(settings: PartySettings) -> ssl.TLSVersion:
    return ssl.TLSVersion.TLSv1_2 if settings.tls12 else ssl.TLSVersion.TLSv1_3


def _write_whole(path: Path, value: dict[str, Any]) -> None:
    """Write so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".new")
    half.write_text(json.dumps(value) + "\n", encoding="utf-8")
    half.rename(path)
