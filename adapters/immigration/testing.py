"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All residents are fictitious."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from adapters.immigration.adapter import ADDRESS_NOTICE, PARTY, ImmigrationAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation
from message_formats import samples, writing

_FIRST_SERIAL = 7_100_000


def _command(place: Place) -> Sequence[str]:
    files = {
        "--certificate": place.certificate,
        "--key": place.key,
        "--wrong-certificate": place.wrong_certificate,
        "--wrong-key": place.wrong_key,
        "--ca": place.ca,
        "--crl": place.crl,
        "--journal": place.folder / "journal.jsonl",
        "--token-file": place.token_file,
        "--ready-file": place.ready_file,
    }
    return ["-m", "simulators.immigration", "--salt", "contract-suite", *(str(each) for pair in files.items() for each in pair)]


def _envelope(serial: int, **changes: str) -> Envelope:
    items = {**samples.items(ADDRESS_NOTICE, _FIRST_SERIAL + serial), **changes}
    return Envelope(
        delivery_id=uuid.uuid4().hex,
        message_id=uuid.uuid4().hex,
        message_type=ADDRESS_NOTICE,
        party_key=None,
        attempt=1,
        resent=False,
        content=writing.write(ADDRESS_NOTICE, items).to_bytes(),
    )


def _of_a_day_to_come(serial: int) -> Envelope:
    return _envelope(serial, **{"address_change/changed_on": "29991231"})


SIMULATION = Simulation(adapter=ImmigrationAdapter, peer=PARTY, command=_command, record=_envelope, refused=_of_a_day_to_come)
