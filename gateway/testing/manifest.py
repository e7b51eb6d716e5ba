"""What the author of an adapter says of its simulator: the *test manifest*, attribute ``SIMULATION`` of the module ``testing`` in the
adapter's package. This module imports the contract alone, so that an adapter may import it. The simulator is any program that

- listens with mutual TLS, showing the certificate that it is given and, on the fault ``wrong-certificate``, the other one;
- writes ``{"port": …, "control_port": …}`` into the ready file when it serves;
- has a control API on loopback: ``POST /_sim/faults`` (a fault as JSON), ``DELETE /_sim/faults``, ``GET /_sim/journal?after=N`` with what
  took effect (``kind`` *effect*, or what the test manifest says; ``delivery``), with the bearer token from its token file.
"""

from __future__ import annotations

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
