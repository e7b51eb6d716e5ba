"""Every exchange, queue, binding and permission of the broker, as data from one place.

=====================  ==================  =============================  =================================================
exchange (direct)      routing key         queue (quorum)                 carries
=====================  ==================  =============================  =================================================
``intake.<system>``    ``in``              ``intake.<system>``            messages of one system, JWE (R16)
``receipts``           ``<system>``        ``receipts.<system>``          our receipts to that system
``work``               ``<party>.live``    ``work.<party>.live``          bells (R15)
``work``               ``<party>.bulk``    ``work.<party>.bulk``          bells of bulk work
``in-house``           ``<system>``        ``in-house.<system>``          messages for that system, JWE for its key (R18)
``acks.<system>``      ``in``              ``acks.<system>``              its acknowledgements of those
``dialogues``          ``<system>``        ``dialogues.<system>`` (classic) questions to that system, JWE, gone at their deadline
``answers.<system>``   ``<process>``       ``answers.<system>.<process>`` its answers, JWE, to the process that asked (classic)
``dialogues``          ``<system>.replies`` ``replies.<system>`` (classic) answers to what it asked itself, before it answers
``dialogues``          ``<party>``         ``dialogues.<party>`` (classic) questions to a party, JWE for ourselves: a worker asks it
=====================  ==================  =============================  =================================================

All limits are explicit: the defaults differ between RabbitMQ 3.10 and 4.x. Nothing dead-letters: what exceeds a work queue's delivery
limit is a bell (the ledger rings again), and an intake queue's consumer quarantines long before its limit (R16).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gateway.broker.connection import Session, session
from gateway.broker.consumer import QueueDepth
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.errors import ChannelClosed
from gateway.errors import BrokerUnavailable, ConfigurationError

WORK_EXCHANGE = "work"
RECEIPTS_EXCHANGE = "receipts"
IN_HOUSE_EXCHANGE = "in-house"
DIALOGUES_EXCHANGE = "dialogues"
INTAKE_KEY = "in"

Lane = Literal["live", "bulk"]
LANES: tuple[Lane, ...] = ("live", "bulk")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def _checked(name: str, what: str) -> str:
    # Names go into regular expressions of permissions, so nothing else may get through.
    if not _NAME.fullmatch(name):
        raise ConfigurationError("broker-name", f"{what} {name!r}: only small letters, digits and hyphens, at most 63")
    return name


def intake_exchange(system: str) -> str:
    return f"intake.{_checked(system, 'system')}"


def intake_queue(system: str) -> str:
    return f"intake.{_checked(system, 'system')}"


def receipts_queue(system: str) -> str:
    return f"receipts.{_checked(system, 'system')}"


def in_house_queue(system: str) -> str:
    """The queue of a system of ours that has messages from us."""
    return f"in-house.{_checked(system, 'system')}"


def acks_exchange(system: str) -> str:
    """Where a system publishes its acknowledgements."""
    return f"acks.{_checked(system, 'system')}"


def acks_queue(system: str) -> str:
    """The queue of a system's acknowledgements."""
    return f"acks.{_checked(system, 'system')}"


def dialogues_queue(system: str) -> str:
    """The queue of questions to a system."""
    return f"dialogues.{_checked(system, 'system')}"


def replies_queue(system: str) -> str:
    """The queue of answers to what a system asked within a question that it was asked."""
    return f"replies.{_checked(system, 'system')}"


def replies_key(system: str) -> str:
    """Its routing key on :data:`DIALOGUES_EXCHANGE`."""
    return f"{_checked(system, 'system')}.replies"


def answers_exchange(system: str) -> str:
    """Where a system publishes its answers."""
    return f"answers.{_checked(system, 'system')}"


def answers_queue(system: str, process: str) -> str:
    """The queue of answers to what one process of ours has asked."""
    return f"answers.{_checked(system, 'system')}.{_checked(process, 'process')}"


