"""A whole town in one folder: certificates, a gateway with its broker and ledger, the city CS, the register. For demo, chaos, bench, tests.

Everything is real and started as processes, as an operator would start it; nothing of the gateway is imported. All data is fictitious.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml

from certs.setup import ensure_networks
from certs.tls import client_context
from simulators.errors import ProcessFailed
from simulators.harness.postgres import PostgresServer
from simulators.harness.processes import Child, Processes, file_ready, free_ports
from simulators.journal import read_entries
from simulators.references import References
from simulators.register.amqp_door import Broker
from simulators.register.answers import Answers
from simulators.register.inbox import Decide, Inbox, Moment, make_key
from simulators.register.keys import GatewayKey
from simulators.verdict import Verdict, judge

LedgerKind = Literal["sqlite", "postgresql"]
REGISTER = "resident-record-system"
MUNICIPALITY = "272035"


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
    simulator: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the city CS."""
    inbound: bool = False
    """Whether the city CS sends notices of its own accord, and the register has them by queue (with :meth:`Town.inbox`)."""
    acknowledge_s: float = 5.0
    answer_s: float = 10.0
    signatures: bool = True
    """Whether messages to and from the city CS are signed."""
    disk_reserve_bytes: int = 64 << 20
    immigration: bool = False
    """Whether the town has the residence card issuing system, with its mailbox; needs ``inbound``."""
    applications: bool = False
    """Whether it has the application management system with the portal; needs ``inbound``."""
    fetch_at: str = "06:00"
    """When its mailbox is looked at."""
    feeds: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Any] = field(default_factory=dict)
    """What is expected when, and how long an update may be under way."""
    application_settings: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of its adapter."""
    profile: str = "production"
    """``test``: the business clock of the town can be shifted."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the gateway's processes, besides ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All on loopback."""

    broker: int
    broker_tls: int
    https: int
    admin: int
    metrics: int
    city_cs: int
    control: int
    inbound: int
    immigration: int
    immigration_control: int
    applications: int
    applications_control: int


