"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All residents are fictitious."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from adapters.juki_cs.adapter import UPDATE, JukiCsAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation
from message_formats import samples, writing

_FIRST_SERIAL = 7_000_000


def _command(place: Place) -> Sequence[str]:
    files = {
        "--certificate": place.certificate,
        "--key": place.key,
        "--wrong-certificate": place.wrong_certificate,
        "--wrong-key": place.wrong_key,
        "--ca": place.ca,
        "--crl": place.crl,
        "--signing-certificate": place.signing_certificate,
        "--signing-key": place.signing_key,
        "--caller-signing-certificate": place.caller_signing_certificate,
        "--journal": place.folder / "journal.jsonl",
        "--token-file": place.token_file,
        "--ready-file": place.ready_file,
    }
    return ["-m", "simulators.juki_cs", "--salt", "contract-suite", *(str(each) for pair in files.items() for each in pair)]


def _envelope(serial: int, **changes: str) -> Envelope:
    key = f"C{uuid.uuid4().hex[:19]}"
    items = samples.identity_items(_FIRST_SERIAL + serial, request_control_number=key, **changes)
    return Envelope(
        delivery_id=uuid.uuid4().hex,
        message_id=uuid.uuid4().hex,
        message_type=UPDATE,
        party_key=key,
        attempt=1,
        resent=False,
        content=writing.write(UPDATE, items).to_bytes(),
    )


def _gap(serial: int) -> Envelope:
    return _envelope(serial, update_sequence_number="5")


SIMULATION = Simulation(adapter=JukiCsAdapter, peer="city-cs", command=_command, record=_envelope, refused=_gap)
