"""A part of ``renkei check``: the broker and its queues."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from gateway.config import Config
from gateway.contract import Finding
from gateway.errors import GatewayError

CONNECT_S = 5.0


async def look_at_broker(config: Config) -> list[Finding]:
    """The embedded broker can start or runs; the external one answers over TLS."""
    if config.broker.mode == "external":
        return await _external_broker(config)
    from gateway.broker.installation import find, version_text

    found = find()
    port = config.broker.embedded.port
    running = await _answers("127.0.0.1", port)
    version = version_text(found.version)
    detail = (
        f"RabbitMQ {version} is installed; a node answers on port {port}"
        if running
        else f"RabbitMQ {version} is installed; not running now"
    )
    findings = [Finding(name="broker", ok=True, detail=detail)]
    node = config.broker_directory / "node.json"
    if running and not node.exists():
        remedy = "set broker.embedded.port to a free port, or end what listens there"
        findings = [Finding(name="broker", ok=False, detail=f"port {port} is taken by something that is not ours", remedy=remedy)]
    elif running:
        findings += await _topology(config)
    return findings


async def _answers(host: str, port: int, tls: ssl.SSLContext | None = None, name: str | None = None) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name if tls else None)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):  # the other side may have hung up first, which is no finding
        await writer.wait_closed()
    return True


async def _external_broker(config: Config) -> list[Finding]:
    from gateway.trust import broker_context

    external = config.broker.external
    assert external is not None  # the model insists
    context = broker_context(config)
    findings = []
    for host in external.hosts:
        name, _, port = host.partition(":")
        well = await _answers(name, int(port or 5671), context, external.peer or name)
        remedy = "" if well else "does it run, is a firewall between, does its certificate bear broker.external.peer?"
        detail = "answers over TLS" if well else "does not answer over TLS"
        findings.append(Finding(name=f"broker {host}", ok=well, detail=detail, remedy=remedy))
    return findings


async def _topology(config: Config) -> list[Finding]:
    """The queues of every system and party are there. Declared by the gateway when it starts."""
    from gateway.broker.endpoint import BrokerEndpoint
    from gateway.broker.node_files import GATEWAY_USER, NodeFolder
    from gateway.broker.topology import depth, intake_queue, receipts_queue, work_queue

    folder = NodeFolder(config.broker_directory)
    password = folder.users()[GATEWAY_USER]["password"]
    endpoint = BrokerEndpoint(hosts=(("127.0.0.1", config.broker.embedded.port),), user=GATEWAY_USER, password=password)
    amqp = [name for name, system in config.intake.systems.items() if "amqp" in system.doors]
    names = [queue(system) for system in amqp for queue in (intake_queue, receipts_queue)]
    names += [work_queue(party, lane) for party in config.parties for lane in ("live", "bulk")]
    missing = []
    for name in names:
        try:
            await depth(endpoint, name)
        except GatewayError:
            missing.append(name)
    remedy = "restart the gateway: it declares them" if missing else ""
    detail = f"missing: {', '.join(missing)}" if missing else f"{len(names)} queues are there"
    return [Finding(name="broker topology", ok=not missing, detail=detail, remedy=remedy)]
