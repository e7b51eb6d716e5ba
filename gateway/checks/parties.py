"""A part of ``renkei check``: every party, and every system of ours that has messages by queue or file."""

from __future__ import annotations

import asyncio
import os

from gateway.config import Config
from gateway.contract import AdapterHost, Finding
from gateway.errors import ConfigurationError, GatewayError
from gateway.plugins import BoundParty, bind_parties


async def look_at_parties(config: Config) -> list[Finding]:
    """Adapters with their settings, then each party: reachable, TLS both ways, credentials."""
    bound = bind_parties(config)
    if not bound:
        return [Finding(name="parties", ok=False, detail="none is configured", remedy="add one below parties: in the configuration")]
    results = await asyncio.gather(*(_party(config, party) for party in bound.values()))
    return [finding for findings in results for finding in findings]


async def _party(config: Config, party: BoundParty) -> list[Finding]:
    from gateway.message_trust import party_signatures
    from gateway.trust import party_http

    if party.config.in_house:
        return await _consumer(config, party)
    try:
        http = party_http(config, party)
    except ConfigurationError as error:
        return [Finding(name=f"party {party.party}", ok=False, detail=error.safe_detail, remedy="put its certificate in order")]
    try:
        adapter = party.adapter(AdapterHost(settings=party.settings, http=http, signatures=party_signatures(config, party)))
        try:
            found = await adapter.check()
        finally:
            await adapter.close()
    finally:
        await http.close()
    return [Finding(name=f"party {party.party}: {each.name}", ok=each.ok, detail=each.detail, remedy=each.remedy) for each in found]


async def _consumer(config: Config, party: BoundParty) -> list[Finding]:
    """A system of ours that has messages by queue: somebody consumes it, and its key can be used."""
    from gateway.bootstrap.base import broker_endpoint
    from gateway.broker.topology import depth, in_house_queue
    from gateway.delivery.files import layouts_for
    from gateway.security.jwe_out import ConsumerKey

    wanted = party.config.queue
    name = f"party {party.party}"
    if (files := party.config.files) is not None:
        try:
            layouts_for(party.adapter.manifest.message_types, files.layout)
            well = await asyncio.to_thread(os.access, files.directory, os.W_OK | os.X_OK)
        except GatewayError as error:
            return [Finding(name=name, ok=False, detail=error.safe_detail, remedy="give files.layout")]
        remedy = "" if well else "make its folder, writable for the gateway"
        return [Finding(name=name, ok=well, detail="its folder can be written to" if well else "its folder cannot be used", remedy=remedy)]
    if wanted is None:  # it comes by itself
        return [Finding(name=name, ok=True, detail="it fetches what is for it")]
    try:
        ConsumerKey(wanted.keys)
        consumers = (await depth(broker_endpoint(config), in_house_queue(party.party))).consumers
    except GatewayError as error:
        return [Finding(name=name, ok=False, detail=error.safe_detail, remedy="look at its queue and the file of its keys")]
    if not consumers:
        return [Finding(name=name, ok=False, detail="nobody consumes its queue", remedy="see that it runs and consumes its queue")]
    return [Finding(name=name, ok=True, detail="its queue is consumed, its key can be used")]
