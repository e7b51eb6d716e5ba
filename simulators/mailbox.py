"""A party with a mailbox: what it has waits there until it is acknowledged, and it takes records, each once, by the id of the delivery.

The second, independent implementation of the protocol that ``docs/adapters/immigration.md`` describes. A subclass says which records it
takes, which batches it offers, and whom it serves. Faults meet a call by ``key``: its operation (*list*, *fetch*, *acknowledge*,
*deliver*), or a record's id.
"""

from __future__ import annotations

import abc
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from aiohttp import web
from lxml import etree

from certs.errors import PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, require_peer
from simulators.errors import BadFault
from simulators.faults import Fault, Subject
from simulators.journal import Entry
from simulators.misbehaviour import Act, Answer, misbehave
from simulators.party import Party, Received
from simulators.references import References, Vault

NAMESPACE = "urn:renkei:mailbox:1"
CONTENT_TYPE = "application/xml; charset=utf-8"
OPERATIONS = ("list", "fetch", "acknowledge", "deliver")
_OTHER_REQUEST = "00000000-0000-4000-8000-000000000000"
_NSMAP: Final[Any] = {None: NAMESPACE}
_ID = re.compile(r"[A-Za-z0-9._:-]{1,120}")


class CallRefused(Exception):
    """The call as a whole is not one that the party takes."""

    def __init__(self, code: str, request: str = "") -> None:
        self.code, self.request = code, request
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A batch in the mailbox."""

    batch: str
    records: tuple[tuple[str, str], ...] = field(repr=False)
    """Id and XML of each."""
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    operation: str
    id: str
    root: etree._Element = field(repr=False)
    records: tuple[tuple[str, etree._Element], ...] = field(default=(), repr=False)


class MailboxParty(Party):
    """Base of the parties; see the module's text."""

    prefix: ClassVar[str]

    def __init__(self, *, salt: str, caller: str, authority: Authority, tenant: str | None = None, seed: int = 0) -> None:
        """``caller``: the only one who may call; ``tenant``: the municipality that its calls must name, if the party serves several."""
        super().__init__(seed=seed)
        self._caller, self._authority, self._tenant = caller, authority, tenant
        self.references, self.vault = References(salt), Vault(salt)
        self.waiting: dict[str, Waiting] = {}
        self.effects: set[str] = set()

    # ---- what a subclass says

    @abc.abstractmethod
    def judge(self, element: etree._Element) -> tuple[str, str]:
        """(reference of whom a delivered record is about, why the party refuses it or nothing)."""

    def effect(self, element: etree._Element) -> dict[str, Any]:
        """What the journal says of a delivered record besides; no personal data."""
        return {}

    def offered(self, call: Call) -> Sequence[Waiting]:
        """The batches that wait, oldest first. A subclass may look at the question."""
        return list(self.waiting.values())

    def told(self, batch: Waiting, results: Mapping[str, tuple[str, str]]) -> None:
        """The gateway has said what became of each record of a batch."""

    # ---- state

    def recover(self, entry: Entry) -> None:
        match entry["kind"]:
            case "effect":
                self.effects.add(entry["delivery"])
            case "batch":
                records = self.vault.unseal(entry["sealed"], entry["batch"])
                self._keep(Waiting(batch=entry["batch"], records=tuple((i, x) for i, x in records), tenant=entry.get("tenant")))
            case "acknowledged":
                self.waiting.pop(entry["batch"], None)

    def forget(self) -> None:
        self.waiting.clear()
        self.effects.clear()

    def state(self) -> dict[str, Any]:
        return {"waiting": len(self.waiting), "records_waiting": sum(len(each.records) for each in self.waiting.values())}

    def put_batch(self, batch: Waiting) -> None:
        """Put a batch into the mailbox."""
        entry: dict[str, Any] = {"kind": "batch", "batch": batch.batch, "records": [each for each, _ in batch.records]}
        if batch.tenant is not None:
            entry["tenant"] = batch.tenant
        self.journal.append([{**entry, "sealed": self.vault.seal(batch.records, batch.batch)}])
        self.counters["batch"] += 1
        self._keep(batch)

    def _keep(self, batch: Waiting) -> None:
        self.waiting[batch.batch] = batch

    async def emit(self, what: dict[str, Any]) -> dict[str, Any]:
        """Put a batch into the mailbox: ``{"batch": …, "records": [{"id": …, "xml": …}], "tenant": …}``; no records: an empty batch.

        :raises BadFault: it is not of that form.
        """
        try:
            records = tuple((str(each["id"]), str(each["xml"])) for each in what["records"])
            batch = Waiting(batch=str(what["batch"]), records=records, tenant=what.get("tenant"))
        except (KeyError, TypeError) as error:
            raise BadFault("emit-invalid", "batch, and records with id and xml, are needed") from error
        self.put_batch(batch)
        return {"batch": batch.batch, "records": len(records)}

    # ---- calls

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            tls = request.transport.get_extra_info("ssl_object") if request.transport else None
            require_peer(tls, self._caller, self._authority, Purpose.CLIENT)
        except PeerMismatch as error:
            self.counters["peers_refused"] += 1
            self.journal.append([{"kind": "peer-refused", "code": error.code}])
            return web.Response(status=403, text=error.code)
        operation = request.path.removeprefix(f"{self.prefix}/")
        if not request.path.startswith(self.prefix) or operation not in OPERATIONS:
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        self.counters["calls"] += 1
        try:
            call = self._call(operation, await request.read())
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        except CallRefused as refused:
            self.journal.append([{"kind": "call-refused", "code": refused.code}])
            return self._fault(refused.request, "refused", refused.code, 400).response()
        return await self._answer(request, call)

    def _call(self, operation: str, body: bytes) -> Call:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(body, parser)
        except etree.XMLSyntaxError as error:
            raise CallRefused("malformed") from error
        name = root.get("id", "")
        if root.tag != _q(operation.capitalize()) or not _ID.fullmatch(name):
            raise CallRefused("malformed")
        if root.get("tenant") != self._tenant:
            raise CallRefused("other-tenant", name)
        records: tuple[tuple[str, etree._Element], ...] = ()
        if operation == "deliver":
            if any(each.tag != _q("Record") or len(each) != 1 or not each.get("id") for each in root):
                raise CallRefused("malformed", name)
            records = tuple((each.get("id", ""), each[0]) for each in root)
        return Call(operation=operation, id=name, root=root, records=records)

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        subjects: tuple[Subject, ...] = tuple((self.judge(element)[0], name, call.operation) for name, element in call.records)
        subjects = subjects or (("", call.id, call.operation),)
        received = Received(at=time.time(), peer=self._caller, call_id=call.id, subjects=subjects)
        self.received.append(received)
        fault = self.faults.for_call(subjects) if self.faults else None

        async def act() -> Answer:
            answer = self._carried_out(call, received)
            await self.journal.settled()
            return answer

        async def spoil(fault: Fault, act: Act) -> Answer:
            return await self._spoilt(fault, act, call, received)

        if fault is None:
            return (await act()).response()
        received.fault = fault.kind.name
        return await misbehave(request, fault, act, spoil)

    def _carried_out(self, call: Call, received: Received) -> Answer:
        match call.operation:
            case "list":
                return self._listed(call)
            case "fetch":
                return self._fetched(call)
            case "acknowledge":
                return self._acknowledged(call)
        return self._results(call.id, self._taken(call, received))

    def _listed(self, call: Call) -> Answer:
        root = self._root("Waiting", call.id)
        for each in self.offered(call):
            etree.SubElement(root, _q("Batch"), id=each.batch, records=str(len(each.records)))
        return _answer(root)

    def _fetched(self, call: Call) -> Answer:
        batch = self.waiting.get(call.root.get("batch", ""))
        if batch is None:
            return self._fault(call.id, "refused", "no-such-batch", 404)
        root = self._root("Batch", call.id, tenant=batch.tenant)
        root.set("id", batch.batch)
        root.set("records", str(len(batch.records)))
        for name, xml in batch.records:
            etree.SubElement(root, _q("Record"), id=name).append(etree.fromstring(xml))
        self.journal.append([{"kind": "fetched", "batch": batch.batch}])
        self.counters["fetched"] += 1
        return _answer(root)

    def _acknowledged(self, call: Call) -> Answer:
        name = call.root.get("batch", "")
        batch = self.waiting.pop(name, None)
        results = {each.get("record", ""): (each.get("outcome", ""), each.get("code", "")) for each in call.root}
        if batch is not None:
            shown = [{"record": record, "outcome": outcome, "code": code or None} for record, (outcome, code) in results.items()]
            self.journal.append([{"kind": "acknowledged", "batch": name, "results": shown}])
            self.counters["acknowledged"] += 1
            self.told(batch, results)
        root = self._root("Acknowledged", call.id)
        root.set("batch", name)
        return _answer(root)

    def _taken(self, call: Call, received: Received) -> list[tuple[str, str, str]]:
        """(record, outcome, code) of every delivered record, after the journal has it."""
        results, entries = [], []
        for name, element in call.records:
            reference, problem = self.judge(element)
            fault = self.faults.for_record((reference, name, call.operation)) if self.faults else None
            if fault is not None and fault.kind.name == "refuse":
                problem = fault.spec.code or "refused"
            elif fault is not None and not fault.takes_effect:
                results.append((name, "duplicate", ""))
                continue
            if name in self.effects:
                outcome, kind = "duplicate", "duplicate"
            elif problem:
                outcome, kind = "refused", "refused"
            else:
                outcome, kind = "accepted", "effect"
                self.effects.add(name)
            entries.append({"kind": kind, "delivery": name, "resident": reference, "code": problem or None, **self.effect(element)})
            self.counters[kind] += 1
            results.append((name, "duplicate" if fault is not None and outcome == "accepted" else outcome, problem))
        if entries:
            self.journal.append(entries)
        received.outcome = ", ".join(sorted({outcome for _, outcome, _ in results}))
        return results

    async def _spoilt(self, fault: Fault, act: Act, call: Call, received: Received) -> Answer:
        """The faults that need the protocol."""
        spec = fault.spec
        match fault.kind.name:
            case "soap-client":
                return self._fault(call.id, "refused", spec.code or "schema-invalid", 400)
            case "soap-busy":
                return self._fault(call.id, "busy", "busy", 500)
            case "soap-server":
                if fault.takes_effect:
                    await act()
                return self._fault(call.id, "failed", spec.code or "internal", 500)
        if call.operation != "deliver":
            right = await act()
            return (
                right
                if spec.variant != "wrong-relates-to"
                else Answer(status=200, content_type=CONTENT_TYPE, body=right.body.replace(call.id.encode(), _OTHER_REQUEST.encode()))
            )
        results = (
            self._taken(call, received)
            if fault.takes_effect or fault.kind.name == "reordered"
            else [(name, "accepted", "") for name, _ in call.records]
        )
        await self.journal.settled()
        if fault.kind.name == "reordered":
            random.Random(call.id).shuffle(results)
            return self._results(
                call.id, results[::-1] if [name for name, *_ in results] == [name for name, _ in call.records] else results
            )
        match spec.variant:
            case "other-schema":
                return Answer(status=200, content_type=CONTENT_TYPE, body=b'<Results xmlns="urn:example:other"/>')
            case "wrong-relates-to":
                return self._results(_OTHER_REQUEST, results)
            case "other-delivery":
                return self._results(call.id, [(f"not-{name}"[:100], outcome, code) for name, outcome, code in results])
        return self._results(call.id, results[:-1])

    # ---- answers

    def _root(self, name: str, request: str, *, tenant: str | None = None) -> etree._Element:
        root = etree.Element(_q(name), nsmap=_NSMAP)
        root.set("request", request)
        if (shown := tenant or self._tenant) is not None:
            root.set("tenant", shown)
        return root

    def _results(self, request: str, results: Sequence[tuple[str, str, str]]) -> Answer:
        root = self._root("Results", request)
        for name, outcome, code in results:
            child = etree.SubElement(root, _q("Result"), record=name, outcome=outcome)
            if code:
                child.set("code", code)
        return _answer(root)

    def _fault(self, request: str, kind: str, code: str, status: int) -> Answer:
        root = self._root("Fault", request)
        root.set("kind", kind)
        root.set("code", code)
        return _answer(root, status)


def _answer(root: etree._Element, status: int = 200) -> Answer:
    body = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return Answer(status=status, content_type=CONTENT_TYPE, body=body)


def _q(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
