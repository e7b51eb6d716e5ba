"""Several processes admit at once: one receipt for each message, numbers without gaps, an epoch lost at a moment (R2, R16, R17)."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from gateway.contract import Pending
from gateway.delivery.rows import State
from gateway.ledger import tables as t
from gateway.ledger.admission import Admit
from gateway.ledger.housekeeping import ClaimIntake, RecordReply
from gateway.ledger.ledger import Ledger
from gateway.ledger.outcomes import Learned, WriteOutcomes
from gateway.ledger.prepared import IntakeEpochLost
from gateway.ledger.unit import run_group
from tests.ledger.kit import REGISTER, TRAITS, Book, prepared, to

pytestmark = pytest.mark.slow


@pytest.mark.rule("R2")
@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
async def test_two_processes_admit_the_same_messages(book: Book, ledger_url: str) -> None:
    """Each message is handed in twice at about the same time, in two orders, for few residents."""
    count, residents = 150, 7
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.ledger.submitter", ledger_url, str(count), str(residents), str(seed),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    pipes: list[tuple[asyncio.StreamWriter, asyncio.StreamReader]] = []
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        pipes.append((process.stdin, process.stdout))
        assert await process.stdout.readline() == b"ready\n"
    for stdin, _ in pipes:
        stdin.write(b"go\n")
    receipts = [dict(json.loads(await stdout.readline())) for _, stdout in pipes]
    assert [await process.wait() for process in processes] == [0, 0]
    assert len(receipts[0]) == count
    assert receipts[0] == receipts[1]
    messages = book.rows(t.message)
    assert {m["source_id"]: bytes(m["receipt"]).decode() for m in messages} == receipts[0]
    keys = book.rows(t.key_row)
    assert len(keys) == residents
    for key in keys:
        numbers = [row["number"] for row in book.rows(t.delivery, t.delivery.c.key_id == key["id"])]
        assert sorted(numbers) == list(range(1, key["next_number"]))
    assert sum(key["next_number"] - 1 for key in keys) == count


@pytest.mark.rule("R2")
async def test_numbers_within_a_process_follow_the_order_of_submission(book: Book, ledger_url: str) -> None:
    ledger = await asyncio.to_thread(Ledger.open, ledger_url)
    await asyncio.gather(*(ledger.admit([prepared(f"m{i}", who=1)]) for i in range(60)))
    await ledger.close()
    assert [book.delivery(f"m{i}").number for i in range(60)] == list(range(1, 61))


# ---- races on PostgreSQL, where groups of two processes overlap ------------------------------------------------------------------


class Two:
    """A second session on the same database, working in a thread of its own."""

    def __init__(self, url: str) -> None:
        self.book = Book(url)
        self.pool = ThreadPoolExecutor(max_workers=1)

    def start(self, operation: Any) -> Future[Any]:
        return self.pool.submit(self.book.group, operation)

    def until_it_waits(self) -> None:
        """Until the database says that somebody waits for a lock."""
        deadline = time.monotonic() + 10
        query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        pause = threading.Event()
        while time.monotonic() < deadline:
            with self.book.reading() as connection:
                if connection.execute(query).scalar_one():
                    return
            pause.wait(0.01)
        raise AssertionError("nobody waits")


@pytest.fixture
def pair(postgres_url: str) -> Iterator[tuple[Book, Two]]:
    """Two sessions on one PostgreSQL ledger."""
    book, two = Book(postgres_url), Two(postgres_url)
    yield book, two
    two.pool.shutdown()
    two.book.close()
    book.close()


def within(book: Book, operation: Any, meanwhile: Callable[[], Any], *, commit: bool = True) -> tuple[Any, Any]:
    """Carry out ``operation``, then ``meanwhile`` while its transaction is open, then commit or roll back."""
    book.session.begin()
    [result] = run_group(book.session.connection, [operation], book.now)
    other = meanwhile()
    book.session.commit() if commit else book.session.rollback()
    return result, other


@pytest.mark.rule("R17")
@pytest.mark.parametrize("commit", [True, False])
def test_the_loser_of_a_race_waits_for_the_winner(pair: tuple[Book, Two], commit: bool) -> None:
    book, two = pair

    def second() -> Future[Any]:
        future = two.start(Admit(messages=[prepared("m1", to(party_key="k1"))]))
        two.until_it_waits()
        return future

    ([first], _), future = within(book, Admit(messages=[prepared("m1", to(party_key="k1"))]), second, commit=commit)
    [([other], _)] = future.result(timeout=10)
    assert other.duplicate is commit
    if commit:
        assert other.receipt == first.receipt
    assert len(book.rows(t.delivery)) == 1


@pytest.mark.rule("R16")
def test_whoever_takes_the_epoch_waits_for_what_is_being_admitted(pair: tuple[Book, Two]) -> None:
    book, two = pair
    epoch = book.do(ClaimIntake(system=REGISTER, worker="w1"))

    def take_over() -> Future[Any]:
        future = two.start(ClaimIntake(system=REGISTER, worker="w2"))
        two.until_it_waits()
        return future

    ([admitted], _), future = within(book, Admit(messages=[prepared("m1")], intake=(REGISTER, "w1", epoch)), take_over)
    assert admitted.refusal is None
    assert future.result(timeout=10) == [epoch + 1]
    with pytest.raises(IntakeEpochLost):
        book.admit(prepared("m2"), intake=(REGISTER, "w1", epoch))


@pytest.mark.rule("R16")
def test_whoever_admits_while_the_epoch_is_being_taken_admits_nothing(pair: tuple[Book, Two]) -> None:
    book, two = pair
    epoch = book.do(ClaimIntake(system=REGISTER, worker="w1"))

    def admit() -> Future[Any]:
        future = two.start(Admit(messages=[prepared("m1")], intake=(REGISTER, "w1", epoch)))
        two.until_it_waits()
        return future

    _, future = within(book, ClaimIntake(system=REGISTER, worker="w2"), admit)
    [lost] = future.result(timeout=10)
    assert isinstance(lost, IntakeEpochLost)
    assert not book.rows(t.message)


@pytest.mark.rule("R4")
async def test_two_messages_with_one_party_key_at_once(postgres_url: str) -> None:
    """The second is refused by name, not by a constraint of the database."""
    book, two = Book(postgres_url), Two(postgres_url)
    ledger = await asyncio.to_thread(Ledger.open, postgres_url)
    book.session.begin()
    run_group(book.session.connection, [Admit(messages=[prepared("m1", to(party_key="k1"), who=1)])], book.now)
    second = asyncio.create_task(ledger.admit([prepared("m2", to(party_key="k1"), who=2)]))
    await asyncio.to_thread(two.until_it_waits)
    book.session.commit()
    [refused] = await second
    assert refused.refusal is not None
    assert refused.refusal.code == "party-key-reused"
    await ledger.close()
    two.pool.shutdown()
    two.book.close()
    book.close()


@pytest.mark.rule("R14")
@pytest.mark.parametrize("reply_first", [True, False])
def test_a_reply_and_its_outcome_at_once_do_not_miss_each_other(pair: tuple[Book, Two], reply_first: bool) -> None:
    book, two = pair
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    learned = [Learned(claim=book.claim_one(worker, key), answer=Pending(correlation="c1", deadline_s=600))]
    outcome = WriteOutcomes(worker=worker, party="p", learned=learned, traits=TRAITS, go_on=False)
    reply = RecordReply(party="p", correlation="c1", kind="delivered", code=None, actor="p")
    first, second = (reply, outcome) if reply_first else (outcome, reply)

    def other() -> Future[Any]:
        future = two.start(second)
        two.until_it_waits()
        return future

    _, future = within(book, first, other)
    future.result(timeout=10)
    book.claim(worker, key)
    assert book.delivery("m1").state is State.DELIVERED
