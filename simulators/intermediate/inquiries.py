"""Inquiries of other bodies (情報照会), answered in full from the replica: the gateway is not asked and takes no part (F6-2).

List, permit, automatic-answer flag, content, encryption for whoever inquired, record: in this order, and what fails is recorded too. An
answer goes along the route of the permit and nowhere else, and holds the items of 住基法第7条第4号 and nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from message_formats import writing
from simulators.errors import BadFault, BadSettings
from simulators.intermediate.encryption import InquirerKey
from simulators.intermediate.network import ITEM, OURS, Inquirer, Permit, inquirers
from simulators.intermediate.replica import Person

if TYPE_CHECKING:
    from simulators.intermediate.party import IntermediateServer

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One inquiry as it came over the network: a code, who, for what, which items; never a number."""

    inquirer: Inquirer
    code: str
    work: str
    items: tuple[str, ...]
    permit: Permit | None = field(repr=False)
    reply_to: str


class NotProvided(Exception):
    """``code`` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class Inquiries:
    """Of one intermediate server."""

    def __init__(self, server: IntermediateServer) -> None:
        self._server = server
        self.waiting: dict[str, Inquiry] = {}
        """For somebody of the city, by inquiry. Lost with the process: the inquirer asks again."""
        self._used: set[str] = set()
        self.provided = self.refused = 0

    def forget(self) -> None:
        """Back to the beginning."""
        self.waiting.clear()
        self._used.clear()
        self.provided = self.refused = 0

    # ---- the other body and the network, on command ----------------------------------------------------------------------------

    def inquire(self, values: Values) -> Values:
        """An inquirer asks about a person: ``inquirer``, ``resident`` (resident record code, from which the network has the code), ``key``
        (PEM). ``work``, ``items`` and ``wrong`` make an inquiry that must be refused.

        :raises BadFault: it is no inquiry.
        """
        try:
            inquirer, resident, key = inquirers()[str(values["inquirer"])], str(values["resident"]), str(values["key"]).encode()
        except KeyError as error:
            raise BadFault("do-incomplete", "inquire needs inquirer, resident and key") from error
        network, wrong = self._server.network, values.get("wrong")
        permit: Permit | None = network.permit(inquirer.id, key)
        assert permit is not None
        route = permit.route
        if wrong == "no-permit":
            permit = None
        elif wrong == "forged-permit":
            permit = Permit(inquiry=permit.inquiry, token="0" * 64, route=permit.route, key=key)
        elif wrong == "other-route":
            route = network.route("inquirer-nobody")
        elif wrong == "used-permit":
            self._used.add(permit.inquiry)
        inquiry = Inquiry(
            inquirer=inquirer, code=network.code(OURS, resident), work=str(values.get("work", inquirer.work)),
            items=tuple(str(each) for each in values.get("items", [ITEM])), permit=permit, reply_to=route,
        )  # fmt: skip
        return self.take(inquiry)

    # ---- the intermediate server -----------------------------------------------------------------------------------------------

    def take(self, inquiry: Inquiry) -> Values:
        """What becomes of an inquiry."""
        try:
            permit = self._legitimate(inquiry)
            person = self._person(inquiry)
            if person.flagged:
                self.waiting[permit.inquiry] = inquiry
                self._server.note({"kind": "inquiry-waits", "inquiry": permit.inquiry, "inquirer": inquiry.inquirer.id})
                return {"outcome": "waiting", "inquiry": permit.inquiry}
            return self._provide(inquiry, permit, person)
        except NotProvided as refused:
            return self._refuse(inquiry, refused.code)

    def release(self, values: Values) -> Values:
        """Somebody of the city has looked at the content of a flagged person: ``inquiry``, ``staff``, ``provide``.

        :raises BadFault: nothing waits under that id, or nobody is named.
        """
        inquiry = self.waiting.get(str(values.get("inquiry")))
        if inquiry is None or inquiry.permit is None:
            raise BadFault("inquiry-unknown", "nothing waits under that id")
        staff = str(values.get("staff", ""))
        if not staff:
            raise BadFault("staff-missing", "a release names who looked")
        del self.waiting[inquiry.permit.inquiry]
        provide = values.get("provide") is True
        self._server.note({"kind": "release", "inquiry": inquiry.permit.inquiry, "staff": staff, "provide": provide})
        try:
            if not provide:
                raise NotProvided("refused-by-staff")
            return self._provide(inquiry, inquiry.permit, self._person(inquiry))
        except NotProvided as refused:
            return self._refuse(inquiry, refused.code)

    def _legitimate(self, inquiry: Inquiry) -> Permit:
        allowed, network = self._server.permission_list, self._server.network
        if any((inquiry.inquirer.id, inquiry.work, item) not in allowed for item in inquiry.items) or not inquiry.items:
            raise NotProvided("not-on-permission-list")
        permit = inquiry.permit
        if permit is None or not network.genuine(permit) or permit.inquiry in self._used:
            raise NotProvided("no-permit")
        if inquiry.reply_to != permit.route:
            raise NotProvided("route-differs")
        self._used.add(permit.inquiry)
        return permit

    def _person(self, inquiry: Inquiry) -> Person:
        number = self._server.holdings.codes.get(inquiry.code)
        person = self._server.holdings.people.get(number) if number is not None else None
        if person is None or person.replica is None:
            raise NotProvided("nothing-held")
        return person

    def _provide(self, inquiry: Inquiry, permit: Permit, person: Person) -> Values:
        assert person.replica is not None
        items: Mapping[str, str | None] = {
            "code": inquiry.code,
            "household_items/head_name": person.replica[0],
            "household_items/relationship": person.replica[1],
        }
        try:
            key = InquirerKey(permit.key)
        except BadSettings as error:
            raise NotProvided("inquirer-key-unusable") from error
        sealed = key.encrypt(writing.write("provision-response", items).to_bytes())
        self.provided += 1
        self._record(inquiry, "provided", None)
        return {"outcome": "provided", "route": permit.route, "sealed": base64.b64encode(sealed).decode()}

    def _refuse(self, inquiry: Inquiry, code: str) -> Values:
        self.refused += 1
        self._record(inquiry, "refused", code)
        return {"outcome": "refused", "code": code}

    def _record(self, inquiry: Inquiry, outcome: str, code: str | None) -> None:
        """情報提供等記録: who, when (the journal's time), about whom, what."""
        record = {
            "kind": "provision-record",
            "who": inquiry.inquirer.id,
            "whom": self._server.references.of(inquiry.code),
            "what": ",".join(inquiry.items),
            "work": inquiry.work,
        }
        self._server.note({**record, "outcome": outcome, "code": code})