class Town:
    """``async with Town(folder, plan) as town: await town.start()``; leaving it ends every process of it."""

    def __init__(self, folder: Path, plan: Plan | None = None, *, outlive: bool = False) -> None:
        """``outlive``: its processes go on when the one that started them ends, and must be stopped by somebody else."""
        self.folder = folder.resolve()
        self.plan = plan or Plan()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.var = self.folder / "var"
        self.certificates = self.var / "certs"
        ports = free_ports(12, room=self.plan.workers)  # each worker shows its metrics on a port above the gateway's
        self.ports = Ports(
            broker=ports[0],
            broker_tls=ports[1],
            https=ports[2],
            admin=ports[3],
            metrics=ports[4],
            city_cs=ports[5],
            control=ports[6],
            inbound=ports[7],
            immigration=ports[8],
            immigration_control=ports[9],
            applications=ports[10],
            applications_control=ports[11],
        )
        self.salt_file = self.folder / "salt"
        self.journal = self.folder / "city-cs.jsonl"
        self.record = self.folder / "register.jsonl"
        self.config = self.folder / "config.yaml"
        self.processes = Processes(logs=self.folder / "log", outlive=outlive)
        self.postgres: PostgresServer | None = None
        self._registers = 0

    # ---- life ------------------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Town:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def set_up(self) -> None:
        """Certificates, salt, configuration; PostgreSQL if it is wanted. Blocks for a few seconds."""
        (self.folder / "log").mkdir(exist_ok=True)
        ensure_networks(self.certificates)
        if not self.salt_file.exists():
            self.salt_file.touch(mode=0o600)
            self.salt_file.write_text(secrets.token_urlsafe(24))
        if self.plan.inbound and not self.inbox_keys[1].exists():
            make_key(*self.inbox_keys)
        url = f"sqlite:///{self.var}/ledger/renkei.db"
        if self.plan.ledger == "postgresql" and self.postgres is None:
            self.postgres = PostgresServer()
            self.postgres.start()
            url = self.postgres.create_database().replace("postgresql+psycopg://", "postgresql://")
        self.config.write_text(yaml.safe_dump(self._configuration(url), allow_unicode=True, sort_keys=False), encoding="utf-8")

    async def start(self, *, timeout_s: float = 90.0) -> None:
        """Start city CS and gateway, and wait until both serve."""
        if not self.config.exists():
            self.set_up()
        self.city_cs().start()
        self.gateway().start()
        if self.plan.immigration:
            self.immigration().start()
            await self["immigration"].wait_ready(timeout_s)
        if self.plan.applications:
            self.applications().start()
            await self["applications"].wait_ready(timeout_s)
        await self["city-cs"].wait_ready(timeout_s)
        await self.gateway_ready(timeout_s)

    async def stop(self) -> None:
        """End everything of this town."""
        await self.processes.stop()
        if self.postgres is not None:
            self.postgres.close()
            self.postgres = None

    def __getitem__(self, name: str) -> Child:
        return self.processes[name]

    # ---- its processes ---------------------------------------------------------------------------------------------------------

    def gateway(self) -> Child:
        """The supervisor with all that it runs (``renkei up``)."""
        with suppress(KeyError):
            return self.processes["renkei"]
        command = [*self.plan.command, "up", "--config", str(self.config)]
        return self.processes.add("renkei", command, folder=self.folder, environment=self.plan.environment)

    def city_cs(self) -> Child:
        """The simulated city CS."""
        with suppress(KeyError):
            return self.processes["city-cs"]
        settings: dict[str, Any] = {
            "port": self.ports.city_cs,
            "control_port": self.ports.control,
            "token_file": str(self.folder / "city-cs.token"),
            **self._identity("city-cs", network="juki-net-"),
            "caller": "CN=gateway-juki-net",
            **(self._signing() if self.plan.signatures else {}),
            **({"gateway_url": f"https://127.0.0.1:{self.ports.inbound}"} if self.plan.inbound else {}),
            "journal": str(self.journal),
            "salt_file": str(self.salt_file),
            "population": self.plan.population,
            "city_seed": self.plan.city_seed,
            "ready_file": str(self.folder / "city-cs.ready"),
            **self.plan.simulator,
        }
        file = self.folder / "city-cs.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return self.processes.python("city-cs", "simulators.juki_cs", "--config", str(file), ready_file=self.folder / "city-cs.ready")

    def immigration(self) -> Child:
        """The simulated residence card issuing system."""
        with suppress(KeyError):
            return self.processes["immigration"]
        settings = {
            "port": self.ports.immigration,
            "control_port": self.ports.immigration_control,
            "token_file": str(self.folder / "immigration.token"),
            **self._identity("residence-card-issuance-system", network="lgwan-"),
            "caller": "CN=gateway-lgwan",
            "journal": str(self.folder / "immigration.jsonl"),
            "salt_file": str(self.salt_file),
            "ready_file": str(self.folder / "immigration.ready"),
        }
        file = self.folder / "immigration.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        ready = self.folder / "immigration.ready"
        return self.processes.python("immigration", "simulators.immigration", "--config", str(file), ready_file=ready)

    def applications(self) -> Child:
        """The simulated application management system, with the portal."""
        with suppress(KeyError):
            return self.processes["applications"]
        settings = {
            "port": self.ports.applications,
            "control_port": self.ports.applications_control,
            "token_file": str(self.folder / "applications.token"),
            **self._identity("application-management-system", network="lgwan-"),
            "caller": "CN=gateway-lgwan",
            "municipality": MUNICIPALITY,
            "applicants": str(self.certificates),
            "journal": str(self.folder / "applications.jsonl"),
            "salt_file": str(self.salt_file),
            "ready_file": str(self.folder / "applications.ready"),
        }
        file = self.folder / "applications.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        ready = self.folder / "applications.ready"
        return self.processes.python("applications", "simulators.applications", "--config", str(file), ready_file=ready)

    def register(self, *, amqp: bool | Mapping[str, Any] = True, **settings: Any) -> Child:
        """A run of the register: it hands in its messages and ends.

        Further settings as in ``simulators/register/service.py``; ``amqp``: whether, or with which settings of that door.
        """
        self._registers += 1
        values: dict[str, Any] = {
            "url": f"https://127.0.0.1:{self.ports.https}",
            **self._identity(REGISTER),
            "record": str(self.record),
            "salt_file": str(self.salt_file),
            "population": self.plan.population,
            "city_seed": self.plan.city_seed,
            "server_name": "gateway",
            **settings,
        }
        if amqp is not False:
            further = {} if amqp is True else dict(amqp)
            values["amqp"] = {"port": self.ports.broker_tls, "tls": True, "server_name": "broker", **further}
        file = self.folder / f"register-{self._registers}.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        return self.processes.python(f"register-{self._registers}", "simulators.register", "--config", str(file), "--progress-s", "0.5")

    @property
    def inbox_keys(self) -> tuple[Path, Path]:
        """The register's key pair for what comes to it by queue: private JWK, public JWK set."""
        return self.folder / "register.jwk", self.folder / "register.jwks"

    def inbox(self, decide: Decide, moment: Moment = lambda name: None) -> Inbox:
        """The register's end of its queue, inside this process; start and stop it."""
        return Inbox(
            broker=self._register_broker(),
            system=REGISTER,
            keys=self.inbox_keys[:1],
            record=self.folder / "inbox.jsonl",
            references=References(self.salt_file.read_text()),
            decide=decide,
            moment=moment,
        )

    def answers(self) -> Answers:
        """The register's end of dialogues, inside this process; start and stop it."""

        async def keys() -> Any:
            url = f"https://127.0.0.1:{self.ports.https}/v1/keys"
            connector = aiohttp.TCPConnector(ssl=self._register_context())
            async with (
                aiohttp.ClientSession(connector=connector, trust_env=False) as session,
                session.get(url, server_hostname="gateway") as answer,
            ):
                return json.loads(await answer.read())

        key = self.inbox_keys[0]
        return Answers(broker=self._register_broker(), system=REGISTER, key=key, gateway_key=GatewayKey(keys))

    def _register_context(self) -> ssl.SSLContext:
        own = self._identity(REGISTER)
        return client_context(own["certificate"], own["key"], own["ca"], own["crl"])

    def _register_broker(self) -> Broker:
        context = self._register_context()
        return Broker(host="127.0.0.1", port=self.ports.broker_tls, user=REGISTER, context=context, server_name="broker")

    def _consumer(self) -> dict[str, Any]:
        keys = str(self.inbox_keys[1])
        queue = {"keys": keys, "acknowledge_s": self.plan.acknowledge_s, "answer_s": self.plan.answer_s}
        return {"adapter": "core_register", "queue": queue, "retry": dict(self.plan.retry)}

    def _mailbox(self) -> dict[str, Any]:
        return {
            "adapter": "immigration",
            "url": f"https://127.0.0.1:{self.ports.immigration}",
            "peer": "residence-card-issuance-system",
            "trust": "lgwan",
            "certificate": "gateway-lgwan",
            "retry": dict(self.plan.retry),
            "fetch": {"at": self.plan.fetch_at, "again_s": 0.5},
        }

    def _portal(self) -> dict[str, Any]:
        return {
            "adapter": "application_management",
            "url": f"https://127.0.0.1:{self.ports.applications}",
            "peer": "application-management-system",
            "trust": "lgwan",
            "certificate": "gateway-lgwan",
            "retry": dict(self.plan.retry),
            "settings": {"municipality": MUNICIPALITY, **self.plan.application_settings},
            "fetch": {"at": "*:05", "again_s": 0.5, "applicants": "applicants", "procedures": {"MOVE-OUT": REGISTER}},
        }

    async def gateway_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the doors and all workers serve."""
        deadline = time.monotonic() + timeout_s
        while True:
            roles = [entry["role"] for entry in self.ready_processes().values()]
            if "gateway" in roles and roles.count("worker") >= self.plan.workers:
                return
            if not self["renkei"].running:
                raise ProcessFailed("gateway-ended", f"the gateway ended; see {self.folder / 'log' / 'renkei.log'} and {self.var / 'log'}")
            if time.monotonic() > deadline:
                raise ProcessFailed("gateway-not-ready", f"the gateway was not ready within {timeout_s:g} s; see {self.var / 'log'}")
            await asyncio.sleep(0.05)

    def ready_processes(self) -> dict[int, dict[str, Any]]:
        """Processes of the gateway that serve, by pid."""
        found = {}
        for file in (self.var / "run").glob("*-*.json"):
            with suppress(OSError, ValueError):  # just written, or just gone
                entry = json.loads(file.read_text())
                if _lives(entry["pid"]):
                    found[entry["pid"]] = entry
        return found

    def supervised(self) -> dict[str, int]:
        """Pids by name: ``gateway``, ``worker-1`` …, ``broker``."""
        with suppress(OSError, ValueError):
            state = json.loads((self.var / "run" / "supervisor.json").read_text())
            found = {name: pid for name, pid in state["processes"].items() if pid is not None and _lives(pid)}
            if state.get("broker") is not None and _lives(state["broker"]):
                found["broker"] = state["broker"]
            return found
        return {}

    def renkei(self, *arguments: str, operator: str = "operator-a") -> Sequence[str]:
        """The command line of a ``renkei`` command as an operator would type it."""
        return [*self.plan.command, *arguments, "--config", str(self.config), "--as", operator]

    # ---- what became of it ----------------------------------------------------------------------------------------------------

    def verdict(self, *, time_up: bool = False) -> Verdict:
        """From the register's record and the party's journal only."""
        record = list(read_entries(self.record)) if self.record.exists() else []
        journal = list(read_entries(self.journal)) if self.journal.exists() else []
        return judge(record, journal, time_up=time_up)

    # ---- files ----------------------------------------------------------------------------------------------------------------

    def _identity(self, name: str, network: str = "") -> dict[str, str]:
        return {
            "certificate": str(self.certificates / f"{name}.pem"),
            "key": str(self.certificates / f"{name}.key"),
            "ca": str(self.certificates / f"{network}ca.pem"),
            "crl": str(self.certificates / f"{network}ca.crl"),
        }

    def _signing(self) -> dict[str, str]:
        folder = self.certificates
        return {
            "signing_certificate": str(folder / "city-cs-signing.pem"),
            "signing_key": str(folder / "city-cs-signing.key"),
            "caller_signing_certificate": str(self.known("gateway-signing", of="city-cs")),
        }

    def known(self, name: str, *, of: str) -> Path:
        """The copy of somebody's certificate that the other side ``of`` has: each may learn of a new one before it is used."""
        copy = self.certificates / f"{name}-known-to-{of}.pem"
        source = self.certificates / f"{name}.pem"
        if not copy.exists() or copy.stat().st_mtime < source.stat().st_mtime:
            copy.write_bytes(source.read_bytes())
        return copy

    def _configuration(self, ledger_url: str) -> dict[str, Any]:
        plan, ports = self.plan, self.ports
        return {
            "instance": "renkei-demo",
            "data_dir": str(self.var),
            "profile": plan.profile,
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
                "systems": {
                    REGISTER: {
                        "peer": REGISTER,
                        "doors": ["https", "amqp", "file"],
                        "types": [
                            "identity-information-update",
                            *(["resident-protection-mark"] if plan.inbound else []),
                            *(["residence-address-notice"] if plan.immigration else []),
                            *(["number-linkage-feed"] if plan.applications else []),
                        ],
                    },
                },
            },
            "parties": {
                "city-cs": {
                    "adapter": "juki_cs",
                    "url": f"https://127.0.0.1:{ports.city_cs}",
                    "peer": "city-cs",
                    "trust": "juki-net",
                    "certificate": "gateway-juki-net",
                    **({"signatures": {"partner": self.known("city-cs-signing", of="gateway").stem}} if plan.signatures else {}),
                    "limits": {"calls": plan.calls, "records_per_call": plan.records_per_call, "call_s": plan.call_s},
                    "retry": dict(plan.retry),
                    **({"inbound": {"port": ports.inbound}} if plan.inbound else {}),
                },
                **({REGISTER: self._consumer()} if plan.inbound else {}),
                **({"residence-card-issuance-system": self._mailbox()} if plan.immigration else {}),
                **({"application-management-system": self._portal()} if plan.applications else {}),
            },
            "feeds": dict(plan.feeds),
            "links": dict(plan.links),
            "workers": {"processes": plan.workers, "share": plan.share},
            "admin": {
                "port": ports.admin,
                "operators": {
                    "operator-a": {"roles": ["viewer", "operator", "approver"]},
                    "operator-b": {"roles": ["viewer", "operator", "approver"]},
                },
            },
            "metrics": {"port": ports.metrics},
        }


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


__all__ = ["REGISTER", "Plan", "Ports", "Town", "file_ready"]
