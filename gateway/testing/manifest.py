"""What the author of an adapter says of its simulator: the *test manifest*, attribute ``SIMULATION`` of the module ``testing`` in the
adapter's package. This module imports the contract alone, so that an adapter may import it. The simulator is any program that

- listens with mutual TLS, showing the certificate that it is given and, on the fault ``wrong-certificate``, the other one;
- writes ``{"port": …, "control_port": …}`` into the ready file when it serves;
- has a control API on loopback: ``POST /_sim/faults`` (a fault as JSON), ``DELETE /_sim/faults``, ``GET /_sim/journal?after=N`` with what
  took effect (``kind`` *effect*, or what the test manifest says; ``delivery``), with the bearer token from its token file.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.contract import Adapter, Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a simulator finds and puts its files."""

    folder: Path
    certificate: Path
    key: Path
    wrong_certificate: Path
    wrong_key: Path
    ca: Path
    crl: Path
    signing_certificate: Path
    signing_key: Path
    caller_signing_certificate: Path
    """The gateway's: for parties whose messages are signed."""

    @property
    def ready_file(self) -> Path:
        """Written by the simulator when it serves."""
        return self.folder / "ready.json"

    @property
    def token_file(self) -> Path:
        """Written by the simulator: the bearer token of its control API."""
        return self.folder / "token"

    def settings(self, *, signed: bool = False) -> dict[str, Path]:
        """The files by the names of the simulators' settings; with ``signed`` also those of signed messages."""
        files = {
            "certificate": self.certificate,
            "key": self.key,
            "wrong_certificate": self.wrong_certificate,
            "wrong_key": self.wrong_key,
            "ca": self.ca,
            "crl": self.crl,
            "journal": self.folder / "journal.jsonl",
            "token_file": self.token_file,
            "ready_file": self.ready_file,
        }
        if signed:
            files["signing_certificate"] = self.signing_certificate
            files["signing_key"] = self.signing_key
            files["caller_signing_certificate"] = self.caller_signing_certificate
        return files

    def flags(self, *, signed: bool = False) -> list[str]:
        """The same as arguments of a command line."""
        return [word for name, file in self.settings(signed=signed).items() for word in (f"--{name.replace('_', '-')}", str(file))]


def first_attempt(message_type: str, content: bytes, *, party_key: str | None = None) -> Envelope:
    """A record of a delivery of its own, sent for the first time."""
    return Envelope(
        delivery_id=uuid.uuid4().hex,
        message_id=uuid.uuid4().hex,
        message_type=message_type,
        party_key=party_key,
        attempt=1,
        resent=False,
        content=content,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The test manifest of an adapter. All records are fictitious."""

    adapter: type[Adapter]
    peer: str
    """Name in the party's certificate."""
    command: Callable[[Place], Sequence[str]]
    """Arguments after the Python interpreter that start the simulator."""
    record: Callable[[int], Envelope]
    """A record which the party accepts, independent of all others; by serial number."""
    refused: Callable[[int], Envelope]
    """A record which the party refuses by its own rules."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    effects: frozenset[str] = frozenset({"effect"})
    """``kind`` of the journal's entries that say that a delivery took effect."""
    lacks: frozenset[str] = frozenset()
    """Faults of the suite that this party's protocol does not know."""
