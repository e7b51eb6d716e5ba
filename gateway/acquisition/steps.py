"""Which step of :mod:`.machine` a message is, and the identifiers that it brings besides those by which its person is known."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.policy.rules import REGISTER
from gateway.security.blind import BlindIndex
from message_formats.identifiers import IndividualNumber, IntegratedAtenaNumber, ProcessingNumber
from message_formats.message import Message

ATENA: Final = "atena-system"
"""In a linkage, the business number (業務番号) of this system is the integrated atena number."""
LINKAGE: Final = "atena-linkage-update"
INTEGRATED: Final = IntegratedAtenaNumber.kind
PROCESSING: Final = ProcessingNumber.kind
_PAIR: Final = "code-acquisition-number-pair"


class Kind(enum.Enum):
    """What a message is in this."""

    LINK = "link"
    REGISTER = "register"
    REPLICA = "replica"
    ASK = "ask"
    ANSWER = "answer"
    PAIR = "pair"
    HAND_ON = "hand-on"


KINDS: Final[Mapping[str, Kind]] = {
    "atena-number-registration": Kind.REGISTER,
    "provision-replica-update": Kind.REPLICA,
    "code-acquisition-request": Kind.ASK,
    "processing-number-response": Kind.ANSWER,
    _PAIR: Kind.PAIR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How the numbers of a person are held against each other (``intake.network``).

    :ivar linkage: only who was linked through this gateway goes to the intermediate server.
    :ivar limit_s: after so long without the next step an acquisition is overdue.
    """

    linkage: bool = True
    limit_s: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A message as a step; ``numbers``: the blind index of its processing number by generation."""

    kind: Kind
    matching: Matching
    numbers: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def is_step(message: Message, sender: str) -> Kind | None:
    """Which step a message is; None: none. A linkage is one where it names the integrated atena number."""
    if message.type_name == LINKAGE:
        return Kind.LINK if any(True for _ in integrated_of(message)) else None
    kind = KINDS.get(message.type_name)
    return Kind.HAND_ON if kind is Kind.PAIR and sender == REGISTER else kind


def integrated_of(message: Message) -> Iterable[str]:
    """The integrated atena numbers that a linkage names."""
    for key, value in message.items.items():
        if value == ATENA and key.startswith("business_identifier[") and key.endswith("/system"):
            number = message.items.get(key.removesuffix("system") + "number")
            if number is not None:
                yield number


def disguised(message: Message, kind: Kind, matching: Matching) -> bool:
    """Whether the integrated atena number may be an Individual Number: a linkage says so itself, and without linkages every number of
    twelve digits whose check digit fits is suspected (with them nothing goes that no linkage has bound)."""
    if kind is Kind.LINK:
        individual = message.items.get("individual_number") or " "
        return any(individual in each for each in integrated_of(message))
    number = message.items.get("integrated_atena_number")
    return not matching.linkage and number is not None and len(number) == 12 and IndividualNumber.check(number)


def identifiers_of(message: Message, kind: Kind | None) -> list[tuple[str, str]]:
    """By which the message's person is known: the processing number is nobody's, and a linkage names the integrated number as well.

    :raises ValueError: what a linkage names as integrated atena number is none, or there are two.
    """
    found = [(name, value) for name, value in message.identifiers if name != PROCESSING]
    if kind is Kind.LINK:
        numbers = list(integrated_of(message))
        if len(numbers) != 1 or not IntegratedAtenaNumber.pattern.match(numbers[0]):
            raise ValueError("integrated-number")
        found.append((INTEGRATED, numbers[0]))
    return found


def step_of(message: Message, kind: Kind, matching: Matching, blind: BlindIndex) -> Step:
    """The step, with its processing number, if it has one, as blind index of now and of the generation before."""
    numbers: dict[str, bytes] = {}
    number = message.items.get("processing_number")
    if number is not None:
        now, before = blind.both(PROCESSING, number)
        numbers[blind.key_id] = now
        if before is not None and blind.former_id is not None:
            numbers[blind.former_id] = before
    return Step(kind=kind, matching=matching, numbers=numbers)
