"""The Immigration Bureau's mailbox, end to end: over mutual TLS, through the ledger and RabbitMQ, to the register's queue."""

from __future__ import annotations

import aiohttp
import pytest

from tests.fetching.kit import REGISTER, Mailboxes, address_notice, status_notice
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def hand_in(ends: Mailboxes, source_id: str, xml: bytes, *, expected: int = 202) -> None:
    """The register submits an address notice over HTTPS."""
    connector = aiohttp.TCPConnector(ssl=ends.town._register_context())
    headers = {
        "ce-specversion": "1.0", "ce-id": source_id, "ce-source": f"/{REGISTER}", "ce-type": "residence-address-notice",
        "Content-Type": "application/xml",
    }  # fmt: skip
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        url = f"https://127.0.0.1:{ends.town.ports.https}/v1/messages"
        async with session.post(url, data=xml, headers=headers, server_hostname="gateway") as answer:
            said = await answer.text()
            assert answer.status in (200, 201, 202) if expected == 202 else answer.status == expected, (answer.status, said)


async def bind(ends: Mailboxes, serial: int, name: str) -> None:
    """The register has told the Bureau of this resident: their card is known here."""
    await hand_in(ends, name, address_notice(serial))
    await until(lambda: bool(found := ends.taken(name, REGISTER)) and found[0]["state"] == "delivered")


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-2-25")
@pytest.mark.control("C-1-2-18")
@pytest.mark.invariant("I2")
async def test_a_status_notice_comes_from_the_mailbox_to_the_register_once_a_day(ends: Mailboxes) -> None:
    await bind(ends, 1, "address-1")
    await ends.put("day-1", {"notice-1": status_notice(1)})
    run = await ends.next_run()
    assert (run["batches"], run["records"], run["missed"], run["code"]) == (1, 1, 0, None)
    await until(lambda: ends.taken("notice-1")[0]["state"] == "delivered")
    [taken] = ends.taken("notice-1")
    assert (taken["party"], taken["door"], taken["producer"]) == (REGISTER, "fetch", None)
    assert taken["subject"] == ends.taken("address-1", REGISTER)[0]["subject"]
    assert ends.effects[-1:] == [taken["id"]]
    report = ends.batch("day-1")
    assert (report["records"], report["accepted"], report["set_aside"], report["refused"]) == (1, 1, 0, 0)
    assert report["acknowledged_at"] is not None
    [told] = [each for each in ends.journal("acknowledged") if each["batch"] == "day-1"]
    assert told["results"] == [{"record": "notice-1", "outcome": "accepted", "code": None}]
