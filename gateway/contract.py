"""What an adapter author sees: the adapter, its manifest, the envelope, and the outcomes.

An adapter turns an :class:`Envelope` into one call to its party and the party's answer into one *outcome*. Everything else (TLS,
order, retry, breaker, duplicate suppression, size limits, redaction, metrics) belongs to the host. An adapter raises nothing on
purpose: an exception that escapes from :meth:`Adapter.deliver` is an *unknown* outcome, never a success (rule R9).
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from gateway.security.soap.messages import MessageSecurity


class Remembers(enum.Enum):
    """What a party that drops duplicates remembers (rule R4)."""

    EFFECTS = "effects"
    """Only what took effect: a *duplicate* after an unanswered attempt proves the effect."""
    FIRST_ANSWER = "first-answer"
    """It repeats its first answer, whatever that was."""
    ALL = "all"
    """Refused ids too, and says only *duplicate*: that proves nothing, the delivery stays unknown (R4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropsDuplicates:
    """The party drops a record that it has seen, by ``key``: ``delivery-id``, or the spec's name of the item, and then the delivery id of
    records whose message type has no such item."""

    key: str
    remembers: Remembers
    memory_s: float
    """How long it remembers, in seconds; must exceed the time an attempt may stay open (R9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersQueries:
    """The party can be asked whether a delivery took effect; the answer is final ``final_after_s`` seconds after a call ended."""

    final_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the party can take, for each process of the gateway."""

    calls: int = 16
    """Calls at once."""
    records_per_call: int = 1
    """The most records in a call, all of one message type."""
    records_of: Mapping[str, int] = field(default_factory=dict)
    """Of these message types fewer."""
    call_s: float = 30.0
    """A call that takes longer is given up and is *unknown*; at most 120 (R5)."""
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of an adapter: the source of validation, documentation and redaction."""

    name: str
    type: type
    description: str
    default: Any = None
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the host must know of an adapter before it starts it."""

    name: str
    party: str
    """The spec id of the party (``city-cs``): queues, labels, status and policy use it, and nothing else."""
    description_en: str
    description_ja: str
    message_types: tuple[str, ...]
    settings: tuple[Setting, ...] = ()
    duplicates: DropsDuplicates | None = None
    questions: tuple[str, ...] = ()
    """Message types that it carries as questions of a dialogue (:meth:`Adapter.ask`)."""
    fetches: tuple[str, ...] = ()
    """Message types that wait at the party until they are fetched (:meth:`Adapter.waiting`, :meth:`Adapter.fetch`)."""
    queries: AnswersQueries | None = None
    signatures: bool = False
    """It signs its messages and verifies the party's where the configuration says so (``parties.*.signatures``)."""
    queue: bool = False
    """The party is one of our own systems that has its messages by queue: the host gives ``queue``, and no HTTP."""
    settle_s: float = 1.0
    """How long after a given-up call the party may still carry it out (R9)."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One delivery, unsealed: lives in the memory of the worker only, and prints without its content (I5)."""

    delivery_id: str
    """Random; the same for every attempt at this delivery (I2, R4)."""
    message_id: str
    message_type: str
    party_key: str | None
    """The party's own key of the record (依頼管理番号), if the type has one."""
    attempt: int
    """1 for the first attempt."""
    resent: bool
    """An earlier attempt with these ids ended without an answer."""
    content: bytes = field(repr=False)
    """The XML of the message type, already filtered for this party."""
    municipality: str | None = None
    """The six digits of the municipality (全国地方公共団体コード) at the other end, where the party relays to several."""
    work: str | None = None
    """What it is handed over for (事務), where the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a dialogue: somebody waits for its answer, and nothing of it is kept."""

    dialogue_id: str
    """Random; unguessable."""
    message_type: str
    content: bytes = field(repr=False)
    """The XML of the message type, already filtered for this party."""
    municipality: str | None = None
    """As in :class:`Envelope`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a party answered to a question: proven to be its own and to belong to this call; whether it is about the same person and
    request, and what of it may go on, is the host's business."""

    message_type: str
    content: bytes = field(repr=False)


class QuestionRefused(Exception):
    """The party answered that it does not answer this question. ``code`` is stable and holds no personal data."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedRecord:
    """One record of a batch, as it came."""

    record_id: str
    """The party's own id of the record, the same however often it is fetched: by it, it takes effect once (I2)."""
    content: bytes = field(repr=False)
    """The XML of the record."""
    problem: str | None = None
    """A code of why it cannot be what it should (a code of the party that nobody knows): it is refused, and kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedBatch:
    """What one fetch brought: complete, of that batch and, where the party serves several municipalities, of ours."""

    batch_id: str
    records: tuple[FetchedRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """What the party is told of one record once that is committed."""

    record_id: str
    outcome: str
    """``accepted`` | ``set-aside`` (kept for our staff) | ``refused``."""
    code: str | None = None
    """Why not accepted; without personal data."""


class FetchFailed(Exception):
    """The party answered, but not with what was asked for: nothing of it counts. ``code`` is stable and holds no personal data."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The party's answer as evidence: the bytes as they came, and a code without personal data."""

    code: str
    body: bytes = field(repr=False)
    content_type: str = "application/xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The party says that it took effect. ``duplicate``: it says that it had it already (R4 decides what that proves)."""

    receipt: Receipt
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The party took it; its answer comes later under ``correlation`` (R14), at the latest after ``deadline_s`` seconds."""

    correlation: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLater:
    """This record had no effect and may be sent again; ``after_s`` if the party named a time."""

    code: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The party refused this record for good; it had no effect. ``fields``: item ids at fault, never their values."""

    code: str
    fields: tuple[str, ...] = ()
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedCall:
    """The party refused the whole call without saying which record is at fault; no record had an effect (R11)."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyDown:
    """The party as a whole cannot be used; the record certainly had no effect. Opens the breaker (R12)."""

    code: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No one can say whether it took effect (R9)."""

    code: str


Outcome = Delivered | Pending | RetryLater | Rejected | RejectedCall | PartyDown | Unknown


class Effect(enum.Enum):
    """What a query says of a delivery."""

    TOOK_EFFECT = "took-effect"
    NO_EFFECT = "no-effect"
    NOT_KNOWN = "not-known"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """The party's answer to a query, with its evidence."""

    effect: Effect
    receipt: Receipt | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of ``renkei check``: what was looked at, whether it is well, and the remedy if not."""

    name: str
    ok: bool
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A complete HTTP answer of the party, within the size limit."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class CallNotSent(Exception):
    """Nothing of the request was sent (no connection, refused handshake): the party did nothing. ``code`` is stable."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class CallNotPrepared(Exception):
    """The request could not be made (a token that does not answer, a certificate that has run out): nothing was sent, and it says nothing
    about the party. An adapter lets it escape from :meth:`Adapter.deliver`. ``passing``: trying again later can help by itself."""

    def __init__(self, code: str, *, passing: bool) -> None:
        self.code = code
        self.passing = passing
        super().__init__(code)


class CallUnanswered(Exception):
    """The request left, or may have left, and no complete answer came: the outcome is unknown. ``code`` is stable."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class HttpCaller(Protocol):
    """The host's HTTP client for one party: mutual TLS, the peer's identity checked on every request, retry before the first byte
    (R10), size limit on answers, connection reuse with a keep-alive shorter than the party's."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Send one request below the party's base URL.

        :raises CallNotSent: the party did nothing.
        :raises CallUnanswered: the outcome is unknown.
        """
        ...

    async def probe(self) -> None:
        """Connect, shake hands and check the peer, without sending a request: for :meth:`Adapter.check`.

        :raises CallNotSent: the party cannot be reached, is not the right peer, or refused our certificate.
        """
        ...


class QueueCaller(Protocol):
    """The host's way to the queue of one of our own systems: encrypted for that system, confirmed by the broker.

    That the broker has a message is no receipt: the system's acknowledgement, a message of its own, is (R18).
    """

    acknowledge_s: float
    """How long the system may take to acknowledge."""

    async def send(self, body: bytes, *, delivery_id: str, correlation: str, headers: Mapping[str, str]) -> None:
        """Put one message into the system's queue.

        :raises CallNotSent: the broker does not have it (or nobody consumes the queue).
        :raises CallUnanswered: it may have it.
        """
        ...

    async def probe(self) -> None:
        """:raises CallNotSent: the broker cannot be reached, nobody consumes the queue, or there is no key to encrypt for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterHost:
    """What the host gives to an adapter when it is made."""

    settings: Mapping[str, Any]
    """Validated against the manifest's settings, defaults filled in."""
    http: HttpCaller
    signatures: MessageSecurity | None = None
    """With what messages are signed and verified; ``None``: with this party they are not signed."""
    queue: QueueCaller | None = None
    """For adapters whose manifest says ``queue``, and for no other."""


class Adapter(abc.ABC):
    """One outside party. All coroutines run on the worker's event loop; none may block it for more than about 2 ms."""

    manifest: ClassVar[Manifest]

    def __init__(self, host: AdapterHost) -> None:
        self.host = host

    @abc.abstractmethod
    async def check(self) -> Sequence[Finding]:
        """Reachability, TLS and credentials, without an effect at the party."""

    @abc.abstractmethod
    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Carry out one call for ``envelopes`` (1 to ``limits.records_per_call``, all of one message type) and return one outcome for
        each, in order."""

    async def ask(self, question: Question, *, timeout_s: float) -> Reply:
        """Put ``question`` to the party and return its answer. Only called for the types in the manifest's ``questions``.

        :raises QuestionRefused: the party said that it does not answer; :raises CallNotSent: it was not asked.
        :raises CallUnanswered: no answer that can be believed came in time.
        """
        raise NotImplementedError

    async def waiting(self, *, since: datetime) -> Sequence[str]:
        """Ids of the batches that wait at the party, in the order in which they are to be fetched. Asking takes none away.

        :param since: when it was last asked with success; everything not yet fetched is wanted, also from before.
        :raises FetchFailed: the answer cannot be believed; :raises CallNotSent: it was not asked; :raises CallUnanswered: no answer came.
        """
        raise NotImplementedError

    async def fetch(self, batch_id: str) -> FetchedBatch:
        """One batch. It stays at the party until it is acknowledged, so that fetching it again brings the same. Raises as above."""
        raise NotImplementedError

    async def acknowledge(self, batch_id: str, results: Sequence[RecordResult]) -> None:
        """Tell the party what became of every record: it may forget the batch. Only called after the commit; may be called again."""
        raise NotImplementedError

    async def query(self, envelope: Envelope) -> QueryAnswer:
        """Ask the party whether ``envelope`` took effect. Only called where the manifest has ``queries``."""
        raise NotImplementedError

    async def close(self) -> None:
        """Release what the adapter holds."""
