"""The family register system (戸籍システム), simulated: certificates of registers whose domicile is in this city, while somebody waits."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from message_formats import catalogue, writing
from message_formats.message import Message
from simulators.convenience.queues import Question, QueueSystem, Refusal
from simulators.journal import Entry
from simulators.references import References, Vault

SYSTEM = "family-register-system"
SUPPLEMENT = "family-register-supplement-internal"
HERE = "虚構県架空市"


class FamilyRegister(QueueSystem):
    """Belongs to the event loop. Its journal says that it was asked, and for which request, and which supplement entries it has taken."""

    def __init__(self, *, salt: str, **others: Any) -> None:
        self._references, self._vault = References(salt), Vault(salt)
        self.slow_s = 0.0
        self.wrong: str | None = None
        """``other-request``: its answers bear the id of another request."""
        self.asked: list[str] = []
        super().__init__(system=SYSTEM, **others)

    def take(self, message: Message) -> Entry:
        """Supplement entries (戸籍の附票) of domiciles in this city (FS1-11, FS2-12)."""
        if message.type_name != SUPPLEMENT:
            raise Refusal("nothing-is-taken")
        if not str(message.items["domicile"]).startswith(HERE):
            raise Refusal("domicile-not-found")
        items = dict(message.items)
        whom = str(items[catalogue.get(SUPPLEMENT).key_item or "domicile"])
        return {"person": self._references.of(whom), "sealed": self._vault.seal(items, SUPPLEMENT)}

    async def answer(self, question: Question) -> bytes:
        items = question.message.items
        request_id = str(items["request_id"])
        self.asked.append(request_id)
        domicile, head = (str(items[f"family_register_request/{name}"]) for name in ("domicile", "register_head"))
        here = domicile.startswith(HERE)
        self.journal.append([{"kind": "asked", "request": request_id, "here": here}])
        if not here:
            raise Refusal("domicile-elsewhere")
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        text = f"戸籍全部事項証明書（見本）\n本籍　{domicile}\n筆頭者　{head}\n要求　{request_id}"
        said = {
            "request_id": "another-request-of-somebody" if self.wrong == "other-request" else request_id,
            "family_register_certificate": base64.b64encode(text.encode()).decode(),
        }
        return writing.write("family-register-certificate-data", said).to_bytes()
