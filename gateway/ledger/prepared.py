"""What intake hands to the ledger, and what the ledger answers: checked, sealed, and ready to become rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.acquisition.steps import Step
from gateway.errors import LedgerUnavailable
from gateway.policy.marks import NONE, Flags, MarkChange
from gateway.policy.rights import Terms


class SealedPayload(Protocol):
    """What the sealer made of a body (``gateway/security/sealing.py``)."""

    @property
    def key_id(self) -> str: ...
    @property
    def kek_id(self) -> str: ...
    @property
    def wrapped(self) -> bytes: ...
    @property
    def sealed(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDelivery:
    """What one party is to get."""

    party: str
    stream: str
    lane: str
    party_key: str | None
    content_digest: bytes
    sealed: SealedPayload
    waits_for: str | None = None
    """The party of the same message that must have it first (R3)."""
    terms: Terms | None = None
    """What the policy permitted; None leaves no record of provision."""
    approval: str | None = None
    """``release`` or ``bulk-output``: it leaves only when a second person has approved."""
    effective_on: str | None = None
    """Not before this day in Japan (ISO); it takes its place in the order on that day (R2)."""
    newest: bool = False
    """It takes the place of an earlier one of its type and resident that the party has not taken yet."""
    way: str | None = None
    """Type, producer and consumer, where they are not the message's own and the party (:class:`gateway.policy.ways.Way`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMessage:
    """A message that has passed every check that needs no ledger."""

    message_id: str
    system: str
    source_id: str
    type: str
    schema: str
    content_mac: bytes
    door: str
    identifiers: tuple[tuple[str, bytes], ...]
    """Kind and blind index of each identifier of the person; the first is the one that the message is about (R1)."""
    hmac_key_id: str
    deliveries: tuple[PreparedDelivery, ...]
    corrects: str | None = None
    operator: str | None = None
    terminal: str | None = None
    former_identifiers: tuple[tuple[str, bytes], ...] = ()
    """The same identifiers in the generation of blind indexes before, whose id is ``former_hmac_key_id``, while there is one."""
    former_hmac_key_id: str | None = None
    earlier_macs: Callable[[], tuple[bytes, ...]] = field(default=tuple, repr=False)
    """``content_mac`` under the content keys of before; asked only if another message of this id is there (R17)."""
    work: str | None = None
    basis: str | None = None
    standing: str | None = None
    """The policy by which it was decided; None: by none."""
    marks: Flags = NONE
    """Of the resident, as it was decided."""
    sets: tuple[MarkChange, ...] = ()
    """What it says about marks of its resident."""
    step: Step | None = None
    """What it is among the steps towards the intermediate server (:mod:`gateway.acquisition`)."""
    status: str | None = None
    """What a party says of its operation (FM-1): a symbol of the code table."""
    flow: str | None = None
    """The business flow that the sender named."""
    resends: str | None = None
    """The sender's id of the message that this one sends again."""
    municipality: str | None = None
    """At the other end, where a party relays to several."""
    reference: str | None = None
    """The application that it belongs to, as the sender names it: on record with the acceptance."""
    answers: tuple[tuple[str, str], ...] = ()
    """Party and stream of the requests that it may answer: about a resident of whom nothing went there it is refused."""
    producer: str | None = None
    """Whose message it is, where ``system`` hands on another's (the city CS those of J-LIS, say)."""
    supplier: str | None = None
    """The department behind ``system`` that handed it in."""
    link: SealedPayload | None = None
    """The atena number of its resident, sealed for the gateway itself: what the linkage feed says."""
    bound: bool = False
    """It is admitted only where its first identifier is known already (C-1-2-1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a message is not admitted although it is well-formed."""

    code: str
    detail: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What became of a submitted message."""

    message_id: str
    receipt: bytes
    duplicate: bool = False
    refusal: Refusal | None = None


class IntakeEpochLost(LedgerUnavailable):
    """Another consumer has become the active one of this system's intake queue: this one admits nothing more (R16)."""

    def __init__(self, system: str) -> None:
        super().__init__("intake-epoch-lost", f"another consumer serves the intake queue of {system}")
