"""The configuration: what ``config.yaml`` may say, and how it is read.

The models below are the one source of validation, of the JSON Schema for editors (``docs/config.schema.json``) and of the defaults.
Unknown keys are refused with a suggestion, keys that stand twice are refused, relative paths are taken from the folder of the file.
A secret is never written into the file: it comes from a file of its own (``password_file``) or from the environment (``${NAME}``),
and no configuration object prints one.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import typing
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from gateway.config_problems import REFERENCE, explain, stray_references, suggestion
from gateway.config_yaml import Document, Problem, read, spell
from gateway.errors import ConfigurationError
from gateway.security.outgoing import Allowed, OutgoingList

__all__ = ["Config", "config_schema", "load", "read_secret", "resolve_secret", "schema_text", "suggestion"]

SCHEMA_FILE = "docs/config.schema.json"


class _Reading(typing.TypedDict):
    folder: Path
    environment: Mapping[str, str]


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    reading: _Reading | None = info.context
    return path if path.is_absolute() or reading is None else reading["folder"] / path


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError("must be a network such as 192.0.2.0/24 or an address") from error


def _from_environment(value: Any, info: ValidationInfo) -> Any:
    reading: _Reading | None = info.context
    if reading is None or not isinstance(value, str):
        return value
    return resolve_secret(value, reading["environment"])


def resolve_secret(value: str, environment: Mapping[str, str]) -> str:
    """The value of ``${NAME}``; :raises ValueError: it is not a reference, or the variable is not set."""
    reference = REFERENCE.fullmatch(value.strip())
    if reference is None:
        raise ValueError("a secret does not belong into this file; write ${NAME} for a variable of the environment, or use the _file key")
    found = environment.get(reference[1])
    if not found:
        raise ValueError(f"the environment variable {reference[1]} is not set")
    return found


_ID = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_NAME = r"^[^\x00-\x1f]+$"
_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_HOST = r"^[^\s/]+$"
_HOST_PORT = r"^[^\s:/]+(:[0-9]{1,5})?$"
_HTTPS = r"^https://[^\s@]+$"
_INSTANCE = r"^[a-z0-9][a-z0-9-]*$"
_SHA256 = r"^[0-9a-f]{64}$"
_INTERFACE = r"^[^\s/]{1,15}$"
_SHAPES = {
    _ID: "an id of the specification: small letters, digits and single hyphens, such as city-cs",
    _NAME: "a name in a certificate: a DNS name, a URI, or CN=common name",
    _FILE: "the name of a certificate file without .pem: letters, digits, dots, hyphens",
    _HOST: "a host name or an address",
    _HOST_PORT: "HOST or HOST:PORT",
    _HTTPS: "an address that starts with https:// and holds no user",
    _INSTANCE: "small letters, digits and hyphens",
    _SHA256: "SHA-256 in 64 hexadecimal digits, small letters, without colons (renkei certs list shows it)",
    _INTERFACE: "a network interface, such as eth1",
}

FilePath = Annotated[Path, AfterValidator(_from_folder)]
Secret = Annotated[SecretStr, BeforeValidator(_from_environment)]
SpecId = Annotated[str, StringConstraints(pattern=_ID, max_length=64)]
PeerName = Annotated[str, StringConstraints(pattern=_NAME, min_length=1, max_length=200)]
CertificateName = Annotated[str, StringConstraints(pattern=_FILE, max_length=64)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_HOST)]
Network = Annotated[str, AfterValidator(_network)]
Port = Annotated[int, Field(ge=1, le=65535)]
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of all sections: closed, unchangeable, and strict about defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


def _one_secret(password: SecretStr | None, password_file: Path | None) -> None:
    if password is not None and password_file is not None:
        raise ValueError("password and password_file are both given; keep one")


class Ledger(Section):
    """Where messages, deliveries and evidence are kept."""

    url: str | None = Field(
        default=None,
        description="sqlite:///FILE (relative to this file) or postgresql://USER@HOST:PORT/DATABASE, without a password. "
        "Default: the SQLite file ledger/renkei.db below data_dir.",
    )
    password: Secret | None = Field(default=None, description="Of the PostgreSQL user: ${NAME} only.")
    password_file: FilePath | None = Field(default=None, description="A file that holds that password and nothing else.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        _one_secret(self.password, self.password_file)
        if self.url is None:
            return self
        url = urlsplit(self.url)
        if url.scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
            raise ValueError("url: must start with sqlite:/// or postgresql://")
        if url.password is not None:
            raise ValueError("url: holds a password; give it by password_file or password: ${NAME}")
        if url.scheme == "sqlite" and not url.path.strip("/"):
            raise ValueError("url: names no file; an SQLite ledger lives in a file (sqlite:///var/ledger/renkei.db)")
        return self


class RegisterListener(Section):
    """TLS listener of the embedded broker, for registers on other machines."""

    host: Host = "127.0.0.1"
    port: Port = 17671
    certificate: CertificateName = Field(default="broker", description="Name of certificate and key in certificates.directory.")


class EmbeddedBroker(Section):
    """The RabbitMQ node that the gateway starts and supervises itself."""

    port: Port = Field(default=17672, description="AMQP for the gateway's own processes, loopback only.")
    listener: RegisterListener | None = Field(default=None, description="Without it no register can submit over AMQP from outside.")
    directory: FilePath | None = Field(default=None, description="Data folder of the node. Default: broker/ below data_dir.")
    ready_s: Seconds = Field(default=60.0, description="How long a start may take.")
    memory_bytes: int = Field(default=1_073_741_824, ge=134_217_728, description="Above it the broker takes no more messages.")
    disk_free_bytes: int = Field(default=268_435_456, ge=1_000_000, description="With less room on disk it takes no more messages.")


class ExternalBroker(Section):
    """A broker or cluster that others run, over TLS with a client certificate."""

    hosts: list[Annotated[str, StringConstraints(pattern=_HOST_PORT)]] = Field(
        min_length=1, description="HOST or HOST:PORT, tried in turn. Default port 5671."
    )
    vhost: str = "renkei"
    user: str = Field(default="gateway", min_length=1)
    password: Secret | None = None
    password_file: FilePath | None = None
    ca: FilePath | None = Field(default=None, description="Default: certificates.ca.")
    certificate: CertificateName = "gateway"
    peer: PeerName | None = Field(default=None, description="Name in the broker's certificate. Default: the host.")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        _one_secret(self.password, self.password_file)
        return self


class Broker(Section):
    """RabbitMQ."""

    mode: Literal["embedded", "external"] = "embedded"
    embedded: EmbeddedBroker = EmbeddedBroker()
    external: ExternalBroker | None = None
    heartbeat_s: Annotated[int, Field(ge=5, le=60)] = Field(default=10, description="Seconds; 5 to 20 is sensible.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "external" and self.external is None:
            raise ValueError("mode is external, so the section external is needed")
        return self


class Trust(Section):
    """The authority of one network (Juki-net, LGWAN, our own): whom its peers' certificates must come from."""

    ca: FilePath = Field(description="PEM file with its root and its intermediates.")
    crl: FilePath = Field(description="PEM file with the revocation lists of all of them.")
    issuer: Sha256 | None = Field(default=None, description="Only certificates of this issuing authority: SHA-256 of its certificate.")
    unknown_revocation: Literal["refuse", "accept"] = Field(
        default="refuse", description="A certificate of which no list in force tells whether it is revoked."
    )


