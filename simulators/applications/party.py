"""Applications come from citizens, wait here, and get a status; linkage of serial and atena numbers is taken from the city."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from lxml import etree

from certs.peer import Authority
from simulators.applications.signing import NAMESPACE, serial_of, sign
from simulators.errors import BadFault
from simulators.journal import Entry
from simulators.mailbox import Call, MailboxParty, Waiting
from simulators.misbehaviour import Answer

FEED = "urn:renkei:format:number-linkage-feed:1"
LIST = "urn:renkei:format:application-list:1"
REQUEST = "urn:renkei:format:application-fetch-request:1"
RECEIVED, FETCHED, IN_WORK = "1", "2", "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application at the portal."""

    reception: str
    procedure: str
    status: str
    received_at: str
    xml: str


class ApplicationManagement(MailboxParty):
    """The simulated system."""

    name: ClassVar[str] = "application-management-system"
    title_en: ClassVar[str] = "Application management system and portal"
    title_ja: ClassVar[str] = "申請管理システム・マイナポータル"
    prefix: ClassVar[str] = "/applications"

    def __init__(
        self, *, salt: str, caller: str, authority: Authority, municipality: str, applicants: Path | None = None, seed: int = 0
    ) -> None:
        """``applicants``: folder with the certificates and keys of fictitious citizens."""
        super().__init__(salt=salt, caller=caller, authority=authority, tenant=municipality, seed=seed)
        self._applicants = applicants
        self._applications: dict[str, Application] = {}
        self._lists = 0

    # ---- linkage

    def judge(self, element: etree._Element) -> tuple[str, str]:
        serial, atena = element.findtext(f"{{{FEED}}}serial_number") or "", element.findtext(f"{{{FEED}}}atena_number") or ""
        if element.tag != f"{{{FEED}}}NumberLinkageFeed" or not serial or not atena:
            return self.references.of(atena or "?"), "L101"
        return self.references.of(atena), "L102" if serial == "1" else ""  # no certificate has the serial number 1

    # ---- the portal

    async def emit(self, what: dict[str, Any]) -> dict[str, Any]:
        """``{"applications": [{"reception", "procedure", "applicant", "fields", "number", "spoil"}], "batch": …}``: citizens apply.

        Without a batch they are on the portal's list alone, as fetched. ``{"list": true}``: the portal's list, with the status of each.

        :raises BadFault: it is not of that form.
        """
        if what.get("list"):
            return self._put_list()
        if "applications" not in what:
            return await super().emit(what)
        try:
            made = await asyncio.to_thread(lambda: [self._applied(each) for each in what["applications"]])
        except (KeyError, TypeError, OSError) as error:
            raise BadFault("emit-invalid", "reception, procedure and applicant of each application are needed") from error
        batch = what.get("batch")
        for each in made:
            self._note(each if batch else replace(each, status=FETCHED))
        if batch:
            self.put_batch(Waiting(batch=str(batch), records=tuple((each.reception, each.xml) for each in made), tenant=what.get("tenant")))
        return {"applications": len(made)}

    def _applied(self, what: Mapping[str, Any]) -> Application:
        if self._applicants is None:
            raise BadFault("emit-invalid", "start the simulator with the folder of its applicants")
        certificate = self._applicants / f"{what['applicant']}.pem"
        received = (datetime.now(UTC) + timedelta(hours=9)).strftime("%Y%m%d%H%M%S") + "000"
        fields = "".join(
            f"<field><field_id>{escape(str(name))}</field_id><value>{escape(str(value))}</value></field>"
            for name, value in (what.get("fields") or {"remarks": "見本の入力値"}).items()
        )
        number = f"<individual_number>{what['number']}</individual_number>" if what.get("number") else ""
        serial = what.get("serial") or serial_of(certificate)
        xml = (
            f'<ApplicationData xmlns="{NAMESPACE}"><serial_number>{serial}</serial_number><form>'
            f"<procedure>{escape(str(what['procedure']))}</procedure><received_at>{received}</received_at>{fields}</form>{number}"
            "<signature/></ApplicationData>"
        )
        key = self._applicants / f"{what.get('key') or what['applicant']}.key"
        match what.get("spoil"):
            case "unsigned":
                xml = xml.replace("<signature/>", "")
            case "altered":
                xml = sign(xml, certificate, key).replace("見本の入力値", "書き換えた値")
            case "other-number":
                xml = sign(xml, certificate, key).replace(str(what["number"]), str(what["other"]))
            case _:
                xml = sign(xml, certificate, key)
        return Application(
            reception=str(what["reception"]), procedure=str(what["procedure"]), status=RECEIVED, received_at=received, xml=xml
        )

    def _note(self, application: Application) -> None:
        name = application.reception
        sealed = self.vault.seal([application.procedure, application.received_at, application.xml], name)
        self.journal.append([{"kind": "application", "reception": name, "status": application.status, "sealed": sealed}])
        self.counters["application"] += 1
        self._applications[name] = application

    def recover(self, entry: Entry) -> None:
        super().recover(entry)
        if entry["kind"] == "application":
            procedure, received_at, xml = self.vault.unseal(entry["sealed"], entry["reception"])
            self._applications[entry["reception"]] = Application(
                reception=entry["reception"], procedure=procedure, status=entry["status"], received_at=received_at, xml=xml
            )
        elif entry["kind"] == "status":
            known = self._applications.get(entry["reception"])
            if known is not None:
                self._applications[entry["reception"]] = replace(known, status=entry["status"])

    def forget(self) -> None:
        super().forget()
        self._applications.clear()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "applications": len(self._applications)}

    def told(self, batch: Waiting, results: Mapping[str, tuple[str, str]]) -> None:
        for reception, (outcome, _) in results.items():
            known = self._applications.get(reception)
            if known is not None:
                status = IN_WORK if outcome == "accepted" else FETCHED
                self.journal.append([{"kind": "status", "reception": reception, "status": status}])
                self._applications[reception] = replace(known, status=status)

    def _put_list(self) -> dict[str, Any]:
        self._lists += 1
        rows = "".join(
            f"<applications><reception_number>{each.reception}</reception_number><procedure>{escape(each.procedure)}</procedure>"
            f"<status>{each.status}</status><received_at>{each.received_at}</received_at></applications>"
            for each in self._applications.values()
        )
        name = f"list-{self._lists}-{len(self._applications)}"
        self.put_batch(Waiting(batch=name, records=((name, f'<ApplicationList xmlns="{LIST}">{rows}</ApplicationList>'),)))
        return {"batch": name}

    # ---- calls

    def offered(self, call: Call) -> Sequence[Waiting]:
        """The question holds a request for everything not fetched yet."""
        asked = call.root.find(f"{{{REQUEST}}}ApplicationFetchRequest")
        return [] if asked is None else super().offered(call)

    def _fetched(self, call: Call) -> Answer:
        """One application is had by its reception number also after its batch is gone."""
        wanted = call.root.get("batch", "")
        reception = wanted.removeprefix("application:")
        if reception != wanted and (known := self._applications.get(reception)) is not None and wanted not in self.waiting:
            self.put_batch(Waiting(batch=wanted, records=((reception, known.xml),)))
        return super()._fetched(call)
