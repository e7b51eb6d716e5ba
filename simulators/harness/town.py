"""A whole town in one folder: certificates, a gateway with its broker and ledger, the city CS, the register. For demo, chaos, bench, tests.

Everything is real and started as processes, as an operator would start it; nothing of the gateway is imported. All data is fictitious.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from certs.authority import IN_HOUSE, Profile, TestAuthority
from certs.setup import ensure_networks
from certs.tls import client_context
from simulators.errors import ProcessFailed
from simulators.harness.postgres import PostgresServer
from simulators.harness.processes import Child, Processes, file_ready
from simulators.harness.town_config import MAILBOXES, MODULES, REGISTER, LedgerKind, Plan, Ports, TownFiles, find_ports
from simulators.journal import read_entries
from simulators.references import References
from simulators.register.amqp_door import Broker
from simulators.register.answers import Answers
from simulators.register.consuming import Moment
from simulators.register.inbox import Decide, Inbox, make_key
from simulators.register.keys import GatewayKey
from simulators.verdict import Verdict, judge


class Town:
    """``async with Town(folder, plan) as town: await town.start()``; leaving it ends every process of it."""

    def __init__(self, folder: Path, plan: Plan | None = None, *, outlive: bool = False) -> None:
        """``outlive``: its processes go on when the one that started them ends, and must be stopped by somebody else."""
        self.folder = folder.resolve()
        self.plan = plan or Plan()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.var = self.folder / "var"
        self.certificates = self.var / "certs"
        self.ports = find_ports(self.plan)
        self.salt_file = self.folder / "salt"
        self.journal = self.folder / "city-cs.jsonl"
        self.record = self.folder / "register.jsonl"
        self.config = self.folder / "config.yaml"
        self.files = TownFiles(self.folder, self.plan, self.ports)
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
        self._set_up_systems()
        url = f"sqlite:///{self.var}/ledger/renkei.db"
        if self.plan.ledger == "postgresql" and self.postgres is None:
            self.postgres = PostgresServer()
            self.postgres.start()
            url = self.postgres.create_database().replace("postgresql+psycopg://", "postgresql://")
        self.config.write_text(yaml.safe_dump(self.files.configuration(url), allow_unicode=True, sort_keys=False), encoding="utf-8")

    def _set_up_systems(self) -> None:
        """Keys of our own systems, and certificates of those that have none yet."""
        authority = TestAuthority(self.certificates, IN_HOUSE)
        for system in self.plan.systems:
            if not self.files.keys_of(system)[1].exists():
                make_key(*self.files.keys_of(system), kid=f"{system}-1")
            if not authority.files(system).certificate.exists():
                authority.issue(system, Profile.CLIENT)

    async def start(self, *, timeout_s: float = 90.0) -> None:
        """Start the simulated parties and the gateway, and wait until all serve."""
        if not self.config.exists():
            self.set_up()
        outside = list({id(child): child for child in map(self.simulator, (*self.plan.parties, *self.plan.mailboxes))}.values())
        for child in outside:
            child.start()
        self.gateway().start()
        for child in outside:
            await child.wait_ready(timeout_s)
        await self.gateway_ready(timeout_s)
        await self.open_office(timeout_s)

    async def open_office(self, timeout_s: float) -> None:
        """Our own systems, in a process of theirs."""
        if self.plan.systems:
            self.office().start()
            await self.office().wait_ready(timeout_s)

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
        """The process in which the simulated city CS runs: its own, or the world with all parties."""
        return self.simulator("city-cs")

    def simulator(self, party: str) -> Child:
        """The process in which a simulated party runs."""
        together = self.plan.together
        name = "world" if party in together else party
        with suppress(KeyError):
            return self.processes[name]
        ready = self.folder / f"{name}.ready"
        if party in self.plan.mailboxes:
            settings = self.files.mailbox(party, ready)
        else:
            settings = self.files.world(together, ready) if name == "world" else self.files.party(party, ready)
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        module, *more = ("simulators.world",) if name == "world" else MODULES.get(party) or MAILBOXES[party]
        return self.processes.python(name, module, *more, "--config", str(file), ready_file=ready)

    def office(self) -> Child:
        """The process in which our own systems run; the gateway must serve before it is ready."""
        return self._office("office")

    def register_queue(self) -> Child:
        """A process that takes what comes to the register's queue, for a town that goes on without :meth:`inbox`."""
        return self._office(REGISTER)

    def _office(self, name: str) -> Child:
        with suppress(KeyError):
            return self.processes[name]
        ready, file = self.folder / f"{name}.ready", self.folder / f"{name}.yaml"
        (self.folder / "systems").mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(self.files.office(ready, name)), encoding="utf-8")
        return self.processes.python(name, "simulators.in_house", "--config", str(file), ready_file=ready)

    def control(self, party: str) -> tuple[str, str]:
        """Where a simulated party's control API is, and its token."""
        port = self.ports.parties[party].control
        return f"http://127.0.0.1:{port}", (self.folder / f"{party}.token").read_text().strip()

    def journal_of(self, party: str) -> Path:
        """The journal of a simulated party."""
        return self.files.journal(party)

    def known(self, name: str, *, of: str) -> Path:
        """The copy of somebody's certificate that the other side ``of`` has: each may learn of a new one before it is used."""
        return self.files.known(name, of=of)

    def register(self, *, amqp: bool | Mapping[str, Any] = True, **settings: Any) -> Child:
        """A run of the register: it hands in its messages and ends.

        Further settings as in ``simulators/register/service.py``; ``amqp``: whether, or with which settings of that door.
        """
        self._registers += 1
        values: dict[str, Any] = {
            "url": f"https://127.0.0.1:{self.ports.https}",
            **self.files.identity(REGISTER),
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
        return self.files.inbox_keys

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
        own = self.files.identity(REGISTER)
        return client_context(own["certificate"], own["key"], own["ca"], own["crl"])

    def _register_broker(self) -> Broker:
        context = self._register_context()
        return Broker(host="127.0.0.1", port=self.ports.broker_tls, user=REGISTER, context=context, server_name="broker")

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


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


__all__ = ["REGISTER", "LedgerKind", "Plan", "Ports", "Town", "file_ready"]
