"""Monitoring of links, end to end: what does not come, or does not arrive, is raised by itself and cleared when it is over (FM-1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from message_formats import writing
from tests.fetching.kit import DAY_S, IMMIGRATION, REGISTER, Mailboxes, address_notice, status_notice
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.flow("FM-1"), pytest.mark.control("C-1-7-8")]


async def renkei(ends: Mailboxes, *arguments: str) -> tuple[int, str]:
    command: Sequence[str] = ends.town.renkei(*arguments)
    if arguments[0] == "check":
        command = command[:-2]  # for nobody in particular
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def anomalies(ends: Mailboxes, link: str) -> list[Any]:
    return ends.rows("SELECT * FROM anomaly WHERE link = ? ORDER BY id", link)


def is_open(ends: Mailboxes, link: str, *kinds: str) -> bool:
    return any(row["cleared_at"] is None and row["kind"] in kinds for row in anomalies(ends, link))


@pytest.mark.edge("FM-1", "absence")
async def test_a_feed_that_nobody_sent_is_raised_told_and_cleared_when_it_comes(ends: Mailboxes) -> None:
    await until(lambda: bool(ends.rows("SELECT value FROM meta WHERE name = 'feeds_watched_since'")))
    ends.shift(DAY_S)
    await until(lambda: is_open(ends, "linkage", "late", "missing"))
    [raised] = [each for each in ends.record("anomaly-raised") if each["link"] == "linkage"][-1:]
    assert raised["cause"] == "did-not-come"
    code, shown = await renkei(ends, "feeds", "--json")
    assert code != 0
    said = json.loads(shown)
    assert {each["feed"]: each["state"] for each in said["feeds"]}["linkage"] in ("late", "missing")
    assert (ends.town.folder / "log" / "renkei.log").read_text().count("link-anomaly") + sum(
        file.read_text().count("link-anomaly") for file in (ends.town.var / "log").glob("*.log")
    ) >= 1
    xml = writing.write("number-linkage-feed", {"serial_number": "900000000077", "atena_number": "9000000083"}).to_bytes()
    await ends.hand_in("feed-1", xml, kind="number-linkage-feed")
    await until(lambda: not is_open(ends, "linkage", "late", "missing"))
    assert ends.record("anomaly-cleared")


async def test_a_run_that_fails_is_an_anomaly_with_its_cause_and_an_empty_day_one_of_its_own(ends: Mailboxes) -> None:
    await asyncio.to_thread(ends.control, "POST", "/_sim/faults", {"kind": "http-500", "key": "list", "takes_effect": False})
    ends.shift(DAY_S)
    await until(lambda: is_open(ends, "immigration-daily", "late", "missing"))
    await until(lambda: anomalies(ends, "immigration-daily")[-1]["cause"] == "http-500")
    await asyncio.to_thread(ends.control, "DELETE", "/_sim/faults")
    await until(lambda: is_open(ends, "immigration-daily", "empty"))
    code, shown = await renkei(ends, "check")
    assert code != 0
    assert "immigration-daily" in shown
    await ends.put("day-not-empty", {"notice-not-empty": status_notice(777)})
    await ends.next_run()
    await until(lambda: not is_open(ends, "immigration-daily", "empty"))
    _, shown = await renkei(ends, "fetched", "day-not-empty", "--json")
    assert [(each["record"], each["code"]) for each in json.loads(shown)["items"]] == [("notice-not-empty", "not-bound")]
    _, shown = await renkei(ends, "fetched", "--party", IMMIGRATION)
    assert "day-not-empty" in shown


@pytest.mark.edge("FM-1", "not-completed")
async def test_an_update_that_does_not_arrive_is_an_anomaly_and_clears_when_the_backlog_is_through(ends: Mailboxes) -> None:
    await asyncio.to_thread(ends.control, "POST", "/_sim/faults", {"kind": "down"})
    for number in range(3):
        await ends.hand_in(f"lag-{number}", address_notice(60, **{"address_change/changed_on": f"2026040{number + 1}"}))
    await until(lambda: is_open(ends, IMMIGRATION, "lag"), 40)
    [row] = [each for each in anomalies(ends, IMMIGRATION) if each["kind"] == "lag"][-1:]
    assert row["cause"] not in ("slow", "")
    await asyncio.to_thread(ends.control, "DELETE", "/_sim/faults")
    await until(lambda: ends.taken("lag-2", REGISTER)[0]["state"] == "delivered", 60)
    await until(lambda: not is_open(ends, IMMIGRATION, "lag"))
    ids = {ends.taken(f"lag-{number}", REGISTER)[0]["id"]: number for number in range(3)}
    assert [ids[each["delivery"]] for each in ends.journal("effect") if each["delivery"] in ids] == [0, 1, 2]


@pytest.mark.edge("FM-1", "no-personal-data")
@pytest.mark.invariant("I5")
async def test_the_operators_are_told_by_a_message_without_personal_data(ends: Mailboxes) -> None:
    await until(lambda: bool(ends.rows("SELECT value FROM meta WHERE name = 'feeds_watched_since'")))
    ends.shift(2 * DAY_S)
    query = "SELECT d.party, m.subject, m.system FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.type = 'link-anomaly-alert'"
    await until(lambda: bool(ends.rows(query)))
    for row in ends.rows(query):
        assert (row["party"], row["subject"], row["system"]) == ("gateway-operators", None, "integration-gateway")
    names = {row["link"] for row in ends.rows("SELECT link FROM anomaly")} | {
        row["cause"] for row in ends.rows("SELECT cause FROM anomaly")
    }
    assert all(name.replace("-", "").isalnum() and len(name) <= 64 for name in names), names
