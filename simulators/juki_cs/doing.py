"""What happens beyond the city CS on command: other municipalities, J-LIS and integrated terminals that begin something themselves.

``POST /_sim/emit`` with ``{"do": …}``. What is sent to the gateway goes through the outbox: journalled first, and tried until it is there.
Answers show codes, counts and references, never whom they are about.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from lxml import etree

from message_formats import codes, reading, samples, writing
from message_formats.errors import FormatError
from simulators.errors import BadFault
from simulators.juki_cs.relays import certificate_items
from simulators.soap.deciding import QuestionRefused, outgoing
from simulators.soap.envelope import Record
from simulators.soap.notices import Notice
from simulators.soap.outbox import Outgoing
from simulators.world.digesting import place_of, write_digests
from simulators.world.people import RESIDENTS, Person

if TYPE_CHECKING:
    from simulators.juki_cs.party import JukiCs

Values = dict[str, Any]


class Doing:
    """The commands."""

    def __init__(self, cs: JukiCs) -> None:
        self._cs = cs
        self._known: Mapping[str, Callable[[Values], Awaitable[Values]]] = {
            "municipality": self._municipality,
            "resident": self._resident,
            "move-in-notice": self._move_in_notice,
            "move-out-certificate-request": self._certificate_request,
            "move-out-certificate": self._certificate,
            "supplement": self._supplement,
            "wide-area": self._wide_area,
            "allocate": self._allocate,
            "card": self._card,
            "terminal": self._terminal,
            "holds": self._holds,
            "digests": self._digests,
        }

    async def do(self, what: str, values: Values) -> Values:
        """One command.

        :raises BadFault: there is no such command, or something is missing or wrong in it.
        """
        if what not in self._known:
            raise BadFault("do-unknown", f"one of {', '.join(self._known)}")
        try:
            return await self._known[what](values)
        except KeyError as error:
            raise BadFault("do-incomplete", f"{what} needs {error.args[0]}") from error
        except FormatError as error:
            raise BadFault("do-invalid", f"{what}: {error.code}") from error

    def _send(self, *what: Outgoing, **more: Any) -> Values:
        """Journalled, with ``more`` as a line before, and on its way."""
        facts = [more] if more else []
        self._cs.note(*facts, *[self._cs.outbox.entry(each) for each in what])
        return {"deliveries": [each.delivery_id for each in what]}

    def _named(self, values: Values) -> str:
        code = str(values["municipality"])
        if not self._cs.elsewhere.municipality(code):
            raise BadFault("municipality-unknown", "the code of another municipality, with its check digit")
        return code

    # ---- other municipalities --------------------------------------------------------------------------------------------------

    async def _municipality(self, values: Values) -> Values:
        """``silent``: takes what it is asked and never answers."""
        code = self._named(values)
        self._cs.note({"kind": "municipality-mode", "municipality": code, "silent": bool(values.get("silent", False))})
        return {"municipality": code, "residents": RESIDENTS}

    async def _resident(self, values: Values) -> Values:
        """A fictitious resident of that municipality, so that somebody can play him at a counter: the one command that tells who it is."""
        person = self._person(values)
        return {**person.identity, "head_name": person.head_name, "relationship": person.relationship, "domicile": person.domicile}

    def _person(self, values: Values) -> Person:
        return self._cs.elsewhere.person(self._named(values), int(values.get("index", 0)) % RESIDENTS)

    async def _move_in_notice(self, values: Values) -> Values:
        """Our former resident moved in there."""
        items = {
            "resident_record_code": values["code"],
            "name": values["name"],
            "move_in_date": values["date"],
            "new_municipality": self._named(values),
        }
        return self._send(outgoing("SendMoveInNotice", "move-in-notice", items, municipality=items["new_municipality"]))

    async def _certificate_request(self, values: Values) -> Values:
        """Our resident moved there with a card (特例転出): it asks for the certificate data, and the city CS answers with what our register
        handed over, or that it has none yet. ``gateway``: the request goes on to our gateway besides."""
        municipality = self._named(values)
        reference = self._cs.references.of(str(values["code"]))
        provided = self._cs.has_certificate(reference, municipality)
        self._cs.note({"kind": "municipality-asked", "municipality": municipality, "resident": reference, "provided": provided})
        if values.get("gateway"):
            items = {"resident_record_code": values["code"], "requesting_municipality": municipality}
            self._send(outgoing("RequestMoveOutCertificate", "move-out-certificate-request", items, municipality=municipality))
        return {"provided": provided}

    async def _certificate(self, values: Values) -> Values:
        """Certificate data of its resident, unasked or of somebody else: as a fault."""
        person = self._person(values)
        items = certificate_items(person, samples.municipality_code())
        return self._send(
            outgoing("SendMoveOutCertificate", "move-out-certificate-data", items, municipality=person.municipality),
        )

    async def _supplement(self, values: Values) -> Values:
        """Somebody domiciled here moved there: passed on by the city CS as what is internal from here on (FS2-12)."""
        person = self._person(values)
        entries = {
            "name": person.name,
            "birth_date": person.birth_date,
            "birth_date@text": person.birth_text,
            "address": person.address,
            "address_since": "20260401",
            "change_reason": codes.table("change_reason").of("MOVE").code,
        }
        items: dict[str, str | None] = {
            "domicile": str(values.get("domicile", "虚構県架空市見本町１丁目")),
            "register_head": str(values.get("register_head", person.head_name)),
            **{f"supplement_entries/{item}": value for item, value in entries.items()},
        }
        return self._send(outgoing("RelayFamilyRegisterSupplement", "family-register-supplement-internal", items))

    async def _wide_area(self, values: Values) -> Values:
        """Our resident asks there for a copy (FS2-11): a question to the gateway, and whether the answer is his."""
        municipality = self._named(values)
        request_id = f"SIM-{uuid.uuid4()}"
        order = {
            "certificate_type": str(values.get("certificate_type", next(iter(codes.table("certificate_kind").codes)))),
            "copies": "1",
            "whole_household": "0",
            "with_relationship": "1",
            "requesting_municipality": municipality,
        }
        items = {
            "request_id": request_id,
            "resident_record_code": values["code"],
            **{f"requested_certificate/{item}": value for item, value in order.items()},
        }
        xml = writing.write("wide-area-certificate-request", items).to_bytes().decode()
        said = await self._cs.send(
            "RequestWideAreaCertificate", [Notice(delivery_id=str(uuid.uuid4()), xml=xml, municipality=municipality)]
        )
        shown = {"status": said.status, "fault": said.fault, "signed": said.signed, "answered": bool(said.content)}
        if said.content:
            answer = reading.accept(etree.fromstring(said.content), expected="wide-area-certificate-data").items
            shown["own"] = answer["request_id"] == request_id and answer["resident_record_code"] == values["code"]
        return shown

    # ---- J-LIS -----------------------------------------------------------------------------------------------------------------

    async def _allocate(self, values: Values) -> Values:
        """住民票コードの指定: the next codes that nobody has."""
        count = min(max(int(values.get("count", 100)), 1), 10_000)
        pool = self._cs.authority.pool(count)
        items = {f"resident_record_codes[{place}]": code for place, code in enumerate(pool, start=1)}
        return self._send(outgoing("AllocateResidentCodes", "resident-code-allocation", items), kind="allocated", count=count)

    async def _card(self, values: Values) -> Values:
        """Card delivery information for one of our residents (F2-8)."""
        event = codes.table("card_event").of(str(values.get("event", "ISSUED"))).code
        items = {
            "resident_record_code": values["code"],
            "event": event,
            "card_identifier": str(values.get("card", f"SAMPLE-CARD-{uuid.uuid4().hex[:8].upper()}")),
        }
        return self._send(outgoing("UpdateCards", "card-management-update", items))

    def pass_on(self, operation: str, record: Notice, by: str) -> str | None:
        """A message of a neighbour for the gateway."""
        if operation != "UpdateCards":
            return "operation-not-offered"
        if self._cs.knows(record.delivery_id):
            return None
        self._cs.note(
            {"kind": "passed-on", "operation": operation, "delivery": record.delivery_id, "by": by},
            self._cs.outbox.entry(Outgoing(operation=operation, delivery_id=record.delivery_id, xml=record.xml)),
        )
        return None

    # ---- integrated terminals --------------------------------------------------------------------------------------------------

    async def _terminal(self, values: Values) -> Values:
        """A dialogue of an integrated terminal (統合端末): inside the Juki-net, the gateway sees nothing of it."""
        dialogue, terminal = str(values["dialogue"]), str(values.get("terminal", "TERM0001"))
        asked: dict[str, str] = {name: str(values[name]) for name in ("name", "address", "sex", "birth_date") if name in values}
        if "code" in values:
            asked["resident_record_code"] = str(values["code"])
        items = {"request_id": f"SIM-{uuid.uuid4()}", **asked}
        identity = self._cs.identity
        try:
            match dialogue:
                case "confirm":
                    found = await self._asked(identity.confirm, "identity-confirmation-request", items)
                    answer: Values = {"match": found["match"]}
                case "search":
                    found = await self._asked(identity.search, "identity-search-request", items)
                    answer = {"matches": sum(key.endswith("/resident_record_code") for key in found)}
                case "inquire":
                    await self._asked(identity.inquire, "identity-inquiry-request", items)
                    answer = {"matches": 1}
                case "special-move-in":
                    answer = await self._special_move_in(values, items)
                case _:
                    raise BadFault("do-invalid", "dialogue is confirm, search, inquire or special-move-in")
        except QuestionRefused as refused:
            answer = {"refused": refused.code}
        self._cs.note({"kind": "terminal", "dialogue": dialogue, "terminal": terminal, "refused": answer.get("refused")})
        return answer

    async def _asked(self, ask: Callable[[Record], Awaitable[str]], kind: str, items: Mapping[str, str]) -> Mapping[str, str | None]:
        read = {key: value for key, value in writing.write(kind, items).items.items() if value is not None}
        answer = await ask(Record(delivery_id=str(uuid.uuid4()), items=read))
        return {key: value for key, value in reading.read(answer.encode()).items.items() if value is not None}

    async def _special_move_in(self, values: Values, items: Mapping[str, str]) -> Values:
        """特例転入 (F2-3): confirmed by the card's code; the origin is asked, and its certificate data go to our register."""
        municipality = self._named(values)
        found = await self._asked(self._cs.identity.confirm, "identity-confirmation-request", items)
        if found["match"] != "1":
            return {"match": found["match"], "refused": "not-confirmed"}
        asked = {"resident_record_code": items["resident_record_code"], "requesting_municipality": samples.municipality_code()}
        record = Record(delivery_id=str(uuid.uuid4()), items=asked, municipality=municipality)
        said = self._cs.take(record, "RequestMoveOutCertificate", by="integrated-terminal")
        return {"match": "1", "refused": said.code} if said.code is not None else {"match": "1"}

    async def _digests(self, values: Values) -> Values:
        """Its file for a reconciliation of everybody: ``run``, ``secret``, ``cut_off``, ``out``; ``national``: that of J-LIS."""
        cs, national = self._cs, bool(values.get("national"))
        found: dict[str, dict[str, str]] = {}
        async for code in cs.everybody():
            held = (cs.identity.national if national else cs.identity.of)(code)
            if held is not None:
                resident = cs.residents.find(code, cs.journal)
                number = {} if national or resident is None else {"update_sequence_number": str(resident.update)}
                found[held["resident_record_code"]] = {**held, **number}
        return {"records": write_digests(found.values(), **place_of(values))}

    # ---- for tests -------------------------------------------------------------------------------------------------------------

    async def _holds(self, values: Values) -> Values:
        """Whether a municipality has something about somebody: ``kind`` as its counts are named in the state."""
        reference = self._cs.references.of(str(values["code"]))
        return {"holds": self._cs.municipalities.has(self._named(values), str(values["kind"]), reference)}
