"""The register answers who waits: questions from its queue, an answer for each before the deadline, encrypted for the gateway.

On demand it answers wrongly, in the ways in which systems have: about another person, about another request, too late, twice, the answers
of two questions exchanged, in clear, or not at all. All data are fictitious.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pika
from lxml import etree

from message_formats import samples, writing
from simulators.register.amqp_door import Broker, _Link
from simulators.register.keys import GatewayKey, OwnKeys

Wrong = Literal["other-person", "other-request", "late", "twice", "exchanged", "clear", "silence", "refuse"]
Answer = Callable[[str, Mapping[str, str]], bytes]
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def wide_area_copy(kind: str, items: Mapping[str, str]) -> bytes:
    """The copy of a resident record for whom the question names."""
    made = {**samples.items("wide-area-certificate-data"), "request_id": items["request_id"]}
    code = items["resident_record_code"]
    made |= {path: code for path in made if path.rpartition("/")[2] == "resident_record_code"}  # also that of the copy itself
    return writing.write("wide-area-certificate-data", made).to_bytes()


@dataclass(slots=True, kw_only=True)
class _Question:
    correlation: str
    reply_to: str
    kind: str
    items: dict[str, str]


class Answers:
    """Answers the questions to one system. Belongs to the event loop."""

    def __init__(self, *, broker: Broker, system: str, key: Path, gateway_key: GatewayKey, answer: Answer = wide_area_copy) -> None:
        self._system = system
        self._keys = OwnKeys(key)
        self._gateway_key = gateway_key
        self._answer = answer
        self.wrong: Wrong | None = None
        self.late_s = 0.0
        """How long ``late`` waits."""
        self.consuming = False
        self.asked: list[str] = []
        """Dialogue ids, in order."""
        self.counts: Counter[str] = Counter()
        self._waiting: list[_Question] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel: Any = None
        self._link = _Link(broker, f"{system} answers", self._opened, self._lost)

    def start(self) -> None:
        """Consume from now on."""
        self._link.start()

    async def stop(self) -> None:
        """Stop."""
        for task in (*self._tasks,):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.stop()

    def _lost(self) -> None:
        self.consuming, self._channel = False, None

    def _ready(self, _: Any) -> None:
        self.consuming = True

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.basic_qos(prefetch_count=50)
        channel.basic_consume(f"dialogues.{self._system}", self._taken, auto_ack=True, callback=self._ready)

    def _taken(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.asked.append(properties.message_id)
        content = self._keys.open(body)
        items = {etree.QName(each).localname: each.text or "" for each in etree.fromstring(content, _PARSER)}
        kind = str((properties.headers or {}).get("cloudEvents:type", ""))
        question = _Question(correlation=properties.correlation_id, reply_to=properties.reply_to, kind=kind, items=items)
        task = asyncio.get_running_loop().create_task(self._reply(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, question: _Question) -> None:
        await self._gateway_key.ensure()
        match self.wrong:
            case "silence":
                return
            case "refuse":
                self._publish(question, json.dumps({"status": "refused", "code": "certificate-stopped"}).encode(), "application/json")
            case "clear":
                self._publish(question, self._answer(question.kind, question.items), "application/xml")
            case "exchanged":
                self._waiting.append(question)
                if len(self._waiting) == 2:
                    first, second = self._waiting
                    self._waiting.clear()
                    self._encrypted(first, second.items)
                    self._encrypted(second, first.items)
            case "other-person":
                self._encrypted(question, {**question.items, "resident_record_code": samples.resident_record_code(999)})
            case "other-request":
                self._encrypted(question, {**question.items, "request_id": "another-request"})
            case _:
                if self.wrong == "late":
                    await asyncio.sleep(self.late_s)
                self._encrypted(question, question.items)
                if self.wrong == "twice":
                    self._encrypted(question, question.items)

    def _encrypted(self, question: _Question, items: Mapping[str, str]) -> None:
        self._publish(question, self._gateway_key.encrypt(self._answer(question.kind, items)), "application/jose")

    def _publish(self, question: _Question, body: bytes, content_type: str) -> None:
        if self._channel is None or not self._channel.is_open:
            return
        properties = pika.BasicProperties(content_type=content_type, correlation_id=question.correlation)
        self._channel.basic_publish(f"answers.{self._system}", question.reply_to, body, properties)
        self.counts["answered"] += 1