class Certificates(Section):
    """Where certificates and keys are: NAME.pem (with its chain) and NAME.key, the key readable by its owner only."""

    directory: FilePath | None = Field(default=None, description="Default: certs/ below data_dir.")
    ca: FilePath | None = Field(default=None, description="The authorities that peers may come from. Default: ca.pem in the directory.")
    crl: FilePath | None = Field(default=None, description="Revocation list. Default: ca.crl in the directory.")
    unknown_revocation: Literal["refuse", "accept"] = Field(
        default="refuse", description="A certificate of which no list in force tells whether it is revoked."
    )
    trust: dict[SpecId, Trust] = Field(default={}, description="Further authorities, by a name that parties refer to.")
    gateway: CertificateName = Field(default="gateway", description="The gateway's own certificate, as server and as client.")
    peer: PeerName = Field(default="gateway", description="Name that the gateway's certificate bears; renkei's own commands insist on it.")
    warn_days: int = Field(default=30, ge=1, description="renkei check warns when a certificate ends within so many days.")


class Token(Section):
    """A PKCS#11 token (HSM, smart card) for keys that must not lie on a disk."""

    library: FilePath = Field(description="The vendor's PKCS#11 library (a shared object), writable by root only.")
    label: str = Field(min_length=1, max_length=32, description="Label of the token.")
    pin: Secret | None = None
    pin_file: FilePath | None = None

    @model_validator(mode="after")
    def _one_pin(self) -> Self:
        if (self.pin is None) == (self.pin_file is None):
            raise ValueError("give the PIN by pin_file, or by pin: ${NAME}")
        return self


