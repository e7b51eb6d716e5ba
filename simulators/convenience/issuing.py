"""The certificate issuance system (証明発行システム), simulated: what it has by queue, and a certificate for whoever holds a valid card.

Data come from the feeds only; there is no way to edit them here (C-1-3-9). A card is known by its serial number or its identification
number; the PIN is kept as a keyed hash. Family register certificates are made of what the family register says at that moment, and nothing
of it is kept.

The journal has an ``effect`` for each message (content sealed under the salt of the run) and, for each certificate made, an entry
``issued``: request id, card and person as references, kind, digest of the body. On demand, or by chance (``mischief``), it answers in the
ways in which systems went wrong in 2023: late, twice, to somebody else's question, about another person, card or kind, or not at all.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import Mapping
from typing import Any, Literal, get_args

from message_formats import writing
from message_formats.message import Message
from simulators.convenience.certificates import Paper
from simulators.convenience.queues import NotYet, Question, QueueSystem, Refusal
from simulators.journal import Entry
from simulators.references import References, Vault

SYSTEM = "certificate-issuance-system"
RESIDENT, SEAL, TAX, FAMILY = "1", "2", "3", "4"
REVOKED, SUSPENDED = "3", "2"
Mischief = Literal[
    "late", "twice", "exchanged", "silence", "slow", "other-person", "other-card", "other-request", "other-kind", "no-person", "no-detour"
]


class IssuingSystem(QueueSystem):
    """Belongs to the event loop."""

    def __init__(self, *, salt: str, paper: Paper, seed: int = 0, slow_s: float = 0.5, **others: Any) -> None:
        """``slow_s``: how long *slow* takes; *late* takes longer than the deadline."""
        self._references, self._vault = References(salt), Vault(salt)
        self._paper = paper
        self._random = random.Random(seed)
        self._slow_s = slow_s
        self.wrong: Mischief | None = None
        """What is done to every question."""
        self.mischief: dict[Mischief, float] = {}
        """What is done by chance, with which probability."""
        self.hold: asyncio.Event | None = None
        """If set, answers wait for it."""
        self._cards: dict[str, tuple[str, str]] = {}
        """Number of the card → atena number, validity."""
        self._current: dict[str, str] = {}
        """Atena number and kind of card → the card that counts."""
        self._people: dict[str, dict[str, str | None]] = {}
        self._taxes: dict[str, dict[str, str | None]] = {}
        self._number = 0
        self._exchange: list[tuple[Question, bytes]] = []
        super().__init__(system=SYSTEM, **others)

    # ---- messages ------------------------------------------------------------------------------------------------------------------

    def take(self, message: Message) -> Entry:
        items = dict(message.items)
        atena = str(items["atena_number"])
        if message.type_name == "tax-certificate-change" and atena not in self._people:
            raise NotYet("atena-number-unknown")  # put aside (FS3-3)
        if items.get("pin") is not None:
            items["pin"] = self._references.of(f"pin {atena} {items['pin']}")
        return {"person": self._references.of(atena), "sealed": self._vault.seal(items, message.type_name)}

    def recover(self, entry: Entry) -> None:
        if entry["kind"] == "issued":
            self._number = max(self._number, entry["number"])
        if entry["kind"] != "effect":
            return
        items = self._vault.unseal(entry["sealed"], entry["type"])
        atena = items["atena_number"]
        match entry["type"]:
            case "card-identifier-change":
                self._card(atena, items)
            case "certificate-data-change":
                self._people.setdefault(atena, {}).update(items)
            case "tax-certificate-change":
                self._taxes[atena] = items

    def _card(self, atena: str, items: Mapping[str, str | None]) -> None:
        for name in ("certificate_serial_number", "identification_number"):
            number = items.get(name)
            if number is None:
                continue
            place = f"{atena} {name}"
            former = self._current.get(place)
            if former is not None and former != number:
                self._cards[former] = (atena, REVOKED)  # one card of a kind counts: the last one
            self._current[place] = number
            self._cards[number] = (atena, items.get("card_validity") or "1")

    # ---- certificates ----------------------------------------------------------------------------------------------------------------

    async def answer(self, question: Question) -> bytes:
        """See :class:`QueueSystem`; what goes wrong on purpose is done here."""
        if self.hold is not None:
            await self.hold.wait()
        wrong = self.wrong or self._by_chance()
        if wrong == "silence":
            raise Withheld
        content = await self._certificate(question, wrong)
        match wrong:
            case "slow":
                await asyncio.sleep(self._random.random() * self._slow_s)
            case "late":
                await asyncio.sleep(max(question.left_s, 0) + 0.05 + self._random.random() * 0.5)
            case "twice":
                await self.say(question, content)
            case "exchanged":
                self._exchange.append((question, content))
                if len(self._exchange) == 2:
                    (one, of_one), (other, of_other) = self._exchange
                    self._exchange.clear()
                    await self.say(one, of_other)
                    await self.say(other, of_one)
                raise Withheld
        return content

    async def _respond(self, question: Question) -> None:
        try:
            await super()._respond(question)
        except Withheld:
            return

    def refuse(self, question: Question, code: str) -> None:
        self.journal.append([{"kind": "refused", "request": question.message.items["request_id"], "code": code}])
        super().refuse(question, code)

    def _by_chance(self) -> Mischief | None:
        roll = self._random.random()
        for name, share in self.mischief.items():
            roll -= share
            if roll < 0:
                return name
        return None

    async def _certificate(self, question: Question, wrong: Mischief | None) -> bytes:
        asked = question.message.items
        card = asked["certificate_serial_number"] or asked["identification_number"] or ""
        kind = str(asked["certificate_type"])
        if card not in self._cards:
            raise Refusal("card-unknown")
        atena, validity = self._cards[card]
        if validity != "1":
            raise Refusal("card-revoked" if validity == REVOKED else "card-suspended")
        if wrong == "other-person":
            atena = next(each for each in self._people if each != atena)
        data = self._data(atena, kind)
        if kind == FAMILY and wrong != "no-detour":
            data = {**data, "family_register": await self._family_register(question, data)}
        elif kind == FAMILY:
            raise Refusal("family-register-missing")
        request_id = str(asked["request_id"])
        facts = {"request": request_id, "card": self._references.of(card), "person": self._references.of(atena), "type": kind}
        self._number += 1
        body = await self._paper.make(self._number, kind, data, facts)
        self.journal.append(
            [{"kind": "issued", "number": self._number, **facts, "digest": hashlib.sha256(body).hexdigest(), "wrong": wrong}]
        )
        said: dict[str, str | None] = {
            "request_id": request_id,
            "certificate_serial_number": asked["certificate_serial_number"],
            "identification_number": asked["identification_number"],
            "certificate_type": kind,
            "atena_number": atena,
            "certificate": base64.b64encode(body).decode(),
        }
        match wrong:
            case "other-card":
                name = "certificate_serial_number" if asked["certificate_serial_number"] else "identification_number"
                said[name] = next(each for each in self._cards if each != card and each.isdigit() == card.isdigit())
            case "other-request":
                said["request_id"] = "another-request-of-somebody"
            case "other-kind":
                said["certificate_type"] = RESIDENT if kind != RESIDENT else TAX
            case "no-person":
                said["atena_number"] = None
        return writing.write("certificate-data", said).to_bytes()

    def _data(self, atena: str, kind: str) -> dict[str, str | None]:
        person = self._people.get(atena)
        if person is None:
            raise Refusal("no-data")
        if person.get("resident_record_copy_data/certificate_stop") == "1":
            raise Refusal("certificate-stopped")
        if kind == SEAL and (person.get("seal_certificate_data/registration_number") is None):
            raise Refusal("no-seal-registered")
        if kind == SEAL and person.get("seal_certificate_data/cancelled") == "1":
            raise Refusal("seal-cancelled")
        if kind == TAX:
            if atena not in self._taxes:
                raise Refusal("no-tax-data")
            return {**person, **self._taxes[atena]}
        return person

    async def _family_register(self, question: Question, data: Mapping[str, str | None]) -> str:
        """What the family register system says: for this certificate, and for nothing else."""
        wanted: dict[str, str | None] = {
            "request_id": question.message.items["request_id"],
            "family_register_request/domicile": data.get("resident_record_copy_data/domicile"),
            "family_register_request/register_head": data.get("resident_record_copy_data/register_head"),
            "family_register_request/certificate_type": "1",
            "family_register_request/copies": "1",
        }
        if wanted["family_register_request/domicile"] is None:
            raise Refusal("domicile-unknown")
        content = writing.write("family-register-certificate-request", wanted).to_bytes()
        said = await self.ask_back(question, content, "family-register-certificate-request")
        return base64.b64decode(said.items["family_register_certificate"] or "").decode()


class Withheld(Exception):
    """No answer, on purpose."""


MISCHIEFS: frozenset[str] = frozenset(get_args(Mischief))
