"""The AMQP door on a real broker, with a register at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc import jwe as jose
from joserfc.jwk import ECKey

from gateway.broker import BrokerEndpoint, Consumer, Publisher
from gateway.broker.subscription import Delivery
from gateway.intake.amqp import AmqpDoor
from gateway.intake.submission import Sender
from gateway.security.jwe import JweKeys
from tests.intake.kit import TYPE, House, house, policy_for, senders, xml
from tests.support.broker import Names, until


def properties(source_id: str, **changes: str | None) -> dict[str, Any]:
    values: dict[str, str | None] = {"specversion": "1.0", "id": source_id, "source": "/register", "type": TYPE, **changes}
    return {f"cloudEvents:{name}": value for name, value in values.items() if value is not None}


@dataclass
class Register:
    """Publishes to its exchange and reads its receipts."""

    system: str
    keys: JweKeys
    publisher: Publisher
    receipts: list[bytes] = field(default_factory=list)
    published: list[bytes] = field(default_factory=list)

    def token(self, data: bytes) -> bytes:
        """As another implementation makes it (joserfc)."""
        key = self.keys.public_jwks()["keys"][0]
        header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": key["kid"]}
        return jose.encrypt_compact(header, data, ECKey.import_key(dict(key)), algorithms=["ECDH-ES+A256KW", "A256GCM"]).encode()

    async def send(self, data: bytes | None = None, source_id: str | None = None, **changes: Any) -> str:
        source_id = source_id or str(uuid.uuid4())
        body = changes.pop("body", None) or self.token(xml() if data is None else data)
        self.published.append(body)
        content_type = changes.pop("content_type", "application/jose")
        await self.publisher.publish(
            f"intake.{self.system}", "in", body, content_type=content_type, headers=properties(source_id, **changes)
        )
        return source_id

    async def send_all(self, count: int) -> list[str]:
        """Publish in order."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        await asyncio.gather(*(self.send(xml(serial), source_id) for serial, source_id in enumerate(ids, 1)))
        return ids

    def on_receipt(self, delivery: Delivery) -> None:
        self.receipts.append(delivery.body)

    async def answers(self, count: int, timeout_s: float = 15.0) -> list[dict[str, Any]]:
        await until(lambda: len(self.receipts) >= count, timeout_s)
        return [json.loads(each) for each in self.receipts]

    def of(self, source_id: str) -> list[bytes]:
        return [each for each in self.receipts if json.loads(each)["id"] == source_id]


@dataclass
class Impatient:
    """Takes messages and crashes: all that it held goes back, counted once more."""

    endpoint: BrokerEndpoint
    queue: str

    async def crash(self, times: int, holding: int) -> None:
        consumer, held = Consumer(self.endpoint, name="crashing"), 0

        def hold(_: Delivery) -> None:
            nonlocal held
            held += 1

        await consumer.start()
        subscription = await consumer.subscribe(self.queue, prefetch=holding, on_delivery=hold, single_active=True)
        for number in range(1, times + 1):
            await until(lambda n=number: held >= n * holding)  # type: ignore[misc]
            subscription.pause()
            if number < times:
                await subscription.resume()
        await consumer.close(drain_s=0)


@dataclass
class Bench:
    names: Names
    endpoint: BrokerEndpoint
    home: House
    jwe: JweKeys
    register: Register
    stack: contextlib.AsyncExitStack
    number: int = 0

    async def door(
        self, *, publisher: Any = None, prefetch: int = 200, start: bool = True, home: House | None = None, **changes: Any
    ) -> Any:
        """A door as a process of its own would have it: own connections, own worker id."""
        self.number += 1
        worker = f"worker-{self.number}"
        consumer = Consumer(self.endpoint, name=f"intake {worker}")
        await consumer.start()
        self.stack.push_async_callback(consumer.close, drain_s=0.2)
        if publisher is None:
            publisher = Publisher(self.endpoint, name=f"receipts {worker}", confirm_timeout_s=2.0)
            await publisher.start()
            self.stack.push_async_callback(publisher.close, drain_s=0.2)
        home = home or self.home
        values: dict[str, Any] = {
            "system": self.names.system,
            "intake": home.intake,
            "ledger": home.ledger,
            "known": home.ledger.status,
            "worker": lambda: worker,
            "consumer": consumer,
            "publisher": publisher,
            "opener": self.jwe,
            "pressure": home.pressure,
            "prefetch": prefetch,
            **changes,
        }
        door = AmqpDoor(**values)
        self.stack.push_async_callback(door.stop, drain_s=0.2)
        if start:
            await door.start()
        return door

    async def waiting(self) -> int:
        """Ready messages of the intake queue."""
        from gateway.broker import topology

        return (await topology.depth(self.endpoint, self.names.intake)).ready


@contextlib.asynccontextmanager
async def bench(endpoint: BrokerEndpoint, names: Names, directory: Path) -> AsyncIterator[Bench]:
    sender = Sender(system=names.system, peer=names.system, types=frozenset({TYPE, "destination-information"}))
    home = house(directory, senders=senders(sender), policy=policy_for(names.system))
    async with contextlib.AsyncExitStack() as stack:
        publisher = Publisher(endpoint, name=f"register {names.system}")
        await publisher.start()
        stack.push_async_callback(publisher.close)
        jwe = JweKeys(home.keys)
        register = Register(names.system, jwe, publisher)
        consumer = Consumer(endpoint, name=f"receipts of {names.system}")
        await consumer.start()
        stack.push_async_callback(consumer.close, drain_s=0.2)

        def taken(delivery: Delivery) -> None:
            register.on_receipt(delivery)
            consumer.ack(delivery)

        await consumer.subscribe(f"receipts.{names.system}", prefetch=500, on_delivery=taken)
        yield Bench(names, endpoint, home, jwe, register, stack)
