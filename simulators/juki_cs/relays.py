"""What the city CS passes on: to other municipalities by their code, to J-LIS, to the card management system; and what comes back.

All of it is decided by the state that the journal gives, so a restart forgets nothing: an answer that was due is sent, once.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from message_formats import writing
from message_formats.identifiers import ResidentRecordCode
from simulators.soap.deciding import Decision, QuestionRefused, outgoing
from simulators.soap.envelope import Record
from simulators.soap.outbox import Outgoing
from simulators.world.authority import ADDED
from simulators.world.people import Person

if TYPE_CHECKING:
    from simulators.juki_cs.party import JukiCs

CARDS = "card-management-system"
NETWORK = "intermediate-server"
"""Stands for the core system of the information provision network, which lies behind it."""


class Relays:
    """The operations of the city CS that give a receipt, other than updates and reconciliation."""

    def __init__(self, cs: JukiCs, *, delay_s: float) -> None:
        """``delay_s``: how long J-LIS and other municipalities take for an answer."""
        self._cs, self._delay_s = cs, delay_s
        cs.takers |= {
            "RequestMoveOutCertificate": self._certificate_request,
            "SendMoveOutCertificate": self._certificate,
            "SendMoveInNotice": self._addressed,
            "SendFamilyRegisterSupplement": self._addressed,
            "RequestIndividualNumber": self._number,
            "RequestIndividualNumberChange": self._number_change,
            "NotifyResidentCodeChange": self._code_change,
            "SendCodeAcquisitionPair": self._pair,
            "SendDestinationInformation": self._destination,
        }
        cs.answerers["RequestWideAreaCertificate"] = self.wide_area

    # ---- other municipalities --------------------------------------------------------------------------------------------------

    def _unreachable(self, record: Record) -> str | None:
        if record.municipality is None:
            return "municipality-missing"
        return None if self._cs.elsewhere.municipality(record.municipality) else "municipality-unknown"

    def _addressed(self, record: Record) -> Decision:
        return Decision(code=self._unreachable(record))

    def _certificate_request(self, record: Record) -> Decision:
        """The municipality answers later, by a message of its own; it knows only its own residents."""
        if (code := self._unreachable(record)) is not None:
            return Decision(code=code)
        municipality = record.municipality or ""
        person = self._cs.elsewhere.find(record.items["resident_record_code"])
        if person is None or person.municipality != municipality:
            return Decision(code="not-available")
        if municipality in self._cs.municipalities.silent:
            return Decision()
        answer = outgoing(
            "SendMoveOutCertificate",
            "move-out-certificate-data",
            certificate_items(person, record.items["requesting_municipality"]),
            municipality=municipality,
            delay_s=self._delay_s,
        )
        return Decision(follows=(answer,))

    def _certificate(self, record: Record) -> Decision:
        """特例転出: kept until the destination asks for it (住基法第24条の2); ``municipality``: the only one that may."""
        if record.municipality is not None and (code := self._unreachable(record)) is not None:
            return Decision(code=code)
        return Decision(code=None if record.items["further_items/special_move_out"] == "1" else "not-special")

    async def wide_area(self, record: Record) -> str:
        """広域交付: the municipality makes the copy of its own resident.

        :raises QuestionRefused: nobody there, or no such municipality.
        """
        if (code := self._unreachable(record)) is not None:
            raise QuestionRefused(code)
        person = self._cs.elsewhere.find(record.items["resident_record_code"])
        if person is None or person.municipality != record.municipality:
            raise QuestionRefused("no-such-resident")
        if record.municipality in self._cs.municipalities.silent:
            raise QuestionRefused("municipality-unreachable")
        items = copy_items(person, record.items)
        return writing.write("wide-area-certificate-data", items).to_bytes().decode()

    # ---- J-LIS -----------------------------------------------------------------------------------------------------------------

    def _notice(self, code: str, number: str, delivery_id: str) -> Outgoing:
        # the notice of one request has one id, so that not even a fault here could make two of it
        made = str(uuid.uuid5(uuid.NAMESPACE_URL, f"individual-number-notice:{delivery_id}"))
        items = {"resident_record_code": code, "individual_number": number}
        return outgoing("NotifyIndividualNumber", "individual-number-notice", items, delivery_id=made, delay_s=self._delay_s)

    def _number(self, record: Record) -> Decision:
        code = record.items["resident_record_code"]
        if not ResidentRecordCode.check(code):
            return Decision(code="code-invalid")
        number = self._cs.authority.generated(code)
        return Decision(added={ADDED: number}, follows=(self._notice(code, number, record.delivery_id),))

    def _number_change(self, record: Record) -> Decision:
        code, number = record.items["resident_record_code"], record.items["individual_number"]
        if (refused := self._cs.authority.refuses_change(code, number)) is not None:
            return Decision(code=refused)
        new = self._cs.authority.replacement()
        return Decision(added={ADDED: new}, follows=(self._notice(code, new, record.delivery_id),))

    def _code_change(self, record: Record) -> Decision:
        items = record.items
        return Decision(code=self._cs.authority.refuses_move(items["former_resident_record_code"], items["new_resident_record_code"]))

    def _pair(self, record: Record) -> Decision:
        if record.items["processing_number"] in self._cs.authority.pairs:
            return Decision(facts={"ignored": True}, kept=False)  # 処理通番 counts once
        known = self._cs.authority.code(record.items["individual_number"])
        if known is None:
            return Decision(code="number-unknown")
        return Decision(
            follows=(self._code_pair(record.items["processing_number"], known),) if NETWORK in self._cs.outbox.neighbours else ()
        )

    def _code_pair(self, processing_number: str, code: str) -> Outgoing:
        """J-LIS turns the number into the resident record code for the core system of the information provision network (F6-1 1-4b)."""
        items = {"processing_number": processing_number, "resident_record_code": code}
        return outgoing("code-acquisition-code-pair", "code-acquisition-code-pair", items, to=NETWORK)

    # ---- cards -----------------------------------------------------------------------------------------------------------------

    def _destination(self, record: Record) -> Decision:
        """Passed on as it is; the city CS keeps none of it (it is erased one business day after the link)."""
        on = Outgoing(operation="SendDestinationInformation", delivery_id=record.delivery_id, xml=record.xml, to=CARDS)
        return Decision(follows=(on,) if CARDS in self._cs.carries else (), kept=False)


def certificate_items(person: Person, destination: str) -> dict[str, str | None]:
    """Move-out certificate data of a resident of another municipality who moves to ``destination``."""
    identity = person.identity
    further = {
        "head_name": person.head_name,
        "relationship": person.relationship,
        "destination_address": f"虚構県架空市（{destination}）",
        "move_out_on": "20260401",
        "domicile": person.domicile,
        "register_head": person.head_name,
        "special_move_out": "1",
    }
    return {**identity, **{f"further_items/{item}": value for item, value in further.items()}}


def copy_items(person: Person, asked: Mapping[str, str]) -> dict[str, str | None]:
    """The copy of a resident record (住民票の写し) of a resident of another municipality; neither code nor number stands in it."""
    copy: dict[str, str | None] = {item: value for item, value in person.identity.items() if item != "individual_number"}
    code = copy.pop("resident_record_code")
    copy |= {
        "head_name": person.head_name,
        "relationship": person.relationship,
        "resident_since": "20200401",
        "domicile": person.domicile,
        "register_head": person.head_name,
        "certificate_stop": "0",
    }
    group = {f"resident_record_copy_data/{item}": value for item, value in copy.items()}
    return {"request_id": asked["request_id"], "resident_record_code": code, **group}
