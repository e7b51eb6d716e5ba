"""A town with everybody in it: besides the parties outside, our own systems that hand messages in themselves, and the kiosks' centre.

Our systems and the centre run where the caller wants them, with the settings that are made here (:mod:`simulators.replay.house`); the rest
are processes.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from certs.authority import IN_HOUSE, Profile, TestAuthority
from certs.tls import client_context
from message_formats import samples
from simulators.convenience import family, issuing
from simulators.convenience.service import CentreSettings, IssuingSettings, QueueSettings
from simulators.harness.processes import Child, free_ports
from simulators.harness.town import Plan, Town
from simulators.harness.town_config import Ports, TownFiles
from simulators.register.service import RegisterSettings

CENTRE = "certificate-centre"
SOURCES = "administrative-column-sources"
DEPARTMENTS = "city-departments"
"""Who hands in for them, and permits all items."""
ASKED: Mapping[str, str] = {
    issuing.SYSTEM: "family-register-certificate-request",
    family.SYSTEM: "family-register-certificate-data",
}
"""Who answers questions by queue, and what each hands in there itself."""
MOST_QUESTIONS = 200


class _Files(TownFiles):
    """The configuration of such a town."""

    def __init__(self, town: WholeTown) -> None:
        super().__init__(town.folder, town.plan, town.ports)
        self._town = town

    def configuration(self, ledger_url: str) -> dict[str, Any]:
        """See :class:`TownFiles`."""
        return self._town.configure(super().configuration(ledger_url))


class WholeTown(Town):
    """See the module's text. Its :meth:`start` starts no office."""

    def __init__(
        self, folder: Path, plan: Plan, *, senders: Mapping[str, Iterable[str]], kiosks: bool = True, outlive: bool = False
    ) -> None:
        """``senders``: what each of our systems hands in besides the register, by type."""
        super().__init__(folder, plan, outlive=outlive)
        self.senders = {system: tuple(types) for system, types in senders.items()}
        self.kiosks = kiosks
        self.listener, self.centre_port = free_ports(2)
        self.files = _Files(self)
        self.kiosk_journal = self.folder / "kiosks.jsonl"

    def use_ports(self, ports: Ports, *, listener: int, centre: int) -> None:
        """Those of another time, before anything is started."""
        self.ports, self.listener, self.centre_port = ports, listener, centre
        self.files = _Files(self)

    def set_up(self) -> None:
        """See :class:`Town`."""
        super().set_up()
        authority = TestAuthority(self.certificates, IN_HOUSE)
        for system in (*self.senders, DEPARTMENTS):
            if not authority.files(system).certificate.exists():
                authority.issue(system, Profile.CLIENT)

    async def open_office(self, timeout_s: float) -> None:
        """Our systems run where the caller wants them."""

    def configure(self, made: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a town, changed to this one's."""
        systems = made["intake"]["systems"]
        for system, types in self.senders.items():
            # who has a queue acknowledges as itself, by the door of the queues
            systems[system] = {"peer": system, "doors": ["https", "amqp"] if system in made["parties"] else ["https"], "types": list(types)}
        if SOURCES in self.senders:
            items = sorted({name.partition("/")[0] for name in samples.items("administrative-column-update")})
            systems[SOURCES]["suppliers"] = {DEPARTMENTS: {"peer": DEPARTMENTS, "items": items}}
        if self.kiosks:
            for system, kind in ASKED.items():
                known = systems.get(system, {"peer": system, "types": []})
                systems[system] = {**known, "doors": ["https", "amqp"], "types": [*known["types"], kind]}
                made["parties"][system]["queue"] |= {"answer_s": self.plan.answer_s, "most_questions": MOST_QUESTIONS}
            made["parties"][CENTRE] = {
                "adapter": "convenience_store",
                "url": f"https://127.0.0.1:{self.centre_port}",
                "peer": CENTRE,
                "trust": "lgwan",
                "certificate": "gateway-lgwan",
                "signatures": {"certificate": "gateway-lgwan-signing", "partner": self.known(f"{CENTRE}-signing", of="gateway").stem},
                "inbound": {"port": self.listener},
            }
        return made

    # ---- settings of what runs where the caller wants it -----------------------------------------------------------------------------

    def journal_of_system(self, system: str) -> Path:
        """The journal of one of our systems."""
        (self.folder / "systems").mkdir(exist_ok=True)
        return self.folder / "systems" / f"{system}.jsonl"

    def record_of(self, system: str) -> Path:
        """What one of our systems handed in, and what it was told."""
        return self.folder / "systems" / f"{system}.sent.jsonl"

    def sender_settings(self, system: str) -> RegisterSettings:
        """Of a system's HTTPS door."""
        own: dict[str, Any] = self.files.identity(DEPARTMENTS if system == SOURCES else system)
        url, record = f"https://127.0.0.1:{self.ports.https}", self.record_of(system)
        return RegisterSettings(system=system, url=url, record=record, salt_file=self.salt_file, **own)

    def context_of(self, system: str) -> ssl.SSLContext:
        """Of a system as client."""
        own = self.files.identity(system)
        return client_context(own["certificate"], own["key"], own["ca"], own["crl"])

    def _queue_settings(self, system: str) -> dict[str, Any]:
        return {
            **self.files.identity(system),
            "url": f"https://127.0.0.1:{self.ports.https}",
            "broker_port": self.ports.broker_tls,
            "jwk": str(self.files.keys_of(system)[0]),
            "salt_file": str(self.salt_file),
            "journal": str(self.journal_of_system(system)),
        }

    def issuing_settings(self) -> IssuingSettings:
        """Of the certificate issuance system."""
        return IssuingSettings.model_validate(self._queue_settings(issuing.SYSTEM))

    def family_settings(self) -> QueueSettings:
        """Of the family register system."""
        return QueueSettings.model_validate(self._queue_settings(family.SYSTEM))

    def centre_settings(self, *, deadline_s: float) -> CentreSettings:
        """Of the issuance centre with its kiosks."""
        return CentreSettings.model_validate(
            {
                **self.files.identity(CENTRE, network="lgwan-"),
                "signing_certificate": str(self.certificates / f"{CENTRE}-signing.pem"),
                "signing_key": str(self.certificates / f"{CENTRE}-signing.key"),
                "gateway_signing_certificate": str(self.known("gateway-lgwan-signing", of=CENTRE)),
                "url": f"https://127.0.0.1:{self.listener}",
                "server_name": "gateway-lgwan",
                "salt_file": str(self.salt_file),
                "journal": str(self.kiosk_journal),
                "deadline_s": deadline_s,
            }
        )

    def office_of(self, systems: Sequence[str]) -> Child:
        """A process in which these of our systems wait at their queues."""
        child = self.office()
        file = self.folder / f"{child.name}.yaml"
        settings = yaml.safe_load(file.read_text())
        settings["accounts"] = [each for each in settings["accounts"] if each["system"] in systems]
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return child

    def after(self) -> Child:
        """A process that takes what comes to all our queues, for a town that goes on without who started it. Its books are new ones."""
        child = self.register_queue()
        file = self.folder / f"{child.name}.yaml"
        settings = yaml.safe_load(file.read_text())
        (self.folder / "after").mkdir(exist_ok=True)
        settings["accounts"] += self.files.office(self.folder / "unused", "office")["accounts"]
        settings["journals"] = str(self.folder / "after")
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return child


__all__ = ["ASKED", "CENTRE", "SOURCES", "WholeTown"]
