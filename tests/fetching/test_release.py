"""What was set aside comes in after all, once the register has said who it is about and two persons have let it in (F1-6, FS10-2)."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.fetching.kit import HOUR_S, PORTAL, REGISTER, Mailboxes, address_notice, status_notice
from tests.fetching.test_applications import apply, link
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def let_in(ends: Mailboxes, source_id: str) -> None:
    """One person asks, another approves."""
    [kept] = ends.rows("SELECT id FROM quarantine WHERE source_id = ?", source_id)
    reason = "the register has tied it to a resident"
    asked = await renkei(ends, "operator-a", "quarantine", "release", kept["id"], "--reason", reason, "--yes", "--json")
    await renkei(ends, "operator-b", "approvals", "approve", json.loads(asked)["request_id"], "--yes", "--json")


async def renkei(ends: Mailboxes, operator: str, *arguments: str) -> str:
    command = ends.town.renkei(*arguments, operator=operator)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, wrong = await process.communicate()
    assert process.returncode in (0, 6), (out, wrong)  # 6: it waits for another person
    return out.decode()


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-2-1")
async def test_a_notice_is_let_in_when_the_register_knows_the_card(ends: Mailboxes) -> None:
    await ends.put("day-later", {"notice-later": status_notice(801)})
    await ends.next_run()
    assert ends.records("day-later") == {"notice-later": ("set-aside", "not-bound")}
    await ends.hand_in("address-later", address_notice(801))
    await let_in(ends, "notice-later")
    await until(lambda: bool(found := ends.taken("notice-later")) and found[0]["state"] == "delivered", 40)


@pytest.mark.flow("FS10-2")
@pytest.mark.control("C-1-2-13")
@pytest.mark.control("C-1-2-18")
async def test_an_application_is_let_in_when_the_linkage_is_known_and_every_check_is_made_anew(portal: Mailboxes) -> None:
    await apply(portal, "hour-later", [{"reception": "R-later"}, {"reception": "R-spoilt", "spoil": "altered"}])
    await portal.next_run(HOUR_S, party=PORTAL)
    assert portal.records("hour-later") == {"R-later": ("set-aside", "serial-unknown"), "R-spoilt": ("refused", "content-altered")}
    await link(portal, "applicant-1", "9000000016", "link-later")
    await let_in(portal, "R-later")
    await until(lambda: bool(found := portal.taken("R-later", PORTAL)) and found[0]["state"] == "delivered", 40)
    assert portal.given[-1]["atena_number"] == "9000000016"
    assert portal.taken("link-later", REGISTER)[0]["subject"] == portal.taken("R-later", PORTAL)[0]["subject"]
    await let_in(portal, "R-spoilt")
    assert portal.taken("R-spoilt", PORTAL) == []
