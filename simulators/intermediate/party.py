"""The intermediate server as a party: what it takes from the gateway, what it sends of its own accord, and how it may be disturbed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from message_formats import codes, reading
from message_formats.errors import FormatError
from simulators.errors import BadFault
from simulators.intermediate.inquiries import Inquiries
from simulators.intermediate.network import OURS, Network
from simulators.intermediate.replica import PROCESSING, Holdings
from simulators.journal import Entry
from simulators.soap.deciding import TAKEN, Decision, outgoing
from simulators.soap.envelope import Record
from simulators.soap.notices import Notice
from simulators.soap.outbox import Outgoing
from simulators.soap.party import SoapParty

REGISTER, UPDATE, REQUEST = "RegisterAtenaNumber", "UpdateReplica", "RequestCode"
NOTIFY, EXPORT, CHECK_LIST, STATUS = "NotifyProcessingNumber", "ExportReplica", "SendReplicaCheckList", "NotifyOperatingStatus"
PAIR = "code-acquisition-code-pair"
IN_ONE_EXPORT: Final = 1000
IN_ONE_LIST: Final = 10_000
_STATUS = codes.table("operating_status")
Mischief = Mapping[str, float]
"""Of answers with processing numbers: shares (0 to 1) that are ``lost``, ``twice`` or ``late``, and ``late_s``."""


class IntermediateServer(SoapParty):
    """The simulated intermediate server, with the network behind it."""

    name: ClassVar[str] = "intermediate-server"
    title_en: ClassVar[str] = "Intermediate server and information provision network"
    title_ja: ClassVar[str] = "中間サーバー・情報提供ネットワークシステム"
    profile_name: ClassVar[str] = "intermediate_server"

    def __init__(self, *, delay_s: float = 0.0, **parts: Any) -> None:
        """``delay_s``: how long the network takes for a processing number; ``parts``: as at :class:`SoapParty`."""
        super().__init__(**parts)
        self.holdings = Holdings()
        self.network = Network(parts["salt"])
        self.permission_list = self.network.permission_list()
        self.inquiries = Inquiries(self)
        self._delay_s = delay_s
        self._mischief: Mischief = {}
        self._chance = random.Random(parts.get("seed", 0))  # a simulation repeats by its seed
        self.takers |= {REGISTER: self._register, UPDATE: self._update, REQUEST: self._request}

    # ---- records ---------------------------------------------------------------------------------------------------------------

    def _register(self, record: Record) -> Decision:
        """A number of nothing but zeros is nobody's."""
        return TAKEN if record.items["integrated_atena_number"].strip("0") else Decision(code="atena-number-invalid")

    def _update(self, record: Record) -> Decision:
        """形式チェック is the schema's, before this; a replica belongs to a number that was registered first (FS6-4)."""
        return self._known(record) or TAKEN

    def _request(self, record: Record) -> Decision:
        if (refused := self._known(record)) is not None:
            return refused
        number = record.items["integrated_atena_number"]
        given = self.network.processing_number(record.delivery_id)
        answer = {"integrated_atena_number": number, "processing_number": given}
        return Decision(added={PROCESSING: given}, follows=tuple(self._answers(record.delivery_id, answer)))

    def _known(self, record: Record) -> Decision | None:
        known = record.items["integrated_atena_number"] in self.holdings.people
        return None if known else Decision(code="atena-number-unknown")

    def _answers(self, delivery_id: str, items: Mapping[str, str]) -> Iterable[Outgoing]:
        """None, one or two answers, now or late, as the mischief says; each answer of its own id."""
        wrong, roll = self._mischief, self._chance.random
        if roll() < wrong.get("lost", 0.0):
            return
        for time in range(2 if roll() < wrong.get("twice", 0.0) else 1):
            late = wrong.get("late_s", 1.0) * roll() if roll() < wrong.get("late", 0.0) else 0.0
            made = str(uuid.uuid5(uuid.NAMESPACE_URL, f"processing-number:{delivery_id}:{time}"))
            yield outgoing(NOTIFY, "processing-number-response", items, delivery_id=made, delay_s=self._delay_s + late)

    # ---- what it knows ---------------------------------------------------------------------------------------------------------

    def learn(self, operation: str, items: Mapping[str, str], entry: Entry) -> None:
        match operation:
            case "RegisterAtenaNumber":
                self.holdings.register(items["integrated_atena_number"])
            case "UpdateReplica":
                self.holdings.update(items, _timestamp(entry.get("at")))
            case "RequestCode":
                self.holdings.request(items)

    def recover(self, entry: Entry) -> None:
        super().recover(entry)
        match entry["kind"]:
            case "code":
                found = self.vault.unseal(entry["sealed"], entry["delivery"])
                self.holdings.bind(found["processing_number"], found["code"])
            case "flag":
                found = self.vault.unseal(entry["sealed"], entry["delivery"])
                self.holdings.people[found["number"]].flagged = entry["on"]
            case "check-list":
                del self.holdings.changes[: entry["count"]]

    def forget(self) -> None:
        super().forget()
        self.holdings.clear()
        self.inquiries.forget()
        self._mischief = {}

    def state(self) -> dict[str, Any]:
        held = self.holdings
        return {
            **super().state(),
            "registered": len(held.people),
            "replicas": sum(each.replica is not None for each in held.people.values()),
            "requests": len(held.requests),
            "codes": len(held.codes),
            "open_requests": len(held.requests.keys() - held.settled),
            "unclaimed_codes": held.unclaimed,
            "conflicting_codes": held.conflicts,
            "permission_list": len(self.permission_list),
            "inquiries_waiting": len(self.inquiries.waiting),
            "provided": self.inquiries.provided,
            "not_provided": self.inquiries.refused,
        }

    # ---- on command ------------------------------------------------------------------------------------------------------------

    async def do(self, what: str, values: dict[str, Any]) -> dict[str, Any]:
        """``code-pair`` (from J-LIS by way of the core system), ``inquire``, ``release``, ``flag``, ``export``, ``check-list``, ``status``,
        ``answers`` (how answers with processing numbers are disturbed)."""
        try:
            match what:
                case "code-pair":
                    return {"outcome": self.code_pair(str(values["processing_number"]), str(values["resident_record_code"]))}
                case "inquire":
                    return self.inquiries.inquire(values)
                case "release":
                    return self.inquiries.release(values)
                case "flag":
                    return self._flag(str(values["number"]), values.get("on", True) is True)
                case "export":
                    return self._export(str(values.get("run", uuid.uuid4().hex[:20])))
                case "check-list":
                    return self._check_list()
                case "status":
                    item = {"status": _STATUS.of(str(values.get("status", "RUNNING"))).code}
                    return self._send(outgoing(STATUS, "operating-status-notice", item))
                case "answers":
                    self._mischief = {str(name): float(share) for name, share in values.items() if name != "do"}
                    return {"answers": dict(self._mischief)}
        except (KeyError, FormatError) as error:
            raise BadFault("do-invalid", f"{what} lacks something, or has it wrong") from error
        return await super().do(what, values)

    def code_pair(self, processing_number: str, resident_record_code: str) -> str:
        """処理通番 and 住民票コード have come to the core system, which makes the code of it and notifies it (F6-1 1-4b, 1-5)."""
        code = self.network.code(OURS, resident_record_code)
        if processing_number in self.holdings.settled:
            return "ignored"  # the same processing number twice
        if processing_number not in self.holdings.requests:
            self.holdings.unclaimed += 1
            self.note({"kind": "code-unclaimed", "reference": self.references.of(processing_number)})
            return "unclaimed"
        number = self.holdings.requests[processing_number]
        held = self.holdings.people[number].code
        conflict = held not in (None, code) or self.holdings.codes.get(code, number) != number
        delivery = f"code-{self.references.of(processing_number)}"
        sealed = self.vault.seal({"processing_number": processing_number, "code": code}, delivery)
        self.note({"kind": "code", "delivery": delivery, "resident": self.references.of(number), "conflict": conflict, "sealed": sealed})
        return "conflict" if conflict else "bound" if held is None else "known"

    def pass_on(self, operation: str, record: Notice, by: str) -> str | None:
        """The pair of J-LIS, as a neighbour of the same world hands it over: :meth:`code_pair`."""
        if self.faults.listener_mode() != "up":
            raise ConnectionError(self.name)
        if operation != PAIR:
            return "operation-not-offered"
        items = reading.read(record.xml.encode(), expected=PAIR).items
        self.code_pair(str(items["processing_number"]), str(items["resident_record_code"]))
        return None

    def _flag(self, number: str, on: bool) -> dict[str, Any]:
        if number not in self.holdings.people:
            raise BadFault("number-unknown", "nobody is registered under that number")
        delivery = f"flag-{self.journal.count + 1}"
        sealed = self.vault.seal({"number": number}, delivery)
        self.note({"kind": "flag", "delivery": delivery, "resident": self.references.of(number), "on": on, "sealed": sealed})
        return {"flagged": on}

    def _export(self, run: str) -> dict[str, Any]:
        """All that is held, in parts, for comparison with the master (FR-2 3)."""
        held = [each for each in self.holdings.people.values() if each.replica is not None]
        made = []
        for start in range(0, len(held), IN_ONE_EXPORT):
            items: dict[str, str | None] = {"run_id": run}
            for place, person in enumerate(held[start : start + IN_ONE_EXPORT], start=1):
                assert person.replica is not None
                items |= {
                    f"replica[{place}]/integrated_atena_number": person.number,
                    f"replica[{place}]/head_name": person.replica[0],
                    f"replica[{place}]/relationship": person.replica[1],
                }
            made.append(outgoing(EXPORT, "replica-export-data", items))
        return self._send(*made)

    def _check_list(self) -> dict[str, Any]:
        """What was registered since the last list; an empty one is sent too, or its absence could not be told from a failure."""
        listed = self.holdings.changes[:IN_ONE_LIST]
        items: dict[str, str | None] = {}
        for place, change in enumerate(listed, start=1):
            items |= {
                f"replica_changes[{place}]/integrated_atena_number": change.number,
                f"replica_changes[{place}]/kind": change.kind,
                f"replica_changes[{place}]/registered_at": change.at,
            }
        message = outgoing(CHECK_LIST, "replica-check-list", items)
        self.note({"kind": "check-list", "count": len(listed)}, self.outbox.entry(message))
        return {"deliveries": [message.delivery_id], "changes": len(listed)}

    def _send(self, *messages: Outgoing) -> dict[str, Any]:
        if messages:
            self.note(*[self.outbox.entry(each) for each in messages])
        return {"deliveries": [each.delivery_id for each in messages]}


def _timestamp(at: str | None) -> str:
    """As messages have it: 17 digits."""
    moment = datetime.fromisoformat(at) if at is not None else datetime.now(UTC)
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S") + f"{moment.microsecond // 1000:03d}"
