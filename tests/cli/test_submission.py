"""Handing in files: order per resident, refusals, pressure, resuming. The residents are made up by the synthetic city."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from certs.authority import TestAuthority
from certs.tls import server_context
from gateway.cli.submission import Item, Receipts, Refused, Submission, items_of
from gateway.cli.support import ExitCode
from gateway.contract import CallNotSent, CallUnanswered, HttpAnswer
from gateway.errors import Unavailable
from message_formats.reading import read
from simulators.city import City
from simulators.city.events import Event
from simulators.city.files import cloud_event, write_json_lines

SYSTEM = "resident-record-system"


@pytest.fixture(scope="module")
def day() -> list[Event]:
    return list(City(3, 50_000).day(1))


@pytest.mark.invariant("I4")
def test_a_file_may_go_by_the_bulk_lane_and_its_messages_stay_the_same(day: list[Event], tmp_path: Path) -> None:
    lines, xml = tmp_path / "few.jsonl", tmp_path / "one.xml"
    write_json_lines(day[:3], lines)
    xml.write_bytes(json.loads(lines.read_text(encoding="utf-8").splitlines()[0])["data"].encode())
    for file in (lines, xml):
        live, bulk = (list(items_of(file, system=SYSTEM, given={"lane": lane})) for lane in (None, "bulk"))
        assert all(isinstance(each, Item) and each.attributes["lane"] == "bulk" for each in bulk)
        assert all(isinstance(each, Item) and "lane" not in each.attributes for each in live)
        assert [each.id for each in live] == [each.id for each in bulk]


@pytest.fixture
def file(day: list[Event], tmp_path: Path) -> Path:
    made = tmp_path / "day.jsonl"
    write_json_lines(day, made)
    return made


def answer(status: int, document: Mapping[str, object], **headers: str) -> HttpAnswer:
    return HttpAnswer(status=status, content_type="application/json", headers=headers, body=json.dumps(document).encode())


def receipt(headers: Mapping[str, str]) -> HttpAnswer:
    return answer(202, {"receipt": 1, "message": f"m-{headers['ce-id']}", "id": headers["ce-id"], "status": "accepted"})


def refusal(code: str = "schema-invalid") -> HttpAnswer:
    return answer(422, {"code": code, "detail": "wrong", "rule": "schema", "place": "/x"})


class Door:
    """A door that takes its time, in no particular order, and remembers who came when."""

    def __init__(self, says: Callable[[Mapping[str, str], int], HttpAnswer | Exception] | None = None) -> None:
        self.came: list[str] = []
        self.together = 0
        self._now = 0
        self._people: dict[str, set[str]] = defaultdict(set)
        self._tries: dict[str, int] = defaultdict(int)
        self._says = says or (lambda headers, _tries: receipt(headers))

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        assert path == "/v1/messages"
        identity = headers["ce-id"]
        self._now += 1
        self.together = max(self.together, self._now)
        person = read(body).items["resident_record_code"] or ""
        assert not self._people[person], "two messages of one resident are under way together"
        self._people[person].add(identity)
        # The later it comes, the sooner it is done: whoever relies on chance for the order is found out.
        for _ in range(self._now % 7 + 1):
            await asyncio.sleep(0)
        self._people[person].discard(identity)
        self._now -= 1
        self._tries[identity] += 1
        said = self._says(headers, self._tries[identity])
        if isinstance(said, Exception):
            raise said
        if said.status == 202:
            self.came.append(identity)
        return said


class Clock:
    """Waits that pass at once."""

    def __init__(self) -> None:
        self.waited: list[float] = []

        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


async def submit(door: Door, file: Path, state: Path, **more: object) -> Submission:
    run = Submission(door, **more)  # type: ignore[arg-type]
    with Receipts(state, system=SYSTEM, file=file) as receipts:
        await run.run(items_of(file, system=SYSTEM, given={}), receipts)
    return run


@pytest.mark.invariant("I3")
async def test_many_go_together_but_each_resident_in_the_order_of_the_file(day: list[Event], file: Path, tmp_path: Path) -> None:
    door = Door()
    run = await submit(door, file, tmp_path / "state")
    assert (run.tally.accepted, run.tally.left, run.tally.refused) == (len(day), 0, [])
    assert door.together >= 50
    place = {identity: number for number, identity in enumerate(door.came)}
    by_person: dict[int, list[int]] = defaultdict(list)
    for event in day:
        by_person[event.resident].append(place[event.ce_id])
    assert any(len(places) > 1 for places in by_person.values())
    assert all(places == sorted(places) for places in by_person.values())


async def test_a_refused_message_keeps_the_later_ones_of_its_resident_back(day: list[Event], file: Path, tmp_path: Path) -> None:
    busy = next(person for person in {event.resident for event in day} if sum(event.resident == person for event in day) > 1)
    mine = [event.ce_id for event in day if event.resident == busy]
    door = Door(lambda headers, _tries: refusal() if headers["ce-id"] == mine[0] else receipt(headers))
    run = await submit(door, file, tmp_path / "state")
    assert [(each.id, each.code, each.rule) for each in run.tally.refused] == [(mine[0], "schema-invalid", "schema")]
    assert run.tally.left == len(mine) - 1
    assert run.tally.accepted == len(day) - len(mine)
    assert not set(mine) & set(door.came)
    # Handed in again when the cause is gone: only what is missing goes, in order.
    second = Door()
    again = await submit(second, file, tmp_path / "state")
    assert (again.tally.earlier, again.tally.accepted, second.came) == (len(day) - len(mine), len(mine), mine)


async def test_pressure_and_lost_connections_are_waited_out_with_the_same_id(day: list[Event], file: Path, tmp_path: Path) -> None:
    slow, cut, down = (day[number].ce_id for number in (3, 5, 8))

    def says(headers: Mapping[str, str], tries: int) -> HttpAnswer | Exception:
        identity = headers["ce-id"]
        if identity == slow and tries <= 2:
            return answer(503 if tries == 1 else 429, {"code": "disk", "detail": "full"}, **{"Retry-After": "7"})
        if identity == cut and tries == 1:
            return CallUnanswered("end-of-stream")
        if identity == down and tries == 1:
            return CallNotSent("connection-refused")
        return receipt(headers)

    clock = Clock()
    door = Door(says)
    run = await submit(door, file, tmp_path / "state", pause=clock.pause, clock=clock)
    assert (run.tally.accepted, run.tally.left) == (len(day), 0)
    assert max(clock.waited) == pytest.approx(7, abs=0.5)


async def test_a_gateway_that_stays_away_ends_the_run_and_the_next_run_goes_on(day: list[Event], file: Path, tmp_path: Path) -> None:
    door = Door(lambda headers, _tries: receipt(headers) if len(door.came) < 40 else CallNotSent("connection-refused"))
    clock = Clock()
    run = Submission(door, patience_s=60, pause=clock.pause, clock=clock, window=8)
    items = items_of(file, system=SYSTEM, given={})
    with Receipts(tmp_path / "state", system=SYSTEM, file=file) as receipts:
        with pytest.raises(Unavailable, match="gateway-away"):
            await run.run(items, receipts)
        run.leave(items, receipts)
    assert run.tally.accepted >= 40
    assert run.tally.left == len(day) - run.tally.accepted
    second = Door()
    again = await submit(second, file, tmp_path / "state")
    assert again.tally.earlier == run.tally.accepted
    assert sorted([*door.came, *second.came]) == sorted(event.ce_id for event in day)


async def test_a_state_file_that_was_cut_off_only_costs_a_second_submission(day: list[Event], file: Path, tmp_path: Path) -> None:
    await submit(Door(), file, tmp_path / "state")
    (state,) = (tmp_path / "state").iterdir()
    state.write_bytes(state.read_bytes()[:-9])
    door = Door()
    run = await submit(door, file, tmp_path / "state")
    assert (run.tally.earlier, run.tally.accepted) == (len(day) - 1, 1)
    assert (await submit(Door(), file, tmp_path / "state")).tally.earlier == len(day)
    assert "data" not in state.read_text(encoding="utf-8")


async def test_an_answer_that_is_not_this_receipt_ends_the_run(file: Path, tmp_path: Path) -> None:
    door = Door(lambda headers, _tries: answer(202, {"id": "another", "status": "accepted"}))
    with pytest.raises(Unavailable, match="not the receipt"):
        await submit(door, file, tmp_path / "state")


async def test_one_that_cannot_be_read_here_waits_for_all_and_all_wait_for_it(day: list[Event], tmp_path: Path) -> None:
    odd = {**cloud_event(day[0]), "id": "odd-1", "data": "<unheard-of/>"}
    lines = [json.dumps(cloud_event(event)) for event in day[:10]] + [json.dumps(odd)] + [json.dumps(cloud_event(e)) for e in day[10:20]]
    file = tmp_path / "day.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    under_way: set[str] = set()
    order: list[str] = []

    class Gate:
        async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
            identity = headers["ce-id"]
            assert identity != "odd-1" or not under_way
            assert "odd-1" not in under_way
            under_way.add(identity)
            await asyncio.sleep(0)
            under_way.discard(identity)
            order.append(identity)
            return refusal("unknown-type") if identity == "odd-1" else receipt(headers)

    run = await submit(Gate(), file, tmp_path / "state")  # type: ignore[arg-type]
    assert order.index("odd-1") == 10
    assert (run.tally.accepted, len(run.tally.refused), run.tally.left) == (20, 1, 0)


def test_what_a_file_may_hold(day: list[Event], tmp_path: Path) -> None:
    xml = tmp_path / "one.xml"
    xml.write_bytes(day[0].xml)
    (item,) = items_of(xml, system=SYSTEM, given={})
    assert isinstance(item, Item)
    assert item.attributes["type"] == "identity-information-update"
    assert (item.data, item.place) == (day[0].xml, "one.xml")
    # The same file is the same message, another content is another one.
    assert next(items_of(xml, system=SYSTEM, given={})).id == item.id
    xml.write_bytes(day[1].xml)
    assert next(items_of(xml, system=SYSTEM, given={})).id != item.id
    assert day[0].xml.decode()[:200] not in repr(item)

    lines = tmp_path / "odd.jsonl"
    lines.write_text('{\n[1]\n{"id": 3}\n{"id": "a"}\n\n{"id": "b", "data": "x", "data_base64": "eA=="}\n{"id": "c", "data_base64": "%"}\n')
    found = list(items_of(lines, system=SYSTEM, given={}))
    assert all(isinstance(each, Refused) for each in found)
    assert [each.place for each in found] == [f"odd.jsonl:{number}" for number in (1, 2, 3, 4, 6, 7)]
    xml.write_bytes(b"<x/>")
    assert isinstance(next(items_of(xml, system=SYSTEM, given={})), Refused)
    assert isinstance(next(items_of(xml, system=SYSTEM, given={"type": "forced-type"})), Item)


async def test_the_command_over_real_tls(day: list[Event], file: Path, renkei, authority: TestAuthority, tmp_path: Path) -> None:
    came: list[str] = []

    async def door(request: web.Request) -> web.Response:
        peer = dict(pair[0] for pair in request.transport.get_extra_info("peercert")["subject"])
        assert peer["commonName"] == SYSTEM
        identity = request.headers["ce-id"]
        came.append(identity)
        said = refusal() if identity == day[-1].ce_id else receipt({"ce-id": identity})
        return web.Response(status=said.status, body=said.body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/messages", door)
    runner = web.AppRunner(app)
    await runner.setup()
    chain, key = authority.directory / "gateway.pem", authority.directory / "gateway.key"
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(chain, key, authority.directory / "ca.pem")).start()
    config = tmp_path / "config.yaml"
    config.write_text(
        f"certificates: {{directory: {authority.directory}}}\n"
        f"intake:\n  https: {{port: {runner.addresses[0][1]}, host: localhost}}\n"
        f"  systems:\n    {SYSTEM}: {{peer: {SYSTEM}, types: [identity-information-update]}}\n",
        encoding="utf-8",
    )
    try:
        ended = await renkei("submit", file, "--config", config, "--json")
        assert ended.code == ExitCode.REFUSED
        assert (ended.json["accepted"], ended.json["left"], ended.json["ok"]) == (len(day) - 1, 0, False)
        assert ended.json["refused"][0]["place"] == f"day.jsonl:{len(day)}"
        again = await renkei("submit", file, "--config", config)
        assert f"0 accepted, {len(day) - 1} had a receipt already, 1 refused" in again.out
        assert len(came) == len(day) + 1
    finally:
        await runner.cleanup()
    away = await renkei("submit", file, "--config", config, "--patience", "0")
    assert away.code == ExitCode.NOT_REACHABLE
    assert "goes on where this one stopped" in away.err
    assert (await renkei("submit", file, "--config", config, "--system", "resident-record")).code == ExitCode.CONFIGURATION
