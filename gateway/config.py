"""The configuration: what ``config.yaml`` may say, and how it is read.

The models below are the one source of validation, of the JSON Schema for editors (``docs/config.schema.json``) and of the defaults.
Unknown keys are refused with a suggestion, keys that stand twice are refused, relative paths are taken from the folder of the file.
A secret is never written into the file: it comes from a file of its own (``password_file``) or from the environment (``${NAME}``),
and no configuration object prints one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gateway.config_feeds import Feed, Links
from gateway.config_machine import (
    Admin,
    Audit,
    Backup,
    Broker,
    Bulk,
    Certificates,
    EmbeddedBroker,
    ExternalBroker,
    Flows,
    Keys,
    Ledger,
    Log,
    Medium,
    Metrics,
    Operator,
    RegisterListener,
    Retention,
    TimeStamps,
    Token,
    Trust,
    Workers,
)
from gateway.config_problems import explain, stray_references, suggestion
from gateway.config_traffic import (
    FORMER_REGISTER,
    AmqpIntake,
    Consumer,
    Encryption,
    Fetch,
    FileDrop,
    HttpsIntake,
    Inbound,
    Intake,
    IntakeLimits,
    Outgoing,
    Party,
    PartyLimits,
    Pull,
    PullDoor,
    Retry,
    Signatures,
    System,
)
from gateway.config_values import INSTANCE, SHAPES, FilePath, Reading, Section, SpecId, resolve_secret
from gateway.config_yaml import Document, Problem, read, spell
from gateway.errors import ConfigurationError
from gateway.security.outgoing import Allowed, OutgoingList

__all__ = [
    "Admin",
    "AmqpIntake",
    "Audit",
    "Backup",
    "Broker",
    "Certificates",
    "Config",
    "Consumer",
    "EmbeddedBroker",
    "Encryption",
    "ExternalBroker",
    "Feed",
    "Fetch",
    "FileDrop",
    "Flows",
    "HttpsIntake",
    "Inbound",
    "Intake",
    "IntakeLimits",
    "Keys",
    "Ledger",
    "Links",
    "Log",
    "Metrics",
    "Operator",
    "Outgoing",
    "Party",
    "PartyLimits",
    "Pull",
    "PullDoor",
    "RegisterListener",
    "Retention",
    "Retry",
    "Section",
    "Signatures",
    "System",
    "TimeStamps",
    "Token",
    "Trust",
    "Workers",
    "config_schema",
    "load",
    "read_secret",
    "resolve_secret",
    "schema_text",
    "suggestion",
]

SCHEMA_FILE = "docs/config.schema.json"


class Config(Section):
    """The whole configuration of one gateway."""

    instance: Annotated[str, StringConstraints(pattern=INSTANCE, max_length=40)] = Field(
        default="renkei", description="Name of this gateway in logs, metrics and evidence."
    )
    profile: Literal["production", "test"] = Field(
        default="production",
        description="Of the business clock of a new ledger: in a test ledger it can be shifted, for ever; in a production one never.",
    )
    data_dir: FilePath = Field(default=Path("var"), description="Everything that is generated at run time is below it.")
    ledger: Ledger = Ledger()
    broker: Broker = Broker()
    certificates: Certificates = Certificates()
    keys: Keys = Keys()
    token: Token | None = Field(default=None, description="Needed where keys.kek is token, or a party's key is in one.")
    intake: Intake = Intake()
    pull: PullDoor = PullDoor()
    parties: dict[SpecId, Party] = {}
    legs: dict[Literal["prefecture-server", "card-management-system"], Literal["gateway", "city-cs"]] = Field(
        default={},
        description="Who carries what is for this party: the gateway after the city CS has taken it, or the city CS itself. "
        "Default: the gateway, where the party is in parties.",
    )
    outgoing: list[Outgoing] = Field(
        default=[Outgoing(network=ip_network("127.0.0.0/8")), Outgoing(network=ip_network("::1/128"))],
        description="The only places that connections are opened to: parties, an external broker, a ledger. Default: this machine.",
    )
    feeds: dict[SpecId, Feed] = {}
    links: Links = Links()
    workers: Workers = Workers()
    bulk: Bulk = Bulk()
    flows: Flows = Flows()
    media: dict[str, Medium] = Field(
        default={}, description="By name: where media are written. Each output is approved and on record (C-1-3-27, C-2-5-6, C-3-5-5)."
    )
    retention: Retention = Retention()
    backup: Backup = Backup()
    admin: Admin = Admin()
    metrics: Metrics = Metrics()
    audit: Audit = Audit()
    log: Log = Log()

    @model_validator(mode="after")
    def _has_token(self) -> Self:
        if self.keys.kek == "token" and self.token is None:
            raise ValueError("keys.kek is token, so the section token is needed")
        signing = [name for name, party in self.parties.items() if party.signatures is not None and party.signatures.token_key is not None]
        if signing and self.token is None:
            raise ValueError(f"parties.{signing[0]}.signatures.token_key names a key in a token, so the section token is needed")
        return self

    @model_validator(mode="after")
    def _operators_are_persons(self) -> Self:
        """C-1-3-12: no machine is an operator, and nobody shares its name."""
        both = sorted(self.machine_names & self.admin.operators.keys())
        if both:
            raise ValueError(f"admin.operators: {both[0]} is a machine; an operator is a person with a certificate of their own (C-1-3-12)")
        return self

    def _strays(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Places of the file that refer to what it does not have, and what is wrong."""
        works: dict[str, str] = {}
        for name, party in self.parties.items():
            if party.trust is not None and party.trust not in self.certificates.trust:
                yield ("parties", name, "trust"), f"there is no {party.trust} below certificates.trust"
            if FORMER_REGISTER in (name, party.system):
                yield ("parties", name), f"{FORMER_REGISTER} is linked with no other system (C-1-3-11): take it out"
            if party.queue is not None and "amqp" not in getattr(self.intake.systems.get(name), "doors", ("amqp",)):
                yield ("parties", name, "queue"), f"{name} is in intake.systems, so it needs the door amqp: it acknowledges as that system"
            for work in party.works:
                if not party.in_house:
                    yield ("parties", name, "works"), "works are for systems of the city, which have no url"
                if (other := works.setdefault(work, name)) != name:
                    yield ("parties", name, "works"), f"{work} has an account already: {other}"
        if FORMER_REGISTER in self.intake.systems:
            yield ("intake", "systems", FORMER_REGISTER), f"{FORMER_REGISTER} is linked with no other system (C-1-3-11): take it out"
        for leg, who in self.legs.items():
            if who == "gateway" and leg not in self.parties:
                yield ("legs", leg), f"{leg} must be in parties, or left to the city CS: {leg}: city-cs"
        for place, host, port in self._targets():
            if not self.outgoing_list.names(host, port):
                yield place, f"leads to {host} port {port}, where no connection may go; add it to outgoing:"

    def _targets(self) -> Iterator[tuple[tuple[str, ...], str, int]]:
        for name, party in self.parties.items():
            if party.url is not None:
                url = urlsplit(party.url)
                yield ("parties", name, "url"), url.hostname or "", url.port or 443
        if self.broker.mode == "external" and self.broker.external is not None:
            for each in self.broker.external.hosts:
                host, _, port = each.partition(":")
                yield ("broker", "external", "hosts"), host, int(port or 5671)
        if self.ledger.url is not None and not self.ledger.url.startswith("sqlite"):
            url = urlsplit(self.ledger.url)
            if url.hostname:  # none: a local socket
                yield ("ledger", "url"), url.hostname, url.port or 5432

    @property
    def carried_parties(self) -> frozenset[str]:
        """The parties to which the gateway carries what our systems hand in: all but those whose leg is left to the city CS."""
        return frozenset(name for name in self.parties if self.legs.get(name, "gateway") == "gateway")  # type: ignore[call-overload]

    @property
    def outgoing_list(self) -> OutgoingList:
        """Where connections may go."""
        return OutgoingList(Allowed(host=each.host, port=each.port, network=each.network) for each in self.outgoing)

    def trust(self, name: str | None = None) -> Trust:
        """The authority ``name``; None: the one of our own systems."""
        if name is not None:
            return self.certificates.trust[name]
        return Trust(ca=self.ca_file, crl=self.crl_file, unknown_revocation=self.certificates.unknown_revocation)

    @property
    def machine_names(self) -> frozenset[str]:
        """Names in certificates of machines: none of them is ever an operator."""
        named = [system.peer for system in self.intake.systems.values()] + [party.peer for party in self.parties.values() if party.peer]
        named += [each.peer for system in self.intake.systems.values() for each in system.suppliers.values()]
        named += [party.pull.peer for party in self.parties.values() if party.pull is not None]
        named += [f"CN={name}" for name, party in self.parties.items() if party.queue is not None]
        named += [party.inbound.peer for party in self.parties.values() if party.inbound is not None and party.inbound.peer]
        return frozenset([*named, self.certificates.peer])

    _file: Path | None = PrivateAttr(default=None)
    _document: Document | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The file that it was read from."""
        return self._file

    @property
    def certificates_directory(self) -> Path:
        return self.certificates.directory or self.data_dir / "certs"

    @property
    def ca_file(self) -> Path:
        return self.certificates.ca or self.certificates_directory / "ca.pem"

    @property
    def crl_file(self) -> Path:
        return self.certificates.crl or self.certificates_directory / "ca.crl"

    @property
    def keys_directory(self) -> Path:
        """Where the keys are that seal payloads and open JWE."""
        return self.keys.directory or self.data_dir / "keys"

    @property
    def day_keys_directory(self) -> Path:
        """Where the day keys are, which no backup may have."""
        return self.keys.day_directory or self.data_dir / "day-keys"

    @property
    def checkpoints_file(self) -> Path:
        """Where every checkpoint of the audit chain is written outside the ledger."""
        return self.audit.checkpoints or self.data_dir / "audit" / "checkpoints.txt"

    @property
    def erasures_file(self) -> Path:
        """The list of erasures outside the ledger."""
        return self.retention.erasures or self.data_dir / "audit" / "erasures.jsonl"

    @property
    def backup_directory(self) -> Path:
        """Where backups of the ledger lie."""
        return self.backup.directory or self.data_dir / "backups"

    @property
    def export_directories(self) -> list[Path]:
        """Where people write exports to."""
        return self.retention.exports or [self.data_dir / "exports"]

    @property
    def broker_directory(self) -> Path:
        return self.broker.embedded.directory or self.data_dir / "broker"

    def certificate(self, name: str | None = None) -> tuple[Path, Path]:
        """Files of certificate chain and key for ``name`` (default: the gateway's own)."""
        name = name or self.certificates.gateway
        return self.certificates_directory / f"{name}.pem", self.certificates_directory / f"{name}.key"

    def ledger_url(self) -> str:
        """The ledger's address for SQLAlchemy. **Holds the password**: never log it.

        :raises ConfigurationError: the password file cannot be read.
        """
        if self.ledger.url is None:
            return f"sqlite:///{self.data_dir / 'ledger' / 'renkei.db'}"
        url = urlsplit(self.ledger.url)
        if url.scheme == "sqlite":
            folder = self._file.parent if self._file else Path.cwd()
            return f"sqlite:///{folder / self.ledger.url.removeprefix('sqlite:///')}"
        password = read_secret(self.ledger.password, self.ledger.password_file)
        return urlunsplit(_with_password(url, password))

    def where(self, *place: str | int) -> str:
        """``config.yaml, line 12: parties.city-cs.settings``: for messages about a value that turned out wrong later."""
        line = self._document.line(place) if self._document else None
        name = self._file.name if self._file else "configuration"
        return f"{name}, line {line}: {spell(place)}" if line else f"{name}: {spell(place)}"


def load(path: Path, *, environment: Mapping[str, str] | None = None) -> Config:
    """Read and validate a configuration file.

    :raises ConfigurationError: ``configuration-missing`` or ``configuration-invalid``; the text has one line per problem, with its line
        in the file, its key, and what to do. It never holds a value of the file.
    """
    path = path.absolute()
    try:
        document = read(path)
    except FileNotFoundError as error:
        raise ConfigurationError(
            "configuration-missing", f"there is no file {path.name} here; name one with --config or RENKEI_CONFIG"
        ) from error
    except OSError as error:
        raise ConfigurationError("configuration-missing", f"{path.name} cannot be read: {error.strerror}") from error
    problems = list(document.problems)
    if not isinstance(document.data, dict):
        problems.append(Problem(place=(), text="must be a mapping of sections, such as `parties:`", line=1))
    config: Config | None = None
    if isinstance(document.data, dict):
        problems += stray_references(Config, document)
        reading: Reading = {"folder": path.parent, "environment": os.environ if environment is None else environment}
        try:
            config = Config.model_validate(document.data, context=reading)
        except ValidationError as error:
            # Not `from error`: pydantic's exception keeps the input, secrets included.
            problems += [explain(Config, details, document, SHAPES) for details in error.errors(include_input=False, include_url=False)]
        else:
            problems += [Problem(place=place, text=text, line=document.line(place)) for place, text in config._strays()]
    if problems or config is None:
        ordered = sorted(problems, key=lambda problem: problem.line or 0)
        raise ConfigurationError("configuration-invalid", "\n".join(f"{path.name}: {problem}" for problem in ordered)) from None
    config._file = path
    config._document = document
    return config


def config_schema() -> dict[str, Any]:
    """JSON Schema of ``config.yaml`` for editors."""
    schema = Config.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Renkei Gateway config.yaml"}


def schema_text() -> str:
    """The schema as it stands in :data:`SCHEMA_FILE`."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def read_secret(value: SecretStr | None, file: Path | None) -> str | None:
    """The secret itself, from the environment or its file.

    :raises ConfigurationError: the file cannot be read, or is empty.
    """
    if file is None:
        return value.get_secret_value() if value is not None else None
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError("secret-unreadable", f"the secret file {file.name} cannot be read: {error.strerror}") from error
    if not text:
        raise ConfigurationError("secret-unreadable", f"the secret file {file.name} is empty")
    return text


def _with_password(url: SplitResult, password: str | None) -> SplitResult:
    user, at, host = url.netloc.rpartition("@")
    if password is not None:
        user, at = f"{user}:{quote(password, safe='')}", "@"
    return url._replace(scheme="postgresql+psycopg", netloc=f"{user}{at}{host}")