class Keys(Section):
    """The gateway's own secret keys."""

    directory: FilePath | None = Field(default=None, description="Default: keys/ below data_dir.")
    kek: Literal["file", "token"] = Field(
        default="file", description="Where new key-encryption keys are made. After a change: renkei keys rotate kek."
    )
    day_directory: FilePath | None = Field(default=None, description="Day keys: outside every backup. Default: day-keys/ below data_dir.")
    queue_age_days: Annotated[float, Field(gt=0, le=366)] = Field(
        default=14.0, description="The longest that a message lies in a queue: so long an older JWE key still opens, then it is destroyed."
    )


class HttpsIntake(Section):
    """POST /v1/messages for the city's own systems."""

    host: Host = "127.0.0.1"
    port: Port = 18443
    certificate: CertificateName | None = Field(default=None, description="Default: certificates.gateway.")


class AmqpIntake(Section):
    """One queue per sending system, intake.SYSTEM."""

    prefetch: int = Field(default=200, ge=1, le=2000)
    batch: int = Field(default=100, ge=1, le=200, description="Messages admitted in one commit.")


class IntakeLimits(Section):
    """When the doors say that it is too much."""

    message_bytes: int = Field(default=1_048_576, ge=1024, le=104_857_600)
    backlog: int = Field(default=1_000_000, ge=1, description="Unfinished deliveries in all; above it the doors answer 503.")
    disk_reserve_bytes: int = Field(default=268_435_456, ge=0, description="Kept free for the outcomes of calls under way.")


class System(Section):
    """One sending system of the city, by its id in the specification."""

    peer: PeerName = Field(description="Name in its client certificate: one of its alternative names, or CN=common name.")
    doors: list[Literal["https", "amqp", "file"]] = Field(default=["https", "amqp"], min_length=1)
    types: list[SpecId] = Field(min_length=1, description="Message types that it may send.")
    pins: list[Sha256] = Field(default=[], description="If any: SHA-256 of the certificates, or of their public keys, that it may show.")


class Intake(Section):
    """In from the city's own systems."""

    https: HttpsIntake = HttpsIntake()
    amqp: AmqpIntake = AmqpIntake()
    limits: IntakeLimits = IntakeLimits()
    systems: dict[SpecId, System] = {}


class PartyLimits(Section):
    """What the party can take from each process; where nothing is said, the adapter's own limits hold."""

    calls: int | None = Field(default=None, ge=1, le=1000, description="Calls at once.")
    records_per_call: int | None = Field(default=None, ge=1, le=10_000)
    call_s: Annotated[float, Field(gt=0, le=120)] | None = Field(default=None, description="A longer call is given up; at most 120 (R5).")


class Retry(Section):
    """Back-off of one resident's message after a passing failure."""

    first_s: Seconds = 1.0
    longest_s: Seconds = 300.0
    budget: int = Field(default=12, ge=1, description="Attempts that fail for reasons of their own before the message is held.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest_s < self.first_s:
            raise ValueError("longest_s must not be less than first_s")
        return self


class Signatures(Section):
    """Signatures on the messages themselves (WS-Security), both ways: beside TLS, and as evidence. Without this section: none."""

    certificate: CertificateName = Field(
        default="gateway-signing", description="Our signing certificate and key, NAME.pem and NAME.key in certificates.directory."
    )
    partner: CertificateName = Field(
        description="The party's signing certificate, NAME.pem in certificates.directory; two in the file while it changes."
    )
    token_key: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="Label of our private key in the token of section token; NAME.key is then not read and need not exist."
    )
    lifetime_s: Annotated[float, Field(ge=10, le=600)] = Field(default=300.0, description="How long a message of ours may be accepted.")
    longest_s: Annotated[float, Field(ge=10, le=3600)] = Field(default=600.0, description="The longest such time granted to the party.")
    skew_s: Annotated[float, Field(ge=0, le=300)] = Field(default=60.0, description="How far the clocks may be apart.")


class Inbound(Section):
    """The listener at which this party calls us: its messages are taken there, signed by it, and receipts signed by us go back."""

    host: Host = "127.0.0.1"
    port: Port
    certificate: CertificateName | None = Field(default=None, description="Ours, as server. Default: that of the party, or the gateway's.")
    peer: PeerName | None = Field(default=None, description="Name in the certificate with which it calls. Default: the party's peer.")
    address: str | None = Field(
        default=None, description="Our logical address, which each message must name (wsa:To). Default: as in the profile's WSDL."
    )
    body_bytes: int = Field(default=4_194_304, ge=1024, le=67_108_864, description="The longest call taken.")


