"""One of the city's own systems at its queues: takes messages, answers questions, and may ask back before it answers.

    in-house.<system>   messages; each is acknowledged when it is written down          ──▶ acks.<system>
    dialogues.<system>  questions with a deadline; each has one answer, or a refusal    ──▶ answers.<system>, to the process that asked
    replies.<system>    answers to what was asked back under the question's correlation

All bodies are JWE: for this system's key coming in, for the gateway's going out. All data are fictitious.
"""

from __future__ import annotations

import abc
import asyncio
import json
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pika
from joserfc.errors import JoseError

from message_formats import reading
from message_formats.errors import FormatError
from message_formats.message import Message
from simulators.errors import DoorRefused
from simulators.journal import Entry, Journal
from simulators.register.amqp_door import Broker, _Link
from simulators.register.keys import GatewayKey, OwnKeys

LIMITS = reading.Limits(size_bytes=16 << 20)


class Refusal(Exception):
    """This system will not do it; ``code`` says why and holds nothing personal."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class NotYet(Refusal):
    """It cannot have a message yet."""


@dataclass(slots=True, kw_only=True)
class Question:
    """One question that is being answered."""

    message: Message
    dialogue_id: str
    correlation: str = field(repr=False)
    reply_to: str
    ends: float
    """Its deadline, on the monotonic clock of this process."""

    @property
    def left_s(self) -> float:
        """Seconds until its deadline."""
        return self.ends - time.monotonic()


class QueueSystem(abc.ABC):
    """One system. Belongs to the event loop."""

    def __init__(self, *, broker: Broker, system: str, key: Path, gateway_key: GatewayKey, journal: Path) -> None:
        self.system = system
        self._keys, self._gateway_key = OwnKeys(key), gateway_key
        self._known: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[str, asyncio.Future[tuple[str, bytes]]] = {}
        self._channel: Any = None
        self._tag = 0
        self._waiting: dict[int, int] = {}
        self.consuming = False
        self.journal = Journal(journal, on_entry=self._recovered)
        self._in = _Link(broker, f"{system} messages", self._messages, self._lost_messages)
        self._out = _Link(broker, f"{system} questions", self._questions, self._lost)

    def start(self) -> None:
        """Serve from now on."""
        self._in.start()
        self._out.start()

    async def stop(self) -> None:
        """Serve no more."""
        for task in (*self._tasks,):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._in.stop()
        await self._out.stop()
        self.journal.close()

    async def stop_messages(self) -> None:
        """Take no more messages, but go on answering: what is accepted meanwhile is undelivered."""
        await self._in.stop()

    def take_messages(self) -> None:
        """Take messages again."""
        self._in.start()

    # ---- what a system does ------------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def take(self, message: Message) -> Entry:
        """A message takes effect; what is to be written of it.

        :raises NotYet, Refusal: it does not.
        """

    def recover(self, entry: Entry) -> None:
        """Take an entry of the journal over into the state."""

    @abc.abstractmethod
    async def answer(self, question: Question) -> bytes:
        """The content of the answer.

        :raises Refusal: there is none.
        """

    async def ask_back(self, question: Question, content: bytes, kind: str) -> Message:
        """Ask the gateway something that the answer needs, within the question's deadline.

        :raises Refusal: with the code of whoever refuses, or ``no-answer-in-time``.
        """
        own_id = str(uuid.uuid4())
        future = self._asked[own_id] = asyncio.get_running_loop().create_future()
        try:
            await self._gateway_key.ensure()
            self._say(question, self._gateway_key.encrypt(content), "application/jose", message_id=own_id, kind=kind)
            async with asyncio.timeout(max(question.left_s, 0.01)):
                media, body = await future
        except TimeoutError as error:
            raise Refusal("no-answer-in-time") from error
        finally:
            self._asked.pop(own_id, None)
        if media == "application/json":
            raise Refusal(str(json.loads(body).get("code", "refused")))
        return reading.read(self._keys.open(body), limits=LIMITS)

    # ---- messages ------------------------------------------------------------------------------------------------------------------

    def _recovered(self, entry: Entry) -> None:
        if entry["kind"] == "effect":
            self._known.add(entry["delivery"])
        self.recover(entry)

    def _lost_messages(self) -> None:
        self._waiting.clear()

    def _messages(self, channel: Any) -> None:
        self._tag = 0
        self._waiting.clear()
        channel.confirm_delivery(lambda frame: self._confirmed(channel, frame))
        channel.basic_qos(prefetch_count=100)
        channel.basic_consume(f"in-house.{self.system}", self._taken)

    def _taken(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        status, code = self._carried_out(properties, body)
        self.counts[status] += 1
        said = {"delivery": properties.message_id, "correlation": properties.correlation_id, "status": status}
        answer = json.dumps({**said, **({"code": code} if code else {})}).encode()
        channel.basic_publish(f"acks.{self.system}", "in", answer, pika.BasicProperties(content_type="application/json", delivery_mode=2))
        self._tag += 1
        self._waiting[self._tag] = method.delivery_tag

    def _carried_out(self, properties: Any, body: bytes) -> tuple[str, str | None]:
        if properties.message_id in self._known:
            return "accepted", "duplicate"
        try:
            message = reading.read(self._keys.open(body), limits=LIMITS)
            entry = {"kind": "effect", "delivery": properties.message_id, "type": message.type_name, **self.take(message)}
        except (JoseError, KeyError, ValueError, FormatError):
            return "refused", "cannot-be-opened"
        except NotYet as error:
            return "not-yet", error.code
        except Refusal as error:
            return "refused", error.code
        self.journal.append([entry])
        self._known.add(properties.message_id)
        self.recover(entry)
        return "accepted", None

    def _confirmed(self, channel: Any, frame: Any) -> None:
        method = frame.method
        tags = [tag for tag in self._waiting if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            about = self._waiting.pop(tag, None)
            if about is not None and channel.is_open:
                channel.basic_ack(about) if method.NAME == "Basic.Ack" else channel.basic_nack(about, requeue=True)

    # ---- questions -----------------------------------------------------------------------------------------------------------------

    def _lost(self) -> None:
        self.consuming, self._channel = False, None

    def _ready(self, _: Any) -> None:
        self.consuming = True

    def _questions(self, channel: Any) -> None:
        self._channel = channel
        channel.basic_qos(prefetch_count=300)
        channel.basic_consume(f"replies.{self.system}", self._replied, auto_ack=True)
        channel.basic_consume(f"dialogues.{self.system}", self._questioned, auto_ack=True, callback=self._ready)

    def _replied(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        future = self._asked.get(properties.correlation_id or "")
        if future is not None and not future.done():
            future.set_result((properties.content_type or "", body))

    def _questioned(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        deadline = datetime.fromisoformat(str((properties.headers or {})["cloudEvents:deadline"]))
        question = Question(
            message=reading.read(self._keys.open(body), limits=LIMITS),
            dialogue_id=properties.message_id,
            correlation=properties.correlation_id,
            reply_to=properties.reply_to,
            ends=time.monotonic() + deadline.timestamp() - time.time(),
        )
        task = asyncio.get_running_loop().create_task(self._respond(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, question: Question) -> None:
        try:
            await self.say(question, await self.answer(question))
        except Refusal as error:
            self.refuse(question, error.code)
        except DoorRefused as error:  # no key of the gateway to answer with: as good as silence
            self.counts[error.code] += 1

    async def say(self, question: Question, content: bytes) -> None:
        """Publish an answer."""
        await self._gateway_key.ensure()
        self._say(question, self._gateway_key.encrypt(content), "application/jose")

    def refuse(self, question: Question, code: str) -> None:
        """Publish a refusal."""
        self.counts[f"refused {code}"] += 1
        self._say(question, json.dumps({"status": "refused", "code": code}).encode(), "application/json")

    def _say(self, question: Question, body: bytes, media: str, *, message_id: str | None = None, kind: str | None = None) -> None:
        if self._channel is None or not self._channel.is_open:
            return
        headers = {"cloudEvents:type": kind} if kind is not None else None
        properties = pika.BasicProperties(content_type=media, correlation_id=question.correlation, message_id=message_id, headers=headers)
        self._channel.basic_publish(f"answers.{self.system}", question.reply_to, body, properties)
