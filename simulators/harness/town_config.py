"""What a town is made of: its plan, its ports, the settings of its simulated parties, and the configuration of its gateway."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from message_formats import profiles
from simulators.harness.processes import free_ports

LedgerKind = Literal["sqlite", "postgresql"]
REGISTER = "resident-record-system"
CITY_CS = "city-cs"
INTERMEDIATE = "intermediate-server"
IMMIGRATION = "residence-card-issuance-system"
APPLICATIONS = "application-management-system"
MUNICIPALITY = "272035"
"""Ours, as the portal knows it."""
PROFILES = {
    CITY_CS: "juki_cs",
    "prefecture-server": "prefecture_server",
    "card-management-system": "card_management",
    INTERMEDIATE: "intermediate_server",
}
"""The profile, which is also the adapter, of each party that a town can have."""
SYSTEMS: Mapping[str, str] = {
    "internal-link-system": "internal_link",
    "certificate-issuance-system": "certificate_issuance",
    "family-register-system": "family_register",
    "atena-system": "atena",
    "tax-system": "tax",
    "education-board-system": "education_board",
    "business-systems": "business_systems",
}
"""The adapter of each of our own systems that a town can have at its queue."""
MODULES: Mapping[str, tuple[str, ...]] = {
    CITY_CS: ("simulators.juki_cs",),
    "prefecture-server": ("simulators.world", "prefecture-server"),
    "card-management-system": ("simulators.world", "card-management"),
    INTERMEDIATE: ("simulators.intermediate",),
}
"""How each is started in a process of its own."""
MAILBOXES: Mapping[str, tuple[str, ...]] = {IMMIGRATION: ("simulators.immigration",), APPLICATIONS: ("simulators.applications",)}
"""Parties whose messages wait to be fetched, on the LGWAN, and how each is started."""


_HANDED_IN = {IMMIGRATION: "residence-address-notice", APPLICATIONS: "number-linkage-feed"}
"""What the register hands in for each of them."""


def network_of(party: str) -> str:
    """By which network a party is reached."""
    return "lgwan" if party == INTERMEDIATE else "juki-net"


def signer_of(party: str) -> str:
    """With which of its certificates the gateway signs for a party."""
    return "gateway-lgwan-signing" if party == INTERMEDIATE else "gateway-signing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What kind of town. Times in seconds."""

    ledger: LedgerKind = "sqlite"
    workers: int = 1
    population: int = 400_000
    city_seed: int = 1
    calls: int = 16
    records_per_call: int = 1
    call_s: float = 10.0
    retry: Mapping[str, Any] = field(default_factory=lambda: {"first_s": 0.5, "longest_s": 5.0, "budget": 12})
    share: int = 20
    command: tuple[str, ...] = (sys.executable, "-m", "gateway")
    """How the ``renkei`` command is run; a harness may put a wrapper in between (a planted bug, say)."""
    parties: tuple[str, ...] = (CITY_CS,)
    """Of :data:`PROFILES`. Several run in one process, the *world*, in which they reach one another."""
    alone: tuple[str, ...] = ()
    """Parties that run in a process of their own all the same, so that they can be killed; no other party reaches them then."""
    legs: Mapping[str, Literal["gateway", "city-cs"]] = field(default_factory=dict)
    """Who carries what is for the prefecture server and the card management system."""
    systems: tuple[str, ...] = ()
    """Of :data:`SYSTEMS`: our own systems, all in one process, the *office*."""
    profile: Literal["production", "test"] = "production"
    """Whether the business clock can be shifted; the operators may do it then."""
    mailboxes: tuple[str, ...] = ()
    """Of :data:`MAILBOXES`, each in a process of its own; they need ``inbound``."""
    fetch_at: Mapping[str, str] = field(default_factory=lambda: {IMMIGRATION: "06:00", APPLICATIONS: "*:05"})
    more_parties: Mapping[str, Any] = field(default_factory=dict)
    """Further parties of the gateway, as its configuration has them."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """Further sections of the gateway's configuration: profile, feeds, links."""
    types: tuple[str, ...] = ()
    """Further message types that the register hands in."""
    simulator: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the city CS."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further settings of simulated parties, by party."""
    inbound: bool = False
    """Whether parties send notices of their own accord, and the register has them by queue (with ``Town.inbox``)."""
    acknowledge_s: float = 5.0
    answer_s: float = 10.0
    signatures: bool = True
    """Whether messages to and from the parties are signed."""
    disk_reserve_bytes: int = 64 << 20
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the gateway's processes, besides ours."""

    @property
    def together(self) -> tuple[str, ...]:
        """The parties that run in one process; none, if only one would."""
        found = tuple(party for party in self.parties if party not in self.alone)
        return found if len(found) > 1 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyPorts:
    """Of one simulated party: its listener, its control API, and the gateway's listener for it."""

    party: int
    control: int
    inbound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All on loopback."""

    broker: int
    broker_tls: int
    https: int
    admin: int
    metrics: int
    parties: Mapping[str, PartyPorts]

    @property
    def city_cs(self) -> int:
        """Of the city CS."""
        return self.parties[CITY_CS].party

    @property
    def control(self) -> int:
        """Of its control API."""
        return self.parties[CITY_CS].control

    @property
    def inbound(self) -> int:
        """Of the gateway's listener for it."""
        return self.parties[CITY_CS].inbound


