"""The adapter of the certificate issuance centre. The gateway stands in the place of the convenience server (コンビニ交付サーバー).

Everything between the two is a dialogue that the centre begins: it calls the listener ``parties.certificate-centre.inbound``, and has its
answer on the same connection (``gateway/inbound``). Nothing is delivered to it, so what is left to do here is to say so, and to see whether
it can be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gateway.contract import Adapter, CallNotSent, Envelope, Finding, Limits, Manifest, Outcome, Rejected


class ConvenienceStoreAdapter(Adapter):
    """The party behind the listener."""

    manifest: ClassVar[Manifest] = Manifest(
        name="convenience_store",
        party="certificate-centre",
        description_en="Certificate issuance centre (convenience stores): asks, and is answered in the place of the convenience server",
        description_ja="証明書交付センター（コンビニ交付）：センターからの請求に、コンビニ交付サーバーの位置で応答",
        message_types=(),
        signatures=True,
        limits=Limits(calls=1, records_per_call=1, call_s=10.0),
    )

    async def check(self) -> Sequence[Finding]:
        """Whether the centre's address answers as the centre; nothing is sent."""
        name = self.manifest.party
        try:
            await self.host.http.probe()
        except CallNotSent as error:
            remedy = f"see parties.{name}: url, peer, trust, and whether the line to the centre is up"
            return [Finding(name=name, ok=False, detail=error.code, remedy=remedy)]
        return [Finding(name=name, ok=True, detail="reachable, and the right peer")]

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Nothing goes there by itself: no route leads to this party."""
        return [Rejected(code="nothing-is-delivered") for _ in envelopes]
