"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All persons are fictitious."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from adapters.intermediate_server.adapter import IntermediateServerAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation
from message_formats import writing

_FIRST_SERIAL = 7_000_000


def _command(place: Place) -> Sequence[str]:
    files = {
        "certificate": place.certificate,
        "key": place.key,
        "wrong_certificate": place.wrong_certificate,
        "wrong_key": place.wrong_key,
        "ca": place.ca,
        "crl": place.crl,
        "signing_certificate": place.signing_certificate,
        "signing_key": place.signing_key,
        "caller_signing_certificate": place.caller_signing_certificate,
        "journal": place.folder / "journal.jsonl",
        "token_file": place.token_file,
        "ready_file": place.ready_file,
    }
    settings = {"salt": "contract-suite", "caller": "CN=gateway"} | {name: str(file) for name, file in files.items()}
    config = place.folder / "intermediate-server.yaml"
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return ["-m", "simulators.intermediate", "--config", str(config)]


def _envelope(kind: str, serial: int, **more: str) -> Envelope:
    items = {"integrated_atena_number": f"99{_FIRST_SERIAL + serial:012d}", **more}
    return Envelope(
        delivery_id=uuid.uuid4().hex, message_id=uuid.uuid4().hex, message_type=kind, party_key=None, attempt=1, resent=False,
        content=writing.write(kind, items).to_bytes(),
    )  # fmt: skip


def _registration(serial: int) -> Envelope:
    return _envelope("atena-number-registration", serial)


def _unknown(serial: int) -> Envelope:
    """A code for somebody who was never registered."""
    return _envelope("code-acquisition-request", 1_000_000 + serial)


SIMULATION = Simulation(
    adapter=IntermediateServerAdapter, peer="intermediate-server", command=_command, record=_registration, refused=_unknown
)
