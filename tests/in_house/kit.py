"""A gateway with our own systems around it, all real: broker, ledger, TLS; the systems' ends run inside the test's process."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from certs.authority import IN_HOUSE, Profile, TestAuthority
from certs.tls import client_context
from message_formats import samples, writing
from simulators.harness.processes import free_ports
from simulators.harness.town import REGISTER, Plan, Town
from simulators.in_house.books import Books
from simulators.in_house.mailbox import Mailbox
from simulators.in_house.pull import PullClient
from simulators.in_house.sender import Sender
from simulators.journal import read_entries
from simulators.register.amqp_door import Broker
from simulators.register.inbox import make_key
from tests.support.broker import until
from tests.support.data import read_yaml

RETRY = {"first_s": 0.2, "longest_s": 1.0, "budget": 40}
SENDERS: Mapping[str, list[str]] = {
    REGISTER: [
        "card-identifier-change", "certificate-data-change", "family-register-supplement-internal", "identity-information-update",
        "master-copy-reconciliation-data", "resident-change-notification", "resident-protection-mark",
    ],
    "internal-link-system": [
        "administrative-column-update", "atena-linkage-update", "copy-reconciliation-result", "resident-info-transfer",
    ],
    "tax-system": ["tax-certificate-change"],
    "administrative-column-sources": ["administrative-column-update"],
}  # fmt: skip
SUPPLIERS: Mapping[str, list[str]] = {
    "health-insurance-section": ["atena_number", "national_health_insurance", "late_stage_elderly_medical"],
    "elections-section": ["atena_number", "electoral_register"],
}
"""Departments behind the sources of administrative columns, with a certificate of their own, and what they permit."""
QUEUES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    REGISTER: ("core_register", REGISTER, ()),
    "internal-link-system": ("internal_link", "internal-link-system", ()),
    "certificate-issuance-system": ("certificate_issuance", "certificate-issuance-system", ()),
    "family-register-system": ("family_register", "family-register-system", ()),
    "atena-system": ("atena", "atena-system", ()),
    "tax-system": ("tax", "tax-system", ("transfer-9",)),
    "education-board-system": ("education_board", "education-board-system", ("file1-provision-2",)),
    "welfare-account": ("business_systems", "business-systems", ("transfer-2", "transfer-3")),
}
"""Account → adapter, system, works. ``welfare-account`` stands for the departments of two works."""


PULL, PULL_WORK = "childcare-account", "transfer-8"
FILES, FILES_WORK = "health-account", "transfer-10"
ISSUER = "https://gateway.example.invalid"


def message(kind: str, serial: int = 1, **changes: Any) -> bytes:
    """A valid, fictitious message."""
    return writing.write(kind, {**samples.message(kind, serial).items, **changes}).to_bytes()


class InHouse:
    """The town, its systems, and what became of everything."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.pull_port = 0
        self.salt = town.salt_file.read_text()
        self.books: dict[str, Books] = {}
        self.mailboxes: dict[str, Mailbox] = {}

    # ---- the systems

    def context(self, name: str) -> Any:
        folder = self.town.certificates
        return client_context(*(folder / f for f in (f"{name}.pem", f"{name}.key", "ca.pem", "ca.crl")))

    def sender(self, system: str, certificate: str | None = None) -> Sender:
        return Sender(system, f"https://127.0.0.1:{self.town.ports.https}", self.context(certificate or system))

    async def send(self, system: str, kind: str, content: bytes | None = None, **attributes: str) -> Mapping[str, Any]:
        """Handed in; the receipt or the problem."""
        return await self.sender(system).send(kind, content if content is not None else message(kind), **attributes)

    def book(self, account: str, system: str | None = None) -> Books:
        """The account's books."""
        if account not in self.books:
            name = system or QUEUES[account][1]
            self.books[account] = Books(account, name, self.town.folder / "systems" / f"{account}.jsonl", self.salt)
        return self.books[account]

    async def open(self, *accounts: str) -> None:
        """These systems consume their queues."""
        for account in accounts:
            broker = Broker(
                host="127.0.0.1", port=self.town.ports.broker_tls, user=account, context=self.context(account), server_name="broker"
            )
            mailbox = self.mailboxes[account] = Mailbox(self.book(account), broker, self.town.folder / f"{account}.jwk")
            mailbox.start()
            await until(lambda each=mailbox: each.consuming, 30)

    async def close(self, *accounts: str) -> None:
        """These systems end (all, if none is named)."""
        for account in accounts or tuple(self.mailboxes):
            if account in self.mailboxes:
                await self.mailboxes.pop(account).stop()
        for account in accounts or tuple(self.books):
            if account in self.books:
                self.books.pop(account).close()

    def effects(self, account: str) -> list[dict[str, Any]]:
        """What took effect at an account, in order."""
        file = self.town.folder / "systems" / f"{account}.jsonl"
        return [dict(each) for each in read_entries(file) if each["kind"] == "effect"] if file.exists() else []

    def puller(self, account: str = PULL, certificate: str | None = None) -> PullClient:
        """The account's client."""
        return PullClient(
            f"https://127.0.0.1:{self.pull_port}", self.context(certificate or account), client_id=account,
            secret=(self.town.folder / f"{account}.secret").read_text(), business_id="B08", issuer=ISSUER,
        )  # fmt: skip

    # ---- the gateway

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Of the ledger, beside its processes."""
        connection = sqlite3.connect(f"file:{self.town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def deliveries(self, source_id: str) -> dict[str, Any]:
        """By party."""
        found = self.rows(
            "SELECT d.*, k.held, k.stream FROM delivery d JOIN message m ON m.id = d.message_id JOIN key_row k ON k.id = d.key_id "
            "WHERE m.source_id = ?",
            source_id,
        )
        return {row["party"]: row for row in found}

    async def until_state(self, source_id: str, party: str, state: str, timeout_s: float = 40.0) -> Any:
        await until(lambda: (row := self.deliveries(source_id).get(party)) is not None and row["state"] == state, timeout_s)
        return self.deliveries(source_id)[party]

    async def until_held(self, source_id: str, party: str, timeout_s: float = 40.0) -> Any:
        await until(lambda: (row := self.deliveries(source_id).get(party)) is not None and row["held"] is not None, timeout_s)
        return self.deliveries(source_id)[party]

    def case(self, source_id: str) -> tuple[str, dict[str, str]]:
        """The case of a flow that a message is in, and the states of its steps; nothing yet: no flow."""
        found = self.rows(
            "SELECT i.flow, i.steps FROM flow_instance i JOIN flow_message f ON f.instance_id = i.id JOIN message m ON m.id = f.message_id "
            "WHERE m.source_id = ?",
            source_id,
        )
        return next(((row["flow"], {no: each["state"] for no, each in json.loads(row["steps"]).items()}) for row in found), ("", {}))

    def provision(self, source_id: str) -> dict[str, Any]:
        """The record of provision of a message, with its terms."""
        [row] = self.rows(
            "SELECT p.*, pt.text FROM provision p JOIN message m ON m.id = p.message_id LEFT JOIN provision_terms pt ON pt.id = p.terms "
            "WHERE m.source_id = ?",
            source_id,
        )
        return {**dict(row), "terms": json.loads(row["text"]) if row["text"] else None}

    async def renkei(self, *arguments: str, who: str = "operator-a", well: str | None = None) -> Any:
        """A command; its JSON. ``well``: the code of an error that is none here."""
        process = await asyncio.create_subprocess_exec(
            *self.town.renkei(*arguments, operator=who), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert not err or (well is not None and well.encode() in err), (out, err)
        return json.loads(out) if out.strip().startswith((b"{", b"[")) else out.decode()

    async def apply(self, policy: Path) -> None:
        """A policy is asked for by one person and approved by another."""
        asked = await self.renkei("policy", "apply", str(policy), "--reason", "a test", "--json", well="policy-same")
        if asked.get("ok") is False:
            return  # it counts already
        await self.renkei("approvals", "approve", asked["request_id"], "--json", who="operator-b")


def set_up(folder: Path, parties: Mapping[str, Any] | None = None, *, plan: Plan | None = None, **sections: Any) -> InHouse:
    """Certificates, keys and configuration of a town of our own systems. Blocks for a few seconds.

    :param parties: instead of, or besides, those of :data:`QUEUES`; None takes one away.
    """
    town = Town(folder, plan or Plan(workers=1, acknowledge_s=2.0, retry=RETRY))
    town.set_up()
    authority = TestAuthority(town.certificates, IN_HOUSE)
    others = [name for name in samples.message("administrative-column-update", 1).items if "/" in name]
    config = read_yaml(town.config.read_text())
    config["intake"]["systems"] = {name: {"peer": name, "types": types} for name, types in SENDERS.items()}
    sources = config["intake"]["systems"]["administrative-column-sources"]
    sources["doors"] = ["https"]
    sources["suppliers"] = {name: {"peer": name, "items": items} for name, items in SUPPLIERS.items()}
    # whatever is left is permitted by a department that hands in nothing in these tests
    sources["suppliers"]["other-sections"] = {"peer": "other-sections", "items": sorted({name.partition("/")[0] for name in others})}
    found: dict[str, Any] = {"city-cs": config["parties"]["city-cs"]}
    for account, (adapter, system, works) in QUEUES.items():
        private, public = town.folder / f"{account}.jwk", town.folder / f"{account}.jwks"
        make_key(private, public, kid=f"{account}-1")
        queue = {"keys": str(public), "acknowledge_s": town.plan.acknowledge_s}
        found[account] = {"adapter": adapter, "queue": queue, "system": system, "works": list(works), "retry": dict(town.plan.retry)}
    secret = town.folder / f"{PULL}.secret"
    secret.write_text(secrets.token_urlsafe(48))
    pull = {"business_id": "B08", "peer": PULL, "secret_file": str(secret), "acknowledge_s": 30}
    business = {"adapter": "business_systems", "system": "business-systems", "retry": dict(town.plan.retry)}
    found[PULL] = {**business, "pull": pull, "works": [PULL_WORK]}
    found[FILES] = {**business, "files": {"directory": str(town.folder / FILES), "acknowledge_s": 20}, "works": [FILES_WORK]}
    for account, more in (parties or {}).items():
        found[account] = more
    config["parties"] = {name: each for name, each in found.items() if each is not None}
    for name in {*SENDERS, *SUPPLIERS, *config["parties"], "stranger"} - {"city-cs", REGISTER}:
        authority.issue(name, Profile.CLIENT)
    for operator in config["admin"]["operators"].values():
        operator["roles"] = ["viewer", "operator", "approver", "administrator", "auditor"]
    config["profile"] = "test"
    [pull_port] = free_ports(1)
    config["pull"] = {"port": pull_port, "issuer": ISSUER, "token_s": 60}
    config.update(sections)
    town.config.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    house = InHouse(town)
    house.pull_port = pull_port
    return house