class Consumer(Section):
    """A system of the city that has its messages by queue, and acknowledges each by a message of its own (R18)."""

    keys: FilePath = Field(description="JWK set (RFC 7517) with its public P-256 keys; the first one counts. Followed when it changes.")
    acknowledge_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        default=60.0, description="A message that is not acknowledged by then is put into the queue again, with the same id."
    )
    answer_s: Annotated[float, Field(ge=0.1, le=110)] = Field(
        default=20.0, description="How long a question is left with it while a person waits; a later answer is dropped."
    )


class Encryption(Section):
    """Encryption of the Bodies of signed messages (XML Encryption) within TLS, both ways. Without this section: none."""

    certificate: CertificateName = Field(
        default="gateway-encryption", description="Our certificate that the party encrypts for; its key is NAME.key (RSA, 3072 bits)."
    )
    partner: CertificateName = Field(description="The party's certificate to encrypt for, NAME.pem in certificates.directory.")


class Party(Section):
    """One outside party, or one of our systems that has messages by queue, by its id in the specification."""

    adapter: Annotated[str, StringConstraints(min_length=1)] = Field(description="Name of an installed adapter (renkei config adapters).")
    url: Annotated[str, StringConstraints(pattern=_HTTPS)] | None = Field(
        default=None, description="https://HOST:PORT of the party; none where it has its messages by queue."
    )
    peer: PeerName | None = Field(
        default=None,
        description="Name that the party's certificate must bear: one of its alternative names, or CN=common name. Needed with url.",
    )
    certificate: CertificateName | None = Field(default=None, description="Our client certificate for it. Default: certificates.gateway.")
    trust: SpecId | None = Field(
        default=None, description="Whose certificate it must show: a name below certificates.trust, or certificates.ca."
    )
    pins: list[Sha256] = Field(default=[], description="If any: SHA-256 of the certificates, or of their public keys, that it may show.")
    address: IPvAnyAddress | None = Field(default=None, description="Address of this machine that connections to it start from.")
    interface: Annotated[str, StringConstraints(pattern=_INTERFACE)] | None = Field(
        default=None, description="Network interface of this machine that connections to it must leave by."
    )
    tls: Literal["1.2", "1.3"] = Field(default="1.3", description="Lowest version of TLS that is spoken with it.")
    signatures: Signatures | None = Field(default=None, description="Messages are signed and verified; the adapter must support it.")
    encryption: Encryption | None = Field(default=None, description="Bodies are encrypted besides, after signing.")
    paused: bool = Field(default=False, description="Start with deliveries to it paused.")
    settings: dict[str, Any] = Field(default={}, description="Settings of the adapter; checked against its manifest.")
    limits: PartyLimits = PartyLimits()
    retry: Retry = Retry()
    inbound: Inbound | None = Field(default=None, description="Where the party calls us; needs signatures. Without it, it does not.")
    queue: Consumer | None = Field(default=None, description="For a system of the city that has its messages by queue, instead of url.")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if (self.url is None) == (self.queue is None):
            raise ValueError("give url and peer of an outside party, or queue of a system of the city")
        if self.url is not None and self.peer is None:
            raise ValueError("url is given, so peer is needed: the name that the party's certificate must bear")
        if self.inbound is not None and (self.signatures is None or self.peer is None):
            raise ValueError("inbound is given, so signatures are needed: what a party hands in must be signed by it")
        return self

    @model_validator(mode="after")
    def _signed_first(self) -> Self:
        if self.encryption is not None and self.signatures is None:
            raise ValueError("encryption needs signatures: only what is signed is encrypted")
        return self