def find_ports(plan: Plan) -> Ports:
    """Ports that nobody listens on now."""
    # each worker shows its metrics on a port above the gateway's
    parties = (*plan.parties, *plan.mailboxes)
    broker, broker_tls, https, admin, metrics, *rest = free_ports(5 + 3 * len(parties), room=plan.workers)
    found = {
        party: PartyPorts(party=rest[3 * place], control=rest[3 * place + 1], inbound=rest[3 * place + 2])
        for place, party in enumerate(parties)
    }
    return Ports(broker=broker, broker_tls=broker_tls, https=https, admin=admin, metrics=metrics, parties=found)


class TownFiles:
    """Settings and configuration of one town, as what will be written."""

    def __init__(self, folder: Path, plan: Plan, ports: Ports) -> None:
        self.folder, self.plan, self.ports = folder, plan, ports
        self.var = folder / "var"
        self.certificates = self.var / "certs"

    @property
    def inbox_keys(self) -> tuple[Path, Path]:
        """The register's key pair for what comes to it by queue: private JWK, public JWK set."""
        return self.folder / "register.jwk", self.folder / "register.jwks"

    def journal(self, party: str) -> Path:
        """Of a simulated party."""
        return self.folder / f"{party}.jsonl"

    def identity(self, name: str, network: str = "") -> dict[str, str]:
        """Certificate, key and authority of somebody."""
        return {
            "certificate": str(self.certificates / f"{name}.pem"),
            "key": str(self.certificates / f"{name}.key"),
            "ca": str(self.certificates / f"{network}ca.pem"),
            "crl": str(self.certificates / f"{network}ca.crl"),
        }

    # ---- simulated parties -----------------------------------------------------------------------------------------------------

    def party(self, party: str, ready: Path | None) -> dict[str, Any]:
        """Settings of a simulated party."""
        plan, ports = self.plan, self.ports.parties[party]
        people = {} if party in ("card-management-system", INTERMEDIATE) else {"population": plan.population, "city_seed": plan.city_seed}
        return {
            "port": ports.party,
            "control_port": ports.control,
            "token_file": str(self.folder / f"{party}.token"),
            **self.identity(party, network=f"{network_of(party)}-"),
            **(self._wrong(party) if network_of(party) == "juki-net" else {}),
            "caller": f"CN=gateway-{network_of(party)}",
            **(self._signing(party) if plan.signatures else {}),
            **({"gateway_url": f"https://127.0.0.1:{ports.inbound}"} if plan.inbound else {}),
            "journal": str(self.journal(party)),
            "salt_file": str(self.folder / "salt"),
            **people,
            **({"ready_file": str(ready)} if ready is not None else {}),
            **({"carries": [leg for leg, who in plan.legs.items() if who == CITY_CS], **plan.simulator} if party == CITY_CS else {}),
            **plan.settings.get(party, {}),
        }

    def mailbox(self, party: str, ready: Path) -> dict[str, Any]:
        """Settings of a simulated party with a mailbox."""
        ports = self.ports.parties[party]
        return {
            "port": ports.party,
            "control_port": ports.control,
            "token_file": str(self.folder / f"{party}.token"),
            **self.identity(party, network="lgwan-"),
            "caller": "CN=gateway-lgwan",
            "journal": str(self.journal(party)),
            "salt_file": str(self.folder / "salt"),
            "ready_file": str(ready),
            **({"municipality": MUNICIPALITY, "applicants": str(self.certificates)} if party == APPLICATIONS else {}),
            **self.plan.settings.get(party, {}),
        }

    def world(self, parties: tuple[str, ...], ready: Path) -> dict[str, Any]:
        """Settings of several parties in one process."""
        return {**{party.replace("-", "_"): self.party(party, None) for party in parties}, "ready_file": str(ready)}

    def _wrong(self, party: str) -> dict[str, str]:
        """Somebody else of the same authority, whose certificate the fault ``wrong-certificate`` shows."""
        another = "prefecture-server" if party == CITY_CS else CITY_CS
        return {"wrong_certificate": str(self.certificates / f"{another}.pem"), "wrong_key": str(self.certificates / f"{another}.key")}

    def _signing(self, party: str) -> dict[str, str]:
        return {
            "signing_certificate": str(self.certificates / f"{party}-signing.pem"),
            "signing_key": str(self.certificates / f"{party}-signing.key"),
            "caller_signing_certificate": str(self.known(signer_of(party), of=party)),
        }

    def known(self, name: str, *, of: str) -> Path:
        """The copy of somebody's certificate that the other side ``of`` has: each may learn of a new one before it is used."""
        copy = self.certificates / f"{name}-known-to-{of}.pem"
        source = self.certificates / f"{name}.pem"
        if not copy.exists() or copy.stat().st_mtime < source.stat().st_mtime:
            copy.write_bytes(source.read_bytes())
        return copy

    # ---- our own systems -----------------------------------------------------------------------------------------------------------

    def keys_of(self, system: str) -> tuple[Path, Path]:
        """A system's key pair for what comes to it by queue: private JWK, public JWK set."""
        return self.folder / f"{system}.jwk", self.folder / f"{system}.jwks"

    def office(self, ready: Path, name: str = "office") -> dict[str, Any]:
        """Settings of all our systems in one process; ``name`` of the register: of its queue alone."""
        identity = self.identity(REGISTER)
        return {
            "accounts": [
                {
                    "account": system,
                    "system": system,
                    "channel": "queue",
                    "own_keys": [str(self.inbox_keys[0] if system == REGISTER else self.keys_of(system)[0])],
                    **{name: self.identity(system)[name] for name in ("certificate", "key")},
                }
                for system in ((REGISTER,) if name == REGISTER else self.plan.systems)
            ],
            "ca": identity["ca"],
            "crl": identity["crl"],
            "broker_port": self.ports.broker_tls,
            "intake_url": f"https://127.0.0.1:{self.ports.https}",
            "journals": str(self.folder / "systems"),
            "salt_file": str(self.folder / "salt"),
            "token_file": str(self.folder / f"{name}.token"),
            "ready_file": str(ready),
        }

    def _system(self, system: str) -> dict[str, Any]:
        queue = {"keys": str(self.keys_of(system)[1]), "acknowledge_s": self.plan.acknowledge_s}
        return {"adapter": SYSTEMS[system], "queue": queue, "retry": dict(self.plan.retry)}

    # ---- the gateway -----------------------------------------------------------------------------------------------------------

    def _party_of_gateway(self, party: str) -> dict[str, Any]:
        plan, ports = self.plan, self.ports.parties[party]
        calls_us = any(operation.inbound for operation in profiles.get(PROFILES[party]).operations)
        return {
            "adapter": PROFILES[party],
            "url": f"https://127.0.0.1:{ports.party}",
            "peer": party,
            "trust": network_of(party),
            "certificate": f"gateway-{network_of(party)}",
            **(
                {"signatures": {"certificate": signer_of(party), "partner": self.known(f"{party}-signing", of="gateway").stem}}
                if plan.signatures
                else {}
            ),
            "limits": {"calls": plan.calls, "records_per_call": plan.records_per_call, "call_s": plan.call_s},
            "retry": dict(plan.retry),
            **({"inbound": {"port": ports.inbound}} if plan.inbound and calls_us else {}),
        }

    def _mailbox_of_gateway(self, party: str) -> dict[str, Any]:
        plan = self.plan
        fetch = {"at": plan.fetch_at[party], "again_s": 0.5}
        portal = {
            "adapter": "application_management",
            "settings": {"municipality": MUNICIPALITY},
            "fetch": {**fetch, "applicants": "applicants", "procedures": {"MOVE-OUT": REGISTER}},
        }
        return {
            "url": f"https://127.0.0.1:{self.ports.parties[party].party}",
            "peer": party,
            "trust": "lgwan",
            "certificate": "gateway-lgwan",
            "retry": dict(plan.retry),
            **(portal if party == APPLICATIONS else {"adapter": "immigration", "fetch": fetch}),
        }

    def _consumer(self) -> dict[str, Any]:
        plan = self.plan
        queue = {"keys": str(self.inbox_keys[1]), "acknowledge_s": plan.acknowledge_s, "answer_s": plan.answer_s}
        return {"adapter": "core_register", "queue": queue, "retry": dict(plan.retry)}

    def configuration(self, ledger_url: str) -> dict[str, Any]:
        """What config.yaml of the gateway says."""
        plan, ports = self.plan, self.ports
        types = dict.fromkeys(["identity-information-update", *(["resident-protection-mark"] if plan.inbound else []), *plan.types])
        types |= {_HANDED_IN[party]: None for party in plan.mailboxes}
        return {
            "instance": "renkei-demo",
            "profile": plan.profile,
            "data_dir": str(self.var),
            "ledger": {"url": ledger_url},
            "broker": {
                "mode": "embedded",
                "embedded": {
                    "port": ports.broker,
                    "disk_free_bytes": 64_000_000,
                    "listener": {"host": "127.0.0.1", "port": ports.broker_tls},
                },
            },
            "certificates": {
                "trust": {
                    name: {"ca": str(self.certificates / f"{name}-ca.pem"), "crl": str(self.certificates / f"{name}-ca.crl")}
                    for name in ("juki-net", "lgwan", "applicants")
                }
            },
            "intake": {
                "https": {"port": ports.https},
                "limits": {"disk_reserve_bytes": plan.disk_reserve_bytes},
                "systems": {REGISTER: {"peer": REGISTER, "doors": ["https", "amqp", "file"], "types": list(types)}},
            },
            "parties": {
                **{party: self._party_of_gateway(party) for party in plan.parties},
                **{party: self._mailbox_of_gateway(party) for party in plan.mailboxes},
                **plan.more_parties,
                **({REGISTER: self._consumer()} if plan.inbound else {}),
                **{system: self._system(system) for system in plan.systems},
            },
            **plan.further,
            **({"legs": dict(plan.legs)} if plan.legs else {}),
            "workers": {"processes": plan.workers, "share": plan.share},
            "admin": {
                "port": ports.admin,
                "operators": {
                    name: {"roles": ["viewer", "operator", "approver", *(["administrator"] if plan.profile == "test" else [])]}
                    for name in ("operator-a", "operator-b")
                },
            },
            "metrics": {"port": ports.metrics},
        }
