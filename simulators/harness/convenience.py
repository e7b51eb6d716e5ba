"""A town for certificates at convenience stores: gateway with broker and ledger, issuing system, family register, centre. All on loopback.

The simulated systems run inside the process of the test by default, so that it can make them misbehave and die at will.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from certs.tls import client_context
from message_formats import writing
from simulators.convenience import family, issuing
from simulators.convenience.centre import Centre
from simulators.convenience.certificates import Paper
from simulators.convenience.family import FamilyRegister
from simulators.convenience.issuing import IssuingSystem
from simulators.convenience.service import (
    CentreSettings,
    IssuingSettings,
    QueueSettings,
    build_caller,
    build_centre,
    build_family,
    build_issuing,
)
from simulators.convenience.soap import Caller
from simulators.convenience.verdict import Pairing, judge
from simulators.convenience.world import Holder
from simulators.harness.processes import Child, free_ports
from simulators.harness.town import REGISTER, Plan, Town
from simulators.harness.town_config import TownFiles
from simulators.journal import read_entries
from simulators.register.inbox import make_key

TAX = "tax-system"
CENTRE = "certificate-centre"
ASKED = (issuing.SYSTEM, family.SYSTEM)


class _Files(TownFiles):
    """The configuration of such a town."""

    def __init__(self, town: ConvenienceTown) -> None:
        super().__init__(town.folder, town.plan, town.ports)
        self._town = town

    def configuration(self, ledger_url: str) -> dict[str, Any]:
        """See :class:`TownFiles`."""
        return self._town.configure(super().configuration(ledger_url))


class ConvenienceTown(Town):
    """Without a city CS."""

    def __init__(
        self, folder: Path, plan: Plan | None = None, *, inbound: Mapping[str, Any] | None = None, most_questions: int = 200
    ) -> None:
        """``inbound``: further keys of the centre's listener; ``most_questions``: left with the issuing system at once."""
        super().__init__(folder, plan)
        self.listener, self.centre_port = free_ports(2)
        self.inbound: dict[str, Any] = dict(inbound or {})
        self.most_questions = most_questions
        self.files = _Files(self)
        self.kiosks = self.folder / "kiosks.jsonl"
        self.issued = self.folder / "issuing.jsonl"

    def key_files(self, system: str) -> tuple[Path, Path]:
        """A system's key pair for what comes to it by queue."""
        return self.folder / f"{system}.jwk", self.folder / f"{system}.jwks"

    def set_up(self) -> None:
        """See :class:`Town`."""
        for system in ASKED:
            if not self.key_files(system)[1].exists():
                make_key(*self.key_files(system), kid=f"{system}-1")
        super().set_up()

    async def start(self, *, timeout_s: float = 90.0) -> None:
        """Start the gateway, and wait until it serves."""
        if not self.config.exists():
            await asyncio.to_thread(self.set_up)
        self.gateway().start()
        await self.gateway_ready(timeout_s)

    def configure(self, made: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a town, changed to this one's."""
        systems = made["intake"]["systems"]
        systems[REGISTER]["types"] += ["card-identifier-change", "certificate-data-change", "resident-protection-mark"]
        systems[TAX] = {"peer": TAX, "doors": ["https"], "types": ["tax-certificate-change"]}
        for system, kind in zip(ASKED, ("family-register-certificate-request", "family-register-certificate-data"), strict=True):
            systems[system] = {"peer": system, "doors": ["https", "amqp"], "types": [kind]}
        made["parties"] = {
            CENTRE: {
                "adapter": "convenience_store",
                "url": f"https://127.0.0.1:{self.centre_port}",
                "peer": CENTRE,
                "trust": "lgwan",
                "certificate": "gateway-lgwan",
                "signatures": {"certificate": "gateway-lgwan-signing", "partner": self.known(f"{CENTRE}-signing", of="gateway").stem},
                "inbound": {"port": self.listener, **self.inbound},
            },
            issuing.SYSTEM: self._asked("certificate_issuance", issuing.SYSTEM),
            family.SYSTEM: self._asked("family_register", family.SYSTEM),
        }
        return made

    def _asked(self, adapter: str, system: str) -> dict[str, Any]:
        queue = {
            "keys": str(self.key_files(system)[1]),
            "acknowledge_s": self.plan.acknowledge_s,
            "answer_s": self.plan.answer_s,
            "most_questions": self.most_questions,
        }
        return {"adapter": adapter, "queue": queue, "retry": dict(self.plan.retry)}

    def _client_context(self, system: str) -> ssl.SSLContext:
        own = self.files.identity(system)
        return client_context(own["certificate"], own["key"], own["ca"], own["crl"])

    # ---- the systems ---------------------------------------------------------------------------------------------------------------

    def settings_of(self, system: str, **others: Any) -> dict[str, Any]:
        """Settings of a system at its queues."""
        return {
            **self.files.identity(system),
            "url": f"https://127.0.0.1:{self.ports.https}",
            "broker_port": self.ports.broker_tls,
            "jwk": str(self.key_files(system)[0]),
            "salt_file": str(self.salt_file),
            "journal": str(self.issued if system == issuing.SYSTEM else self.folder / f"{system}.jsonl"),
            "ready_file": str(self.folder / f"{system}.ready"),
            **others,
        }

    def centre_settings(self, **others: Any) -> dict[str, Any]:
        """Settings of the centre."""
        return {
            **self.files.identity(CENTRE, network="lgwan-"),
            "signing_certificate": str(self.certificates / f"{CENTRE}-signing.pem"),
            "signing_key": str(self.certificates / f"{CENTRE}-signing.key"),
            "gateway_signing_certificate": str(self.known("gateway-lgwan-signing", of=CENTRE)),
            "url": f"https://127.0.0.1:{self.listener}",
            "server_name": "gateway-lgwan",
            "salt_file": str(self.salt_file),
            "journal": str(self.kiosks),
            "ready_file": str(self.folder / f"{CENTRE}.ready"),
            **others,
        }

    def process(self, command: str, settings: Mapping[str, Any]) -> Child:
        """One of the simulators as a process, not started: ``certificate-centre``, ``certificate-issuance`` or ``family-register``."""
        file = self.folder / f"{command}.yaml"
        file.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
        ready = Path(str(settings["ready_file"]))
        return self.processes.python(command, "simulators", command, "--config", str(file), ready_file=ready)

    def issuing_system(self, paper: Paper | None = None, **others: Any) -> IssuingSystem:
        """The issuing system, inside this process; start and stop it."""
        return build_issuing(IssuingSettings.model_validate(self.settings_of(issuing.SYSTEM, **others)), paper)

    def family_register(self) -> FamilyRegister:
        """The family register system, inside this process; start and stop it."""
        return build_family(QueueSettings.model_validate(self.settings_of(family.SYSTEM)))

    def caller(self) -> Caller:
        """How the centre calls."""
        return build_caller(CentreSettings.model_validate(self.centre_settings()))

    def centre(self, caller: Caller, **others: Any) -> Centre:
        """The centre with its kiosks, inside this process."""
        return build_centre(CentreSettings.model_validate(self.centre_settings(**others)), caller)

    # ---- what is handed in -------------------------------------------------------------------------------------------------------------

    async def hand_in(self, system: str, messages: Iterable[tuple[str, Mapping[str, str | None]]], *, at_once: int = 16) -> list[int]:
        """A system hands messages in by HTTPS; the status of each answer."""
        room = asyncio.Semaphore(at_once)
        connector = aiohttp.TCPConnector(ssl=self._client_context(system), limit=at_once)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:

            async def one(kind: str, items: Mapping[str, str | None]) -> int:
                head = {"ce-specversion": "1.0", "ce-id": str(uuid.uuid4()), "ce-source": f"/{system}", "ce-type": kind}
                head["Content-Type"] = "application/xml"
                body = writing.write(kind, items).to_bytes()
                url = f"https://127.0.0.1:{self.ports.https}/v1/messages"
                async with room, session.post(url, data=body, headers=head, server_hostname="gateway") as answer:
                    await answer.read()
                    return answer.status

            return await asyncio.gather(*(one(kind, items) for kind, items in messages))

    async def populate(self, holders: Sequence[Holder]) -> None:
        """Cards, certificate data and taxes of these people, handed in as the register and the tax system do."""
        assert set(await self.hand_in(REGISTER, [("certificate-data-change", each.data_change()) for each in holders])) <= {202}
        assert set(await self.hand_in(REGISTER, [("card-identifier-change", each.card_change()) for each in holders])) <= {202}
        assert set(await self.hand_in(TAX, [("tax-certificate-change", each.tax_change()) for each in holders])) <= {202}

    def pairing(self) -> Pairing:
        """The verdict over the kiosks' journal and the issuing system's."""
        return judge(read_entries(self.kiosks), read_entries(self.issued))
