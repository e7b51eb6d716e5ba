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

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from message_formats import reading
from message_formats.errors import FormatError
from simulators.journal import Entry, Journal
from simulators.references import References
from simulators.register.amqp_door import Broker
from simulators.register.consuming import Consuming, Moment
from simulators.register.keys import ALGORITHM, OwnKeys

Decide = Callable[[str, Mapping[str, str]], str]
"""Type and items (by the keys of :attr:`message_formats.message.Message.items`) in, ``accepted``, ``not-yet`` or ``refused`` out."""


def make_key(private: Path, public: Path, kid: str = "register-1") -> None:
    """A key pair for messages to the register: the private half for it alone, the public one as JWK set for the gateway."""
    key = ECKey.generate_key("P-256", parameters={"kid": kid, "use": "enc", "alg": ALGORITHM})
    private.touch(mode=0o600)
    private.write_text(json.dumps(key.as_dict(private=True)), encoding="utf-8")
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}), encoding="utf-8")


class Inbox(Consuming):
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
        super().__init__(broker, system, "inbox", moment)
        self._keys = OwnKeys(*keys)
        self._references = references
        self._decide = decide
        self._known: set[str] = set()
        self.journal = Journal(record, on_entry=self._note)
        self.counts: Counter[str] = Counter()

    async def stop(self) -> None:
        """Stop; what is not acknowledged comes again."""
        await super().stop()
        self.journal.close()

    def _note(self, entry: Entry) -> None:
        if entry["kind"] == "effect":
            self._known.add(entry["delivery"])

    def carry_out(self, properties: Any, body: bytes) -> tuple[str, str | None]:
        status, code = self._effect(properties, body)
        self.counts[status] += 1
        return status, code

    def _effect(self, properties: Any, body: bytes) -> tuple[str, str | None]:
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
