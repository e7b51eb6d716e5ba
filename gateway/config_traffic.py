"""Sections of the configuration about who sends and who receives: intake, parties, where connections may go."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    StringConstraints,
    model_validator,
)

from gateway.config_values import (
    HTTPS,
    INTERFACE,
    MOMENT_OF_DAY,
    CertificateName,
    FilePath,
    Host,
    PeerName,
    Port,
    Seconds,
    Secret,
    Section,
    Sha256,
    SpecId,
)

FORMER_REGISTER = "former-resident-record-system"
"""The former resident record system (除住民票システム) is linked with no other system (C-1-3-11)."""


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


class DialoguesIntake(Section):
    """POST /v1/dialogues: questions of the city's own systems to a party while somebody waits."""

    incomplete: Literal["refuse", "flag"] = Field(
        default="refuse",
        description="A question without operator, terminal or reference is refused, or put on record as lacking it (C-2-3-8).",
    )


class SupplierOf(Section):
    """A department behind a sending system, with a certificate of its own."""

    peer: PeerName = Field(description="Name in its client certificate: one of its alternative names, or CN=common name.")
    items: list[str] = Field(min_length=1, description="Items that it permits to be linked (C-1-2-2); a group stands for all of its own.")


class System(Section):
    """One sending system of the city, by its id in the specification."""

    peer: PeerName = Field(description="Name in its client certificate: one of its alternative names, or CN=common name.")
    doors: list[Literal["https", "amqp", "file"]] = Field(default=["https", "amqp"], min_length=1)
    types: list[SpecId] = Field(min_length=1, description="Message types that it may send.")
    pins: list[Sha256] = Field(default=[], description="If any: SHA-256 of the certificates, or of their public keys, that it may show.")
    suppliers: dict[SpecId, SupplierOf] = Field(default={}, description="The departments behind it; by HTTPS only, which shows who sends.")
    preset: dict[SpecId, dict[str, list[str]]] = Field(
        default={}, description="By message type and path of an item: the only values that it may have (FS5-4: business systems)."
    )

    @model_validator(mode="after")
    def _known_by_certificate(self) -> Self:
        if self.suppliers and self.doors != ["https"]:
            raise ValueError("suppliers are known by their certificates: doors must be [https]")
        peers = [self.peer, *(each.peer for each in self.suppliers.values())]
        if len(set(peers)) != len(peers):
            raise ValueError("each supplier needs a peer of its own")
        return self


class NetworkMatching(Section):
    """Towards the information provision network: how a person's numbers are held against each other, and when a code is overdue."""

    matching: Literal["linkage", "none"] = Field(
        default="linkage",
        description="linkage: only who was linked through this gateway (atena-linkage-update, with the integrated atena number as the "
        "business number of atena-system) goes to the intermediate server (C-M-6-13). none: the linkage has another way.",
    )
    overdue_hours: Annotated[float, Field(gt=0, le=8760)] = Field(
        default=24.0, description="A code acquisition that had no next step for so long is overdue."
    )


class Intake(Section):
    """In from the city's own systems."""

    https: HttpsIntake = HttpsIntake()
    amqp: AmqpIntake = AmqpIntake()
    limits: IntakeLimits = IntakeLimits()
    dialogues: DialoguesIntake = DialoguesIntake()
    systems: dict[SpecId, System] = {}
    network: NetworkMatching = NetworkMatching()


class PartyLimits(Section):
    """What the party can take from each process; where nothing is said, the adapter's own limits hold."""

    calls: int | None = Field(default=None, ge=1, le=1000, description="Calls at once.")
    records_per_call: int | None = Field(default=None, ge=1, le=10_000)
    call_s: Annotated[float, Field(gt=0, le=120)] | None = Field(default=None, description="A longer call is given up; at most 120 (R5).")
    questions: int = Field(
        default=4, ge=1, le=100, description="Questions at once, while people wait: besides calls, on connections of their own."
    )


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


TIME_OF_DAY = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
DAY = r"^([0-9]{4}-)?(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


class ServiceHours(Section):
    """When questions of a party are answered, Japanese time. Write times in quotes: "06:30"."""

    kinds: list[str] = Field(default=[], description="Codes of kinds of certificates that have hours of their own; none: all others.")
    opens: Annotated[str, StringConstraints(pattern=TIME_OF_DAY)]
    closes: Annotated[str, StringConstraints(pattern=TIME_OF_DAY)] = Field(description="From then on nothing is answered.")
    business_days: bool = Field(default=False, description="Only on business days (retention.holidays adds the city's own).")


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
    hours: list[ServiceHours] = Field(default=[], description="When its questions are answered; without an entry: always.")
    closed: list[Annotated[str, StringConstraints(pattern=DAY)]] = Field(
        default=[], description='Days without service, "MM-DD" or "YYYY-MM-DD", in quotes.'
    )
    most_questions: int = Field(default=200, ge=1, le=10_000, description="Open questions at once; the next one is refused at once.")


