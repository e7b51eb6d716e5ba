"""An adapter's simulator as a process: found by its test manifest, started, and misled through its control API."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from certs.authority import Profile, TestAuthority
from certs.peer import Authority
from certs.setup import LOOPBACK_DNS, LOOPBACK_IPS, ensure
from gateway.contract import Adapter, AdapterHost
from gateway.delivery.transport import Endpoint, PartyHttp
from gateway.errors import ConfigurationError
from gateway.security.soap.messages import MessageSecurity, open_security
from gateway.security.soap.replay import RecentAnswers
from gateway.testing.manifest import Place, Simulation

GROUP = "renkei.adapters"
OURS = "gateway"
STRANGER = "a-stranger"
"""Who the wrong certificate belongs to: issued by the same authority, for somebody else."""
START_S = 30.0


def find_simulations(points: Iterable[EntryPoint] | None = None) -> list[Simulation]:
    """The test manifests of all installed adapters (entry points of the group ``renkei.adapters``).

    :raises ConfigurationError: an adapter has none.
    """
    found = []
    for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda each: each.name):
        package = point.value.partition(":")[0]
        try:
            manifest = importlib.import_module(f"{package}.testing").SIMULATION
        except (ImportError, AttributeError) as error:
            raise ConfigurationError("no-test-manifest", f"adapter {point.name} has no {package}.testing.SIMULATION") from error
        if manifest is not None:  # a system of ours, reached by queue
            found.append(manifest)
    return found


class Simulator:
    """A running simulator."""

    def __init__(self, simulation: Simulation, place: Place, authority: TestAuthority) -> None:
        self.simulation = simulation
        self._place, self._authority = place, authority
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self._read = 0
        self._effects: dict[str, int] = {}
        self._replays = RecentAnswers()

    def start(self) -> None:
        """Start the process and wait until it serves.

        :raises RuntimeError: it ended or did not get ready; names its log.
        """
        log = self._place.folder / "simulator.log"
        with log.open("wb") as out:
            arguments = [sys.executable, *self.simulation.command(self._place)]
            self._process = subprocess.Popen(arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ})
        deadline = time.monotonic() + START_S
        while not self._place.ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the simulator did not get ready; see {log.name}: {log.read_text()[-500:]}")
            time.sleep(0.02)
        self._ports = json.loads(self._place.ready_file.read_text())

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def put(self, fault: Mapping[str, Any]) -> None:
        """Let the party misbehave from now on."""
        self._control("POST", "/_sim/faults", fault)

    def clear(self) -> None:
        """Let it behave again."""
        self._control("DELETE", "/_sim/faults")

    def knows(self, fault: str, *, signatures: bool) -> bool:
        """Whether this party's protocol has that fault; ``signatures``: it needs signed messages."""
        return fault not in self.simulation.lacks and (self.simulation.adapter.manifest.signatures or not signatures)

    def effects(self, delivery_id: str) -> int:
        """How often that delivery took effect, by the party's own journal."""
        self._follow()
        return sum(self._effects.get(f"{kind} {delivery_id}", 0) for kind in self.simulation.effects)

    def decided(self, delivery_id: str) -> int:
        """How often the party decided on that delivery, whatever it decided."""
        self._follow()
        return sum(count for what, count in self._effects.items() if what.endswith(f" {delivery_id}"))

    def _follow(self) -> None:
        while entries := self._control("GET", f"/_sim/journal?after={self._read}")["entries"]:
            self._read += len(entries)
            for entry in entries:
                what = f"{entry['kind']} {entry.get('delivery', '')}"
                self._effects[what] = self._effects.get(what, 0) + 1

    def adapter(self, made: type[Adapter] | None = None, **endpoint: Any) -> tuple[Adapter, PartyHttp]:
        """The adapter (or a variant of it) connected to this simulator by the gateway's own transport, with short times."""
        ours = self._authority.files(OURS)
        where = {"url": f"https://127.0.0.1:{self._ports['port']}", "peer": self.simulation.peer}
        limits: dict[str, Any] = {"connect_s": 0.5, "call_s": 0.8, "answer_bytes": 1 << 20}
        http_caller = PartyHttp.from_files(
            Endpoint(**{**where, **limits, **endpoint}),
            certificate=ours.certificate,
            key=ours.key,
            ca=self._authority.ca,
            crl=self._authority.crl,
        )
        settings = {setting.name: setting.default for setting in self.simulation.adapter.manifest.settings}
        host = AdapterHost(settings={**settings, **self.simulation.settings}, http=http_caller, signatures=self._signatures())
        return (made or self.simulation.adapter)(host), http_caller

    def _signatures(self) -> MessageSecurity | None:
        if not self.simulation.adapter.manifest.signatures:
            return None
        ours, theirs = self._authority.files(f"{OURS}-signing"), self._authority.files(f"{self.simulation.peer}-signing")
        return open_security(
            self.simulation.adapter.manifest.party,
            own=(ours.certificate, ours.key),
            partner=theirs.certificate,
            authority=Authority(self._authority.ca, self._authority.crl),
            replays=self._replays,
        )

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports["control_port"], timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self._place.token_file.read_text().strip()}", "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"the control API refused {method} {path}: {response.status} {answer[:200]!r}")
        return json.loads(answer)


@contextlib.contextmanager
def running(simulation: Simulation, folder: Path) -> Iterator[Simulator]:
    """The simulator while the block runs, with certificates of its own in ``folder``."""
    authority = ensure(folder / "certs")
    # anew: the test authority may know no such name, or know it as a client only (a new party; a system of ours that is called)
    theirs = authority.issue(simulation.peer, Profile.PEER, dns=LOOPBACK_DNS, ips=LOOPBACK_IPS)
    wrong = authority.issue(STRANGER, Profile.SERVER)
    signing = authority.issue(f"{simulation.peer}-signing", Profile.SIGNING)
    place = Place(
        folder=folder,
        certificate=theirs.certificate,
        key=theirs.key,
        wrong_certificate=wrong.certificate,
        wrong_key=wrong.key,
        ca=authority.ca,
        crl=authority.crl,
        signing_certificate=signing.certificate,
        signing_key=signing.key,
        caller_signing_certificate=authority.files(f"{OURS}-signing").certificate,
    )
    simulator = Simulator(simulation, place, authority)
    try:
        simulator.start()
        yield simulator
    finally:
        simulator.stop()
