"""What the register takes from its own queue: opened, bound to a resident, written down, acknowledged. In this order.

The acknowledgement ends the delivery (not the broker's confirm): ``accepted`` is published when the message is in the record, ``not-yet``
where the resident is not committed here. A message that is in the record already is acknowledged again and has no second effect. The
broker's message is acked when it has confirmed the acknowledgement, so that a register that dies anywhere has the message again.

The record (:class:`simulators.journal.Journal`) has an entry ``effect`` for each message that took effect: delivery, type, resident
(reference). All data are fictitious.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pika
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from message_formats import reading
from message_formats.errors import FormatError
from simulators.journal import Entry, Journal
from simulators.references import References
from simulators.register.amqp_door import Broker, _Link
from simulators.register.keys import ALGORITHM, OwnKeys

Decide = Callable[[str, Mapping[str, str]], str]
"""Type and items (by the keys of :attr:`message_formats.message.Message.items`) in, ``accepted``, ``not-yet`` or ``refused`` out."""
Moment = Callable[[str], None]
"""Called between every two steps, with the name of the moment: whoever makes the register die does it here."""


def make_key(private: Path, public: Path, kid: str = "register-1") -> None:
    """A key pair for messages to the register: the private half for it alone, the public one as JWK set for the gateway."""
    key = ECKey.generate_key("P-256", parameters={"kid": kid, "use": "enc", "alg": ALGORITHM})
    private.touch(mode=0o600)
    private.write_text(json.dumps(key.as_dict(private=True)), encoding="utf-8")
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}), encoding="utf-8")


class Inbox:
    """Consumes the queue of one system. Belongs to the event loop."""

    def __init__(
        self,
        *,
        broker: Broker,
        system: str,
        keys: tuple[Path, ...],
        record: Path,
        references: References,
        decide: Decide,
        moment: Moment = lambda name: None,
    ) -> None:
        """``keys``: private JWKs that open; each has a ``kid``."""
        self._system = system
        self._keys = OwnKeys(*keys)
        self._references = references
        self._decide = decide
        self._moment = moment
        self._known: set[str] = set()
        self.journal = Journal(record, on_entry=self._note)
        self.counts: Counter[str] = Counter()
        self._tag = 0
        self._waiting: dict[int, int] = {}
        """Acknowledgement published (its tag) → the message of the broker that it is about."""
        self.consuming = False
        self._link = _Link(broker, f"{system} inbox", self._consuming, self._lost)

    def start(self) -> None:
        """Consume from now on."""
        self._link.start()

    async def stop(self) -> None:
        """Stop; what is not acknowledged comes again."""
        await self._link.stop()
        self.journal.close()

    def cut(self) -> None:
        """Cut the connection, as the death of the process would: nothing more is said to the broker."""
        self._link.cut()

    def _note(self, entry: Entry) -> None:
        if entry["kind"] == "effect":
            self._known.add(entry["delivery"])

    def _lost(self) -> None:
        self.consuming = False
        self._waiting.clear()

    def _ready(self, _: Any) -> None:
        self.consuming = True

    def _consuming(self, channel: Any) -> None:
        self._tag = 0
        self._waiting.clear()
        channel.confirm_delivery(lambda frame: self._confirmed(channel, frame))
        channel.basic_qos(prefetch_count=50)
        channel.basic_consume(f"in-house.{self._system}", self._taken, callback=self._ready)

    def _taken(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._moment("taken")
        status, code = self._carry_out(properties, body)
        self.counts[status] += 1
        self._moment("written")
        said = {
            "delivery": properties.message_id,
            "correlation": properties.correlation_id,
            "status": status,
            **({"code": code} if code else {}),
        }
        channel.basic_publish(
            f"acks.{self._system}", "in", json.dumps(said).encode(), pika.BasicProperties(content_type="application/json", delivery_mode=2)
        )
        self._tag += 1
        self._waiting[self._tag] = method.delivery_tag
        self._moment("acknowledged")

    def _carry_out(self, properties: Any, body: bytes) -> tuple[str, str | None]:
        if properties.message_id in self._known:
            return "accepted", "duplicate"
        try:
            content = self._keys.open(body)
        except (JoseError, KeyError, ValueError):
            return "refused", "cannot-be-opened"
        try:
            items = {key: value for key, value in reading.read(content).items.items() if value is not None}
        except FormatError as error:
            return "refused", error.code
        kind = str((properties.headers or {}).get("cloudEvents:type", ""))
        status = self._decide(kind, items)
        if status == "accepted":
            resident = self._references.of(items["resident_record_code"]) if "resident_record_code" in items else ""
            entry = {"kind": "effect", "delivery": properties.message_id, "type": kind, "resident": resident}
            self.journal.append([entry])
            self._note(entry)
            return status, None
        return status, "not-bound" if status == "not-yet" else "no-such-resident"

    def _confirmed(self, channel: Any, frame: Any) -> None:
        method = frame.method
        tags = [tag for tag in self._waiting if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            about = self._waiting.pop(tag, None)
            if about is None or not channel.is_open:
                continue
            if method.NAME == "Basic.Ack":
                channel.basic_ack(about)
            else:
                channel.basic_nack(about, requeue=True)
