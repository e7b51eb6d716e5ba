"""What signatures cost: signing a call of one 3 KB record and verifying its answer, with P-256, beside the simulated party's own."""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from adapters.soap.operation import load_operation
from adapters.soap.signed_template import SignedRecord, SignedRecordsTemplate, compile_signed_records
from adapters.soap.template import compile_records
from certs.peer import Authority
from certs.setup import ensure
from gateway.security.soap.messages import MessageSecurity, open_security
from gateway.security.soap.replay import RecentAnswers
from gateway.security.soap.signing import canonical
from gateway.security.soap.verifier import verify
from message_formats import schemas
from simulators.signatures import Signatures
from tests.performance.formats import record

PROFILE = "urn:renkei:profile:juki-cs:1"
RESULT = "urn:renkei:format:identity-update-result:1"
SHAPE = {
    "to": "https://city-cs.invalid/juki-cs/identity",
    "record": "Record",
    "identifier": "deliveryId",
    "element": "IdentityInformationUpdate",
}


def template() -> SignedRecordsTemplate:
    """The adapter's."""
    return compile_signed_records(
        load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": PROFILE}), **SHAPE
    )


def security(certificates: Path, network: str = "") -> MessageSecurity:
    """The gateway's side, from a folder of certificates; ``network``: what the names of its authority's files begin with."""
    return open_security(
        "city-cs",
        own=(certificates / "gateway-signing.pem", certificates / "gateway-signing.key"),
        partner=certificates / "city-cs-signing.pem",
        authority=Authority(certificates / f"{network}ca.pem", certificates / f"{network}ca.crl"),
        replays=RecentAnswers(),
    )


def answer(records: int) -> bytes:
    """An unsigned answer of the city CS."""
    results = "".join(
        f'<j:Result deliveryId="{uuid.uuid4()}" duplicate="false"><r:IdentityUpdateResult><r:request_control_number>SAMPLE{number:010d}'
        "</r:request_control_number><r:outcome>accepted</r:outcome></r:IdentityUpdateResult></j:Result>"
        for number in range(records)
    )
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsa="http://www.w3.org/2005/08/addressing"><soap:Header>'
        f"<wsa:Action>{PROFILE}:UpdateIdentityInformationResponse</wsa:Action><wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID>"
        f"<wsa:RelatesTo>urn:uuid:{uuid.uuid4()}</wsa:RelatesTo><wsa:To>http://www.w3.org/2005/08/addressing/anonymous</wsa:To></soap:Header>"
        f'<soap:Body><j:UpdateIdentityInformationResponse xmlns:j="{PROFILE}" xmlns:r="{RESULT}">{results}'
        "</j:UpdateIdentityInformationResponse></soap:Body></soap:Envelope>"
    ).encode()


def measure() -> dict[str, float]:
    """Milliseconds of one core by name: medians of interleaved runs."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        authority = ensure(Path(folder) / "certs")
        ours = security(authority.directory)
        own, caller = authority.files("city-cs-signing"), authority.files("gateway-signing")
        theirs = Signatures(
            certificate=own.certificate,
            key=own.key,
            caller=caller.certificate,
            authority=Authority(authority.ca, authority.crl),
            seen=Path(folder) / "seen",
        )
        operation = load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": PROFILE})
        signed, plain = template(), compile_records(operation, **SHAPE)
        content = record()
        element = content[content.index(b"<Id") :]
        root = etree.fromstring(content)

        def sign(count: int) -> None:
            records = [SignedRecord(identifier="d", element=element, canonical=canonical(root))] * count
            signed.build(f"urn:uuid:{uuid.uuid4()}", records, ours)

        def build() -> None:
            plain.build(f"urn:uuid:{uuid.uuid4()}", [("d", element)])

        calls = iter([])
        one, hundred = (theirs.sign(etree.fromstring(answer(count))) for count in (1, 100))

        def party() -> None:
            theirs.verify(etree.fromstring(next(calls)))
            theirs.sign(etree.fromstring(unsigned))

        unsigned = answer(1)
        found: dict[str, list[float]] = {}
        for _ in range(5):
            one_record = [SignedRecord(identifier="d", element=element, canonical=canonical(root))]
            calls = iter([signed.build(f"urn:uuid:{uuid.uuid4()}", one_record, ours) for _ in range(_TIMES)])
            for name, run in (
                ("sign", lambda: sign(1)),
                ("build", build),
                ("verify", lambda: verify(one, ours.signer)),
                ("verify 100", lambda: verify(hundred, ours.signer)),
                ("party", party),
            ):
                found.setdefault(name, []).append(_median_ms(run))
    medians = {name: statistics.median(values) for name, values in found.items()}
    medians["sign"] -= medians.pop("build")
    return medians


_TIMES = 200


def _median_ms(run: Callable[[], None]) -> float:
    taken = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000