class Outgoing(Section):
    """Where connections may go: a name, an address range, or a name whose addresses must lie in that range."""

    host: Host | None = Field(default=None, description="As it stands in the url; names must be listed, addresses may be in a network.")
    port: Port | None = Field(default=None, description="Default: any.")
    network: IPvAnyNetwork | None = Field(default=None, description="Addresses, such as 10.20.0.0/16.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.host is None and self.network is None:
            raise ValueError("give host, network, or both")
        return self


class Retention(Section):
    """What is erased when; the table itself is packaged."""

    policy: FilePath | None = Field(default=None, description="A retention table of the city's own, instead of the packaged one.")
    holidays: FilePath | None = Field(default=None, description="YAML with lists of dates, holidays: and business-days:, beside the law's.")
    every_s: Seconds = Field(default=600.0, description="How often it is looked for what is past its time.")
    erasures: FilePath | None = Field(
        default=None,
        description="Every erasure is appended to this file first; put it onto another disk. Default: audit/erasures.jsonl below data_dir.",
    )
    exports: list[FilePath] = Field(
        default=[],
        description="Folders that people write exports to: erased by the rule of exports. Default: exports/ below data_dir.",
    )


class Backup(Section):
    """What `renkei backup create` makes."""

    directory: FilePath | None = Field(
        default=None, description="Folder of the backups; put it onto another disk, or carry it there. Default: backups/ below data_dir."
    )


class Workers(Section):
    """The processes that carry messages to the parties."""

    processes: int = Field(default=2, ge=1, le=64)
    share: int = Field(default=20, ge=1, le=1000, description="Messages of one resident in a row before others have their turn.")


class Operator(Section):
    """One person, known by the name in a personal client certificate."""

    roles: list[Literal["viewer", "operator", "approver", "administrator", "auditor"]] = Field(
        min_length=1, description="They do not contain one another: whoever acts does not look by that alone."
    )
    parties: list[SpecId] | None = Field(default=None, min_length=1, description="Only what concerns these parties. Default: all.")
    networks: list[Network] = Field(default=[], description="Where this person's terminals stand (CIDR). Default: anywhere.")
    valid_from: dt.date | None = Field(default=None, description="First day, in Japan.")
    valid_until: dt.date | None = Field(default=None, description="Last day, in Japan: of the post, or of a contract.")
    contractor: bool = Field(
        default=False,
        description="Needs valid_from, valid_until and networks, and acts only while somebody of the city has released it.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.contractor and (self.valid_from is None or self.valid_until is None or not self.networks):
            raise ValueError("a contractor needs valid_from, valid_until and networks (C-1-4-1)")
        if self.valid_from is not None and self.valid_until is not None and self.valid_until < self.valid_from:
            raise ValueError("valid_until must not be before valid_from")
        return self


class Admin(Section):
    """The API behind the operators' commands."""

    host: Host = "127.0.0.1"
    port: Port = 18444
    certificate: CertificateName | None = Field(default=None, description="Default: certificates.gateway.")
    operators: dict[PeerName, Operator] = {}
    request_s: Seconds = Field(default=86_400.0, description="A request that no second person approved by then expires.")
    certificate_days: int = Field(default=366, ge=1, description="A personal certificate that was issued longer ago is refused (C-1-3-18).")
    unused_days: int = Field(default=90, ge=1, description="renkei operators list marks who has not come for so long (C-1-3-17).")


class Metrics(Section):
    """/metrics, /livez and /readyz."""

    host: Host = "127.0.0.1"
    port: Port = 18445
    certificate: CertificateName | None = Field(default=None, description="Default: certificates.gateway.")
    peers: list[PeerName] = Field(default=["monitor"], description="Names in client certificates that may read them.")


class TimeStamps(Section):
    """An RFC 3161 time-stamping authority."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]+$")] = Field(description="Where it takes requests.")
    ca: FilePath = Field(description="PEM with its root, and intermediates that its answers lack.")
    timeout_s: Seconds = 10.0


class Audit(Section):
    """The chain over the audit entries, and its signed checkpoints."""

    checkpoint_s: Seconds = Field(default=60.0, description="A signed checkpoint so often, where there is anything new, and at each stop.")
    checkpoints: FilePath | None = Field(
        default=None,
        description="Every checkpoint is appended to this file; put it onto another disk or machine. "
        "Default: audit/checkpoints.txt below data_dir.",
    )
    timestamp: TimeStamps | None = Field(default=None, description="Without it checkpoints bear no time stamp of a third party.")


class Log(Section):
    """Structured log on standard error; never personal data."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Config(Section):
    """The whole configuration of one gateway."""

    instance: Annotated[str, StringConstraints(pattern=_INSTANCE, max_length=40)] = Field(
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
    parties: dict[SpecId, Party] = {}
    outgoing: list[Outgoing] = Field(
        default=[Outgoing(network=ip_network("127.0.0.0/8")), Outgoing(network=ip_network("::1/128"))],
        description="The only places that connections are opened to: parties, an external broker, a ledger. Default: this machine.",
    )
    workers: Workers = Workers()
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
        for name, party in self.parties.items():
            if party.trust is not None and party.trust not in self.certificates.trust:
                yield ("parties", name, "trust"), f"there is no {party.trust} below certificates.trust"
            if party.queue is not None and "amqp" not in getattr(self.intake.systems.get(name), "doors", ()):
                yield ("parties", name, "queue"), f"{name} must be in intake.systems with the door amqp: it acknowledges as that system"
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
        reading: _Reading = {"folder": path.parent, "environment": os.environ if environment is None else environment}
        try:
            config = Config.model_validate(document.data, context=reading)
        except ValidationError as error:
            # Not `from error`: pydantic's exception keeps the input, secrets included.
            problems += [explain(Config, details, document, _SHAPES) for details in error.errors(include_input=False, include_url=False)]
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
