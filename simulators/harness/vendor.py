"""A town for tests of a register's vendor, without asyncio: hand something in, see what the parties have, let them misbehave.

Used through :mod:`simulators.pytest_plugin`. The gateway runs as processes, as in production, and the vendor's register speaks to its doors
over the network by itself; :class:`VendorTown` says where they are and lends it certificates. All data is fictitious.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certs.tls import client_context
from simulators.errors import SimulatorError
from simulators.harness.town import REGISTER, Plan, Town
from simulators.journal import read_entries

TOOK_EFFECT = ("effect", "taken", "passed-on")
"""Kinds of entries of a party's journal that say so."""
WAIT_S = 30.0
_STEP_S = 0.05


class DoorSaid(SimulatorError):
    """The gateway refused what was handed in. ``answer``: its problem document (RFC 9457)."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer.get("code", status)), str(answer.get("detail", "")))
        self.status, self.answer = status, answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where a register hands in, and by which certificates it is known there.

    :ivar url: of the HTTPS door; ``system``: the name under which it is known.
    :ivar broker: host and port of the AMQP door (TLS, SASL EXTERNAL, virtual host ``renkei``).
    """

    url: str
    system: str
    broker: tuple[str, int]
    certificate: Path
    key: Path
    ca: Path
    crl: Path

    def context(self) -> ssl.SSLContext:
        """For clients that take one."""
        return client_context(self.certificate, self.key, self.ca, self.crl)


class SimulatedParty:
    """One simulated party: what it has, and how it fails."""

    def __init__(self, town: Town, name: str) -> None:
        self._town, self.name = town, name

    def faults(self, kind: str, **more: Any) -> None:
        """Let it misbehave from now on, as ``/_sim/faults`` takes it: ``faults("refuse", code="E203", times=1)``.

        :raises SimulatorError: there is no such fault.
        """
        self._control("POST", "/_sim/faults", {"kind": kind, **more})

    def well(self) -> None:
        """Let it behave again."""
        self._control("DELETE", "/_sim/faults")

    def state(self) -> dict[str, Any]:
        """Counts and settings; no personal data."""
        found: dict[str, Any] = self._control("GET", "/_sim/state")
        return found

    def received(self) -> list[dict[str, Any]]:
        """The last calls as they came in, with what was made of them."""
        found: list[dict[str, Any]] = self._control("GET", "/_sim/received")["received"]
        return found

    def emit(self, **what: Any) -> dict[str, Any]:
        """Something that it does of its own accord (``do="allocate"``, …)."""
        found: dict[str, Any] = self._control("POST", "/_sim/emit", what)
        return found

    def journal(self) -> list[dict[str, Any]]:
        """What it noted, in order; residents by keyed reference (:meth:`VendorTown.reference`)."""
        file = self._town.journal_of(self.name)
        return list(read_entries(file)) if file.exists() else []

    def effects(self, resident_record_code: str) -> list[dict[str, Any]]:
        """What took effect about somebody, in order."""
        reference = _reference(self._town, resident_record_code)
        return [each for each in self.journal() if each["kind"] in TOOK_EFFECT and each.get("resident") == reference]

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        url, token = self._town.control(self.name)
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            problem = json.loads(text)
            raise SimulatorError(problem["code"], problem["detail"])
        return json.loads(text)


class VendorTown:
    """A gateway with its broker and the parties that were chosen, as processes."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._town = Town(folder, plan)
        self.parties = {name: SimulatedParty(self._town, name) for name in plan.parties}

    def start(self) -> None:
        """Start everything; a few seconds.

        :raises ProcessFailed: something did not get ready; names its log.
        """
        asyncio.run(self._town.start())

    def stop(self) -> None:
        """End everything."""
        asyncio.run(self._town.stop())

    @property
    def folder(self) -> Path:
        """Of logs, journals, ledger and certificates."""
        return self._town.folder

    @property
    def doors(self) -> Doors:
        """For the vendor's own register."""
        own = {name: Path(value) for name, value in self._town.files.identity(REGISTER).items()}
        ports = self._town.ports
        return Doors(url=f"https://localhost:{ports.https}", system=REGISTER, broker=("localhost", ports.broker_tls), **own)

    def party(self, name: str) -> SimulatedParty:
        """One of the parties; KeyError if it is not in this town."""
        return self.parties[name]

    def reference(self, resident_record_code: str) -> str:
        """How a journal names somebody."""
        return _reference(self._town, resident_record_code)

    def submit(self, message_type: str, xml: bytes, *, message_id: str | None = None, **attributes: str) -> str:
        """Hand one message in by HTTPS; its id. ``attributes``: further ones of the CloudEvents binding, such as ``municipality``.

        :raises DoorSaid: the gateway refused it.
        """
        name = message_id or str(uuid.uuid4())
        given = {"specversion": "1.0", "id": name, "source": f"urn:renkei:system:{REGISTER}", "type": message_type, **attributes}
        status, answer = self._call("POST", "/v1/messages", xml, {f"ce-{key}": value for key, value in given.items()})
        if status != 202:
            raise DoorSaid(status, answer)
        return name

    def status(self, message_id: str) -> dict[str, Any]:
        """What the gateway says of a message."""
        status, answer = self._call("GET", f"/v1/messages/{message_id}")
        if status != 200:
            raise DoorSaid(status, answer)
        found: dict[str, Any] = answer
        return found

    def until(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait until something is so.

        :raises TimeoutError: it did not come to be.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {timeout_s:g} s; see {self.folder / 'log'}")
            time.sleep(_STEP_S)

    def until_delivered(self, message_id: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Wait until a message has arrived everywhere; what the gateway says of it then.

        :raises SimulatorError: ``not-delivered``: it will not arrive before somebody does something about it.
        :raises TimeoutError: it has not arrived.
        """

        def arrived() -> bool:
            found = self.status(message_id)["deliveries"]
            for each in found:
                if each["state"] in ("held", "rejected", "skipped", "expired"):
                    raise SimulatorError(
                        "not-delivered", f"{each['party']}: {each['state']} ({each.get('outcome_code') or each.get('reason')})"
                    )
            return all(each["state"] == "delivered" for each in found)

        self.until(arrived, timeout_s)
        return self.status(message_id)

    def _call(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPSConnection("localhost", self._town.ports.https, timeout=30, context=self.doors.context())
        try:
            connection.request(method, path, body, {"Content-Type": "application/xml", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def _reference(town: Town, resident_record_code: str) -> str:
    from simulators.references import References

    return References(town.salt_file.read_text()).of(resident_record_code)
