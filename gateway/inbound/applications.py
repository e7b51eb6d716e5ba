"""Applications from the portal: verified, tied to a person, and made into a record for the system whose procedure it is (FS10-1 to FS10-3).

    application-data ──▶ schema ──▶ signature and certificate (C-1-2-9, C-1-2-13) ──▶ procedure ──▶ serial number of the certificate
      ──▶ linkage (number-linkage-feed of the register) ──▶ atena number ──▶ application-record for one system ──▶ checks of every door

No record is made without a verified signature, and none for a serial number that the linkage does not know (a renewed certificate, say):
it is kept for a person, who hands it in again once the register has said whose it is. A record goes to the one system whose procedure it
is. The list of the portal is held against what came here: an application that is on the list, and of which nothing is known here, is
reported, and fetched by its reception number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from lxml import etree

from certs.peer import Authority
from gateway.contract import FetchedRecord
from gateway.errors import InputRefused
from gateway.inbound.fetched import Worked, refused
from gateway.inbound.prepare import FETCHED
from gateway.intake.admit import Answer, Intake
from gateway.intake.cloudevents import of_party
from gateway.intake.refusals import FORMAT_CODES
from gateway.intake.submission import Submission
from gateway.security.applicant import require_signed
from message_formats import catalogue, reading
from message_formats.errors import FormatError
from message_formats.message import Message

DATA: Final = "application-data"
LIST: Final = "application-list"
RECORD: Final = "application-record"
BY_RECEPTION: Final = "application:"
"""How a batch of one application is asked for: this and the reception number."""


class Linkage(Protocol):
    """What the register said of serial numbers."""

    async def atena_number(self, serial: str) -> str | None:
        """Whose certificate that is; None: not known here."""
        ...


Unknown = Callable[[list[str]], Awaitable[list[str]]]
"""Of these reception numbers, those of which nothing is known here."""
Report = Callable[[int], Awaitable[None]]
"""So many applications are on the list and not here; 0: none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applications:
    """The works of the application management system; see the module's text."""

    party: str
    intake: Intake
    authority: Authority
    """Of the certificates with which applicants sign."""
    procedures: Mapping[str, str]
    """Procedure → who has its applications, of the configuration."""
    linkage: Linkage
    unknown: Unknown
    report: Report

    async def work(self, record: FetchedRecord) -> Worked:
        """See :class:`gateway.inbound.fetched.Works`."""
        if LIST_TAG in record.content[:400]:
            return await self._listed(record)
        try:
            attributes = of_party(id=record.record_id, party=self.party, type=RECORD)
        except InputRefused as error:
            return Worked(item=refused(self.party, DATA, error, record, known=False))
        try:
            destination, content = await self._converted(record)
        except InputRefused as error:
            return Worked(item=refused(self.party, DATA, error, record))
        submission = Submission(system=self.party, door=FETCHED, attributes=attributes, data=content, destination=destination)
        return Worked(item=await self.intake.check(submission))

    async def again(self, submission: Submission) -> Answer:
        """An application that was refused and kept, and that two persons let in again: every check holds."""
        worked = await self.work(FetchedRecord(record_id=submission.attributes.id, content=submission.data))
        if worked.item is None:
            return Answer()
        return await self.intake.admit_prepared(worked.item)

    async def _converted(self, record: FetchedRecord) -> tuple[str, bytes]:
        """Who has it, and the record for them.

        :raises InputRefused: with the reason; nothing of it is forwarded.
        """
        kind = catalogue.get(DATA)
        root = _parsed(record.content)
        if root.tag != f"{{{kind.schema}}}{kind.root}":
            raise InputRefused("wrong-root", "only applications are taken in here", place="/*", rule="routes")
        serial = require_signed(root, kind.schema, self.authority)
        message = _message(record.content)
        if message.items["serial_number"] != serial:
            detail = "the application names another certificate than the one that signed it"
            raise InputRefused("serial-differs", detail, place="/ApplicationData/serial_number", rule="C-1-2-13")
        procedure = message.items["form/procedure"] or ""
        destination = self.procedures.get(procedure)
        if destination is None:
            raise InputRefused("procedure-unknown", "no system has this procedure", place="/ApplicationData/form/procedure", rule="C-1-2-7")
        atena = await self.linkage.atena_number(serial)
        if atena is None:
            detail = "the register has not said whose certificate that is: to be tied to a person by hand"
            raise InputRefused("serial-unknown", detail, place="/ApplicationData/serial_number", rule="C-1-2-18")
        return destination, _record(message.root, atena)

    async def _listed(self, record: FetchedRecord) -> Worked:
        try:
            message = _message(record.content, LIST)
        except InputRefused as error:
            return Worked(item=refused(self.party, LIST, error, record))
        items = message.items
        listed = [value for key, value in items.items() if key.endswith("/reception_number") and value]
        missing = await self.unknown(listed)
        await self.report(len(missing))
        return Worked(item=None, also=tuple(f"{BY_RECEPTION}{each}" for each in missing))


LIST_TAG: Final = f"{catalogue.NAMESPACE_PREFIX}{LIST}:".encode()


def _record(application: etree._Element, atena: str) -> bytes:
    """The application under the atena number, without serial number and signature."""
    source, kind = catalogue.get(DATA).schema, catalogue.get(RECORD)
    root = etree.Element(f"{{{kind.schema}}}{kind.root}", nsmap={None: kind.schema})  # type: ignore[dict-item]
    etree.SubElement(root, f"{{{kind.schema}}}atena_number").text = atena
    for name in ("form", "individual_number"):
        found = application.find(f"{{{source}}}{name}")
        if found is not None:
            root.append(_moved(found, kind.schema))
    return etree.tostring(root, encoding="UTF-8", xml_declaration=False)


def _moved(element: etree._Element, schema: str) -> etree._Element:
    made = etree.Element(f"{{{schema}}}{etree.QName(element).localname}")
    made.text = element.text if not len(element) else None
    for name, value in element.attrib.items():
        made.set(name, value)
    for child in element:
        made.append(_moved(child, schema))
    return made


def _parsed(content: bytes) -> etree._Element:
    try:
        return reading.parse(content)
    except FormatError as error:
        raise _format(error) from error


def _message(content: bytes, kind: str = DATA) -> Message:
    try:
        return reading.read(content, expected=kind)
    except FormatError as error:
        raise _format(error) from error


def _format(error: FormatError) -> InputRefused:
    return InputRefused(FORMAT_CODES.get(error.code, error.code), error.safe_detail, place=error.place, rule=error.rule)
