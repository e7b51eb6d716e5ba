"""The direct ceiling: the fastest straight script for the same work, without queue and ledger.

Parse, XSD, build of the envelope, POST over kept-alive mutual TLS, parse and XSD of the answer; as many calls under way as the gateway
may have. It uses the adapter's own compiled template, which is quicker than building with lxml, so the ceiling is not a low one. Where the
town signs its messages, it signs and verifies by the adapter's own means too: nothing quicker is known (``bin/bench signatures``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from pathlib import Path

import aiohttp
import uvloop
from lxml import etree

from adapters.soap.operation import load_operation
from adapters.soap.signed_template import SignedRecord
from adapters.soap.template import compile_records
from certs.tls import client_context
from gateway.security.soap.signing import canonical
from gateway.security.soap.verifier import verify
from message_formats import schemas
from tests.performance.signatures import security
from tests.performance.signatures import template as signed_template
from tests.performance.workload import updates

PROFILE = "urn:renkei:profile:juki-cs:1"

NETWORK = "juki-net-"
"""The city CS is in this network: what the names of its authority's files begin with."""


async def run(
    *, url: str, certificates: Path, count: int, skip: int, in_flight: int, records: int, signatures: bool = False
) -> dict[str, float]:
    """Send ``count`` records after the first ``skip`` of the workload; records a second."""
    work = updates(skip, count)
    operation = load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": PROFILE})
    template = compile_records(
        operation,
        to="https://city-cs.invalid/juki-cs/identity",
        record="Record",
        identifier="deliveryId",
        element="IdentityInformationUpdate",
    )
    ours, signed = (security(certificates, NETWORK), signed_template()) if signatures else (None, None)
    headers = operation.http_headers
    validate, validate_answer = schemas.validator("identity-information-update"), schemas.profile_validator("juki_cs")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    own, authority = certificates / "gateway-juki-net", certificates / f"{NETWORK}ca"
    context = client_context(own.with_suffix(".pem"), own.with_suffix(".key"), authority.with_suffix(".pem"), authority.with_suffix(".crl"))
    context.check_hostname = False
    queue = iter([work[i : i + records] for i in range(0, len(work), records)])
    latencies: list[float] = []
    accepted = 0

    async def lane(session: aiohttp.ClientSession) -> None:
        nonlocal accepted
        for group in queue:
            started = time.perf_counter()
            members = []
            forms = []
            for item in group:
                root = etree.fromstring(item.xml, parser)
                validate(root)
                members.append((str(uuid.uuid4()), item.xml))
                if signed is not None:
                    forms.append(SignedRecord(identifier=members[-1][0], element=item.xml, canonical=canonical(root)))
            if signed is not None and ours is not None:
                body = signed.build(f"urn:uuid:{uuid.uuid4()}", forms, ours)
            else:
                body = template.build(f"urn:uuid:{uuid.uuid4()}", members)
            async with session.post(f"{url}/juki-cs/identity", data=body, headers=headers) as response:
                came = await response.read()
            answer = verify(came, ours.signer).envelope if ours is not None else etree.fromstring(came, parser)
            content = answer[-1][0]
            validate_answer(content)
            accepted += sum(1 for each in content.iter("{urn:renkei:format:identity-update-result:1}outcome") if each.text == "accepted")
            latencies.append(time.perf_counter() - started)

    connector = aiohttp.TCPConnector(ssl=context, limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        cpu, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(lane(session) for _ in range(in_flight)))
        seconds = time.perf_counter() - started
    return {"rate": count / seconds, "accepted": accepted, "cpu_us": (time.process_time() - cpu) / count * 1e6, "seconds": seconds}


def main() -> None:
    """As a process of its own, so that its cost is its own."""
    flags = argparse.ArgumentParser()
    for name in ("--url", "--certificates"):
        flags.add_argument(name, required=True)
    for name, default in (("--count", 5000), ("--skip", 0), ("--in-flight", 16), ("--records", 1)):
        flags.add_argument(name, type=int, default=default)
    flags.add_argument("--signatures", action="store_true", help="the town signs its messages")
    given = flags.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(
            run(
                url=given.url,
                certificates=Path(given.certificates),
                count=given.count,
                skip=given.skip,
                in_flight=given.in_flight,
                records=given.records,
                signatures=given.signatures,
            )
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
