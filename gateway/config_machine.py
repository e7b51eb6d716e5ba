"""Sections of the configuration about the machine and its operators: ledger, broker, certificates, keys, erasure, access, logs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from gateway.config_values import (
    HOST_PORT,
    CertificateName,
    FilePath,
    Host,
    Network,
    PeerName,
    Port,
    Seconds,
    Secret,
    Section,
    Sha256,
    Span,
    SpecId,
    one_secret,
)


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
        one_secret(self.password, self.password_file)
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

    hosts: list[Annotated[str, StringConstraints(pattern=HOST_PORT)]] = Field(
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
        one_secret(self.password, self.password_file)
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


class Medium(Section):
    """A place where media are written: nothing is written anywhere else (C-1-3-27)."""

    directory: FilePath = Field(description="Where the medium is mounted.")
    types: list[str] = Field(min_length=1, description="Message types that may be written there.")


class Flows(Section):
    """How long is waited for the steps of a business flow; the flows themselves are packaged."""

    within: Span = Field(default="1d", description="Until when a step must have ended, where the flow or `deadlines` says nothing.")
    settle: Span = Field(default="1d", description="A step that depends on the case is not needed when it has not come by then.")
    deadlines: dict[str, Span] = Field(default={}, description="FLOW/STEP: another time, such as F3-1/1-3: 3d.")
    keep_days: int = Field(default=400, ge=1, description="Cases that ended longer ago are erased.")

    @field_validator("deadlines")
    @classmethod
    def _steps_that_there_are(cls, given: dict[str, str]) -> dict[str, str]:
        from gateway.flows.model import flows

        for place in given:
            flow, _, step = place.partition("/")
            known = flows().by_id.get(flow)
            if known is None or all(each.no != step for each in known.steps):
                raise ValueError(f"there is no step {place}: see renkei flows steps")
        return given


class Backup(Section):
    """What `renkei backup create` makes, and the gateway once a day."""

    directory: FilePath | None = Field(
        default=None, description="Folder of the backups; put it onto another disk, or carry it there. Default: backups/ below data_dir."
    )
    daily_at: str | None = Field(
        default=None,
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="Time of day in Japan (HH:MM) at which the gateway makes a backup. Left out: only people and timers make them.",
    )
    warn_hours: float = Field(default=26.0, gt=0, description="`renkei check` finds a newest backup that is older.")


class Workers(Section):
    """The processes that carry messages to the parties."""

    processes: int = Field(default=2, ge=1, le=64)
    share: int = Field(default=20, ge=1, le=1000, description="Messages of one resident in a row before others have their turn.")


class Bulk(Section):
    """What bulk work (first numbering, a change of addresses, a replica anew) may take while live work is there (I4)."""

    per_s: float = Field(
        default=530.0, gt=0, le=100_000, description="Records a second that begin beside live work, in each process. Alone: no limit."
    )
    records: int = Field(
        default=25, ge=1, le=200, description="The most records of one commit and one call: what live work may find before it."
    )
    process: bool = Field(
        default=False, description="Admit and deliver bulk work in a process of its own, which has the processors after all others."
    )
    nice: int = Field(default=5, ge=0, le=19, description="Of that process: how far it stands back for the processors.")


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
