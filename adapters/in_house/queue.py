"""One message for one of our own systems: into its queue, and then the wait for its acknowledgement.

The broker's confirm ends nothing: the outcome is *pending* until the system has said, by a message of its own, that it has the message,
will not have it, or cannot have it yet (R18, R14). Each attempt has a correlation of its own, so that what is said of an earlier one is
never taken for the answer to this one; the delivery id stays the same, and by it the system drops what it has already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.contract import (
    Adapter,
    CallNotSent,
    CallUnanswered,
    Envelope,
    Finding,
    Outcome,
    PartyDown,
    Pending,
    QueueCaller,
    Unknown,
)


class InHouseAdapter(Adapter):
    """Base of the adapters of our own systems; a subclass gives the manifest, with ``queue=True``."""

    async def check(self) -> Sequence[Finding]:
        """Somebody consumes the queue, and there is a key to encrypt for; nothing is sent."""
        name = self.manifest.party
        try:
            await self._queue.probe()
        except CallNotSent as error:
            remedy = f"see that {name} runs and consumes the queue in-house.{name}, and that parties.{name}.queue.keys is its JWK set"
            return [Finding(name=name, ok=False, detail=error.code, remedy=remedy)]
        return [Finding(name=name, ok=True, detail="its queue is consumed, its key can be used")]

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """See :meth:`gateway.contract.Adapter.deliver`."""
        return await asyncio.gather(*(self._deliver(each) for each in envelopes))

    async def _deliver(self, envelope: Envelope) -> Outcome:
        correlation = f"{envelope.delivery_id}.{envelope.attempt}"
        headers = {
            "cloudEvents:specversion": "1.0",
            "cloudEvents:id": envelope.delivery_id,
            "cloudEvents:source": "/integration-gateway",
            "cloudEvents:type": envelope.message_type,
            "cloudEvents:message": envelope.message_id,
            **({} if envelope.municipality is None else {"cloudEvents:municipality": envelope.municipality}),
        }
        if envelope.work is not None:
            headers["cloudEvents:work"] = envelope.work
        try:
            await self._queue.send(envelope.content, delivery_id=envelope.delivery_id, correlation=correlation, headers=headers)
        except CallNotSent as error:
            return PartyDown(code=error.code)
        except CallUnanswered as error:
            return Unknown(code=error.code)
        return Pending(correlation=correlation, deadline_s=self._queue.acknowledge_s)

    @property
    def _queue(self) -> QueueCaller:
        assert self.host.queue is not None  # the host gives it where the manifest says so
        return self.host.queue
