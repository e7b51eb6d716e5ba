"""An application is for one system, by its procedure: the register, a business system, or an account of one (FS10-2)."""

from __future__ import annotations

import pytest

from gateway.errors import InputRefused
from gateway.inbound.prepare import FETCHED, InboundPreparer
from gateway.intake.cloudevents import of_party
from gateway.intake.submission import Submission
from gateway.policy.routes import tables

pytestmark = [pytest.mark.flow("FS10-2"), pytest.mark.edge("FS10-2", "other-procedure")]
PORTAL = "application-management-system"
REGISTER = "resident-record-system"


def preparer(*parties: str, **accounts: str) -> InboundPreparer:
    none = dict.fromkeys(("sealer", "blind", "mac", "rights"))
    names = {account.replace("_", "-"): system for account, system in accounts.items()}
    return InboundPreparer(parties=frozenset(parties) | names.keys(), policy=tables(), accounts=names, **none)


def routes(of: InboundPreparer, destination: str | None) -> list[tuple[str, str]]:
    attributes = of_party(id="R-1", party=PORTAL, type="application-record")
    submission = Submission(system=PORTAL, door=FETCHED, attributes=attributes, data=b"", destination=destination)
    assert of.must_be_bound(submission)
    return [(route.party, route.recipient) for route in of.permitted_for(submission)[1]]


def test_one_system_and_not_all() -> None:
    both = preparer(REGISTER, "business-systems")
    assert routes(both, REGISTER) == [(REGISTER, REGISTER)]
    assert routes(both, "business-systems") == [("business-systems", "business-systems")]


def test_an_account_of_a_business_system() -> None:
    assert routes(preparer(REGISTER, childcare="business-systems"), "childcare") == [("childcare", "business-systems")]


def test_nobody_else() -> None:
    with pytest.raises(InputRefused):
        routes(preparer(REGISTER, "tax-system"), "tax-system")