def answers_topology(system: str, process: str) -> Topology:
    """That queue: it goes when the process has been gone for a while."""
    queue, exchange = answers_queue(system, process), answers_exchange(system)
    arguments = {**DIALOGUE_ARGUMENTS, "x-expires": 10 * LONGEST_DIALOGUE_MS}
    return Topology(
        exchanges=(Exchange(name=exchange),),
        queues=(Queue(name=queue, arguments=arguments, expendable=True),),
        bindings=(Binding(exchange=exchange, queue=queue, routing_key=process),),
    )


def work_queue(party: str, lane: Lane) -> str:
    return f"work.{work_key(party, lane)}"


def work_key(party: str, lane: Lane) -> str:
    """The routing key of a party's bells on :data:`WORK_EXCHANGE`."""
    return f"{_checked(party, 'party')}.{lane}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable direct exchange."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable queue. ``expendable``: what it holds is only a hint, so it may be deleted and declared again (R15a)."""

    name: str
    arguments: Mapping[str, Any]
    expendable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Regular expressions of the names that a user may configure, write to and read from, in the one virtual host."""

    configure: str
    write: str
    read: str


GATEWAY_PERMISSIONS = Permissions(configure=".*", write=".*", read=".*")


def system_permissions(system: str) -> Permissions:
    """A system publishes to its own intake exchange, acknowledgements and answers, consumes its own receipts, messages and questions, and
    may do nothing else."""
    name = re.escape(_checked(system, "system"))
    return Permissions(configure="^$", write=rf"^(intake|acks|answers)\.{name}$", read=rf"^(receipts|in-house|dialogues|replies)\.{name}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits of one kind of queue; a full queue refuses (``reject-publish``: the publisher gets a nack)."""

    messages: int
    size_bytes: int
    deliveries: int

    def arguments(self) -> dict[str, Any]:
        return {
            "x-queue-type": "quorum",
            "x-quorum-initial-group-size": 3,
            "x-queue-leader-locator": "balanced",
            "x-overflow": "reject-publish",
            "x-max-length": self.messages,
            "x-max-length-bytes": self.size_bytes,
            "x-delivery-limit": self.deliveries,
        }


INTAKE_LIMITS = QueueLimits(messages=200_000, size_bytes=2 << 30, deliveries=20)
RECEIPT_LIMITS = QueueLimits(messages=500_000, size_bytes=1 << 30, deliveries=100)
"""Deliveries: a register that crashes over and over loses a receipt only after a hundred times, and gets it again by sending again."""
IN_HOUSE_LIMITS = QueueLimits(messages=100_000, size_bytes=2 << 30, deliveries=20)
"""What exceeds the deliveries is dropped here and put in again from the ledger, which has not seen it acknowledged (R18)."""
ACK_LIMITS = QueueLimits(messages=500_000, size_bytes=1 << 30, deliveries=100)
LONGEST_DIALOGUE_MS = 120_000
DIALOGUE_ARGUMENTS: Mapping[str, Any] = {
    # Classic, unlike all others: what is in it is worth nothing after seconds, and a quorum queue that had just been declared when its node
    # was killed may refuse everybody for over a minute (R15a), while people wait.
    "x-queue-type": "classic",
    "x-overflow": "reject-publish",
    "x-max-length": 1_000,
    "x-max-length-bytes": 64 << 20,
    "x-message-ttl": LONGEST_DIALOGUE_MS,
}
WORK_LIMITS = QueueLimits(messages=100_000, size_bytes=64 << 20, deliveries=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What :func:`declare` makes sure of."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    users: Mapping[str, Permissions] = field(default_factory=dict)
    """Permissions of each system's user; set through :mod:`gateway.broker.admin` or by the broker's administrator."""

    def queue(self, name: str) -> Queue:
        """:raises ConfigurationError: the topology has no such queue."""
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise ConfigurationError("broker-queue-unknown", f"queue {name} is not one of ours")

    def only(self, queue: str) -> Topology:
        """The part that one queue needs."""
        bindings = tuple(one for one in self.bindings if one.queue == queue)
        names = {one.exchange for one in bindings}
        return replace(
            self,
            exchanges=tuple(one for one in self.exchanges if one.name in names),
            queues=(self.queue(queue),),
            bindings=bindings,
            users={},
        )


def build(*, systems: Iterable[str], parties: Iterable[str], consumers: Iterable[str] = (), asked: Iterable[str] = ()) -> Topology:
    """The topology for these sending systems, these parties, these systems that have messages from us, and these parties that our systems
    ask (spec ids)."""
    exchanges = [Exchange(name=WORK_EXCHANGE), Exchange(name=RECEIPTS_EXCHANGE)]
    queues: list[Queue] = []
    bindings: list[Binding] = []
    users: dict[str, Permissions] = {}
    for system in systems:
        exchanges.append(Exchange(name=intake_exchange(system)))
        arguments = {**INTAKE_LIMITS.arguments(), "x-single-active-consumer": True}
        queues.append(Queue(name=intake_queue(system), arguments=arguments, expendable=False))
        bindings.append(Binding(exchange=intake_exchange(system), queue=intake_queue(system), routing_key=INTAKE_KEY))
        queues.append(Queue(name=receipts_queue(system), arguments=RECEIPT_LIMITS.arguments(), expendable=False))
        bindings.append(Binding(exchange=RECEIPTS_EXCHANGE, queue=receipts_queue(system), routing_key=system))
        users[system] = system_permissions(system)
    for system in consumers:
        wanted: tuple[str, ...] = (IN_HOUSE_EXCHANGE, DIALOGUES_EXCHANGE, acks_exchange(system), answers_exchange(system))
        exchanges += [Exchange(name=name) for name in wanted if Exchange(name=name) not in exchanges]
        queues.append(Queue(name=in_house_queue(system), arguments=IN_HOUSE_LIMITS.arguments(), expendable=False))
        bindings.append(Binding(exchange=IN_HOUSE_EXCHANGE, queue=in_house_queue(system), routing_key=system))
        queues.append(Queue(name=acks_queue(system), arguments=ACK_LIMITS.arguments(), expendable=False))
        bindings.append(Binding(exchange=acks_exchange(system), queue=acks_queue(system), routing_key=INTAKE_KEY))
        queues.append(Queue(name=dialogues_queue(system), arguments=DIALOGUE_ARGUMENTS, expendable=False))
        bindings.append(Binding(exchange=DIALOGUES_EXCHANGE, queue=dialogues_queue(system), routing_key=system))
        queues.append(Queue(name=replies_queue(system), arguments=DIALOGUE_ARGUMENTS, expendable=False))
        bindings.append(Binding(exchange=DIALOGUES_EXCHANGE, queue=replies_queue(system), routing_key=replies_key(system)))
        users[system] = system_permissions(system)
    for party in asked:
        wanted = (DIALOGUES_EXCHANGE, answers_exchange(party))
        exchanges += [Exchange(name=name) for name in wanted if Exchange(name=name) not in exchanges]
        queues.append(Queue(name=dialogues_queue(party), arguments=DIALOGUE_ARGUMENTS, expendable=False))
        bindings.append(Binding(exchange=DIALOGUES_EXCHANGE, queue=dialogues_queue(party), routing_key=party))
    for party in parties:
        for lane in LANES:
            queues.append(Queue(name=work_queue(party, lane), arguments=WORK_LIMITS.arguments(), expendable=True))
            bindings.append(Binding(exchange=WORK_EXCHANGE, queue=work_queue(party, lane), routing_key=work_key(party, lane)))
    return Topology(exchanges=tuple(exchanges), queues=tuple(queues), bindings=tuple(bindings), users=users)


_ATTEMPTS = 6


async def declare(endpoint: BrokerEndpoint, topology: Topology, *, call_timeout_s: float = 15.0) -> None:
    """Declare everything; what exists already as wanted is left alone. May run in several processes at once.

    :raises ConfigurationError: something exists with other properties, or the user may not declare it; names it and says what to do.
    :raises BrokerUnavailable: the broker cannot be reached or does not answer.
    """
    for attempt in range(_ATTEMPTS):
        try:
            async with session(endpoint, name="renkei declare") as broker:
                await _declare(broker, topology, call_timeout_s)
            return
        except ChannelClosed as error:
            # A cluster that has just lost a node answers with internal errors and time-outs while it elects.
            if error.reply_code not in {0, 541} or attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.5 * (attempt + 1))


async def _declare(broker: Session, topology: Topology, timeout_s: float) -> None:
    for exchange in topology.exchanges:
        try:
            await broker.call("exchange_declare", exchange=exchange.name, exchange_type="direct", durable=True, timeout_s=timeout_s)
        except ChannelClosed as error:
            raise _differs("exchange", exchange.name, error) from error
    for queue in topology.queues:
        try:
            await broker.call("queue_declare", queue=queue.name, durable=True, arguments=dict(queue.arguments), timeout_s=timeout_s)
        except ChannelClosed as error:
            raise _differs("queue", queue.name, error) from error
    for binding in topology.bindings:
        try:
            await broker.call(
                "queue_bind", queue=binding.queue, exchange=binding.exchange, routing_key=binding.routing_key, timeout_s=timeout_s
            )
        except ChannelClosed as error:
            raise _differs("queue", binding.queue, error) from error


def _differs(kind: str, name: str, error: ChannelClosed) -> BrokerUnavailable | ConfigurationError:
    if error.reply_code == 406:
        return ConfigurationError(
            "broker-topology-differs",
            f"{kind} {name} exists with other properties than this version declares ({error.safe_detail}). Let it run empty, then delete "
            f"it (rabbitmqctl delete_queue {name}, or in the management console) and start again: it is declared anew",
            place=name,
        )
    if error.reply_code == 403:
        return ConfigurationError(
            "broker-permission", f"the gateway's broker user may not declare {kind} {name}: grant it configure, write and read", place=name
        )
    return error


async def usable(endpoint: BrokerEndpoint, queue: str, *, timeout_s: float = 5.0) -> bool:
    """Whether the queue accepts a consumer within ``timeout_s`` seconds. Takes at most one message, which goes back.

    :raises BrokerUnavailable: there is no broker to ask.
    """
    async with session(endpoint, name="renkei probe") as broker:
        channel = await broker.channel()
        try:
            await broker.call("basic_qos", prefetch_count=1, timeout_s=timeout_s)
            await broker.ask(_consume_nothing(channel.raw, queue), timeout_s=timeout_s)
        except ChannelClosed:
            return False
    return True


def _consume_nothing(raw: Any, queue: str) -> Any:
    def consume(callback: Any) -> None:
        raw.basic_consume(queue, lambda *_: None, auto_ack=False, callback=callback)

    return consume


async def recreate(endpoint: BrokerEndpoint, topology: Topology, queue: str, *, call_timeout_s: float = 30.0) -> bool:
    """Delete a queue that has become unusable and declare it again, empty (R15a). Ring from the ledger afterwards.

    Only for work queues: what an intake or receipts queue holds is not ours to throw away.

    :return: False if the queue turned out to be usable, because another process was faster.
    :raises ConfigurationError: not one of our work queues.
    :raises BrokerUnavailable: the broker did not do it; call again later.
    """
    if not topology.queue(queue).expendable:
        raise ConfigurationError(
            "broker-queue-not-expendable", f"queue {queue} holds messages that exist nowhere else; it is not recreated"
        )
    for attempt in range(_ATTEMPTS):
        if await usable(endpoint, queue):
            return False
        try:
            async with session(endpoint, name="renkei recreate") as broker:
                await broker.call("queue_delete", queue=queue, timeout_s=call_timeout_s)
            await declare(endpoint, topology.only(queue), call_timeout_s=call_timeout_s)
            return True
        except ChannelClosed as error:
            # another process is at it, too, and deleted the queue before it was bound (404), or while it was being deleted
            if error.reply_code not in {0, 404, 541} or attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


async def depth(endpoint: BrokerEndpoint, queue: str) -> QueueDepth:
    """Ready messages and consumers of a queue, over a connection of its own (regular askers use ``Consumer.depth``).

    :raises ChannelClosed: there is no such queue (``broker-not-found``).
    """
    async with session(endpoint, name="renkei depth") as broker:
        answer = await broker.call("queue_declare", queue=queue, passive=True)
    return QueueDepth(ready=answer.method.message_count, consumers=answer.method.consumer_count)