class Consumer(Section):
    """A system of the city that has its messages by queue, and acknowledges each by a message of its own (R18)."""

    keys: FilePath = Field(description="JWK set (RFC 7517) with its public P-256 keys; the first one counts. Followed when it changes.")
    acknowledge_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        default=60.0, description="A message that is not acknowledged by then is put into the queue again, with the same id."
    )
    answer_s: Annotated[float, Field(ge=0.1, le=110)] = Field(
        default=20.0, description="How long a question is left with it while a person waits; a later answer is dropped."
    )
    most_questions: int = Field(default=200, ge=1, le=900, description="Questions that are left with it at once, from each process.")


class Pull(Section):
    """A system of the city that fetches its messages by REST and acknowledges each (共通機能標準仕様書 2.7: OAuth 2.0)."""

    client: SpecId | None = Field(default=None, description="Its client_id. Default: the name of the account.")
    business_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,40}$")] = Field(
        description="Its 業務ID (or 独自施策システムID): the first part of its scopes, 業務ID:resource:operation."
    )
    peer: PeerName = Field(description="Name in the client certificate with which it calls.")
    pins: list[Sha256] = Field(default=[], description="If any: SHA-256 of the certificates, or of their public keys, that it may show.")
    secret: Secret | None = Field(default=None, description="Its client_secret: ${NAME}, a variable of the environment.")
    secret_file: FilePath | None = Field(default=None, description="File that holds the client_secret, at least 32 characters.")
    acknowledge_s: Annotated[float, Field(ge=1, le=604_800)] = Field(
        default=86_400.0, description="What is not fetched and acknowledged by then is offered anew, with the same id."
    )

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("give either secret or secret_file")
        return self


class FileDrop(Section):
    """A system of the city that has its messages as CSV files in a folder, and answers each file by one of its own."""

    directory: FilePath = Field(description="A folder of its own; holds out/ (ours) and in/ (its answers).")
    layout: FilePath | None = Field(default=None, description="Record layout of a city's own. Default: the packaged one of the type.")
    records: int = Field(default=1000, ge=1, le=10_000, description="The most in one file.")
    acknowledge_s: Annotated[float, Field(ge=1, le=604_800)] = Field(
        default=172_800.0, description="A record that is not acknowledged by then is written again, with the same id."
    )


class PullDoor(Section):
    """The listener at which systems of the city fetch what is for them; opened where a party has pull."""

    host: Host = "127.0.0.1"
    port: Port = 18446
    certificate: CertificateName | None = Field(default=None, description="Default: certificates.gateway.")
    issuer: Annotated[str, StringConstraints(pattern=HTTPS)] = Field(
        default="https://gateway:18446", description="Our name as authorisation server, the audience of client assertions."
    )
    token_s: Annotated[float, Field(ge=5, le=3600)] = Field(default=300.0, description="How long an access token is good for.")


class Fetch(Section):
    """What waits at this party until it is fetched: when that is done, by one gateway process at a time."""

    at: Annotated[str, StringConstraints(pattern=MOMENT_OF_DAY)] = Field(
        description="HH:MM, once a day at this time in Japan; or *:MM, every hour. What was missed is made up for at once."
    )
    again_s: Seconds = Field(default=120.0, description="After a failure it is tried again so soon.")
    items: list[str] = Field(
        default=[],
        description="The only items that are taken in, as ITEM or GROUP/ITEM; others are dropped and counted (C-1-2-3). Default: all of "
        "the message type.",
    )
    applicants: SpecId | None = Field(
        default=None, description="For applications: whose certificates applicants sign with, a name below certificates.trust."
    )
    procedures: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")], SpecId] = Field(
        default={}, description="For applications: which of our systems has those of a procedure (手続). Of others none is taken."
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
    url: Annotated[str, StringConstraints(pattern=HTTPS)] | None = Field(
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
    interface: Annotated[str, StringConstraints(pattern=INTERFACE)] | None = Field(
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
    fetch: Fetch | None = Field(default=None, description="For parties whose messages wait to be fetched; the adapter must support it.")
    queue: Consumer | None = Field(default=None, description="For a system of the city that has its messages by queue, instead of url.")
    pull: Pull | None = Field(default=None, description="For a system of the city that fetches its messages by REST, instead of url.")
    files: FileDrop | None = Field(default=None, description="For a system of the city that has its messages as CSV files, instead of url.")
    system: SpecId | None = Field(default=None, description="Whose account this is, where it does not bear the name of the system itself.")
    works: list[SpecId] = Field(default=[], description="What this account is for (事務), such as transfer-2; each work has one.")

    @property
    def in_house(self) -> bool:
        """Whether it is one of our systems, which acknowledges by itself (R18)."""
        return self.url is None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if [self.url, self.queue, self.pull, self.files].count(None) != 3:
            raise ValueError("give url and peer of an outside party, or one of queue, pull and files of a system of the city")
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
