"""Of bulk groups of several processes one is under way at a time, and what is live goes first (I4, R21). SQLite only: one lock for all."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gateway.ledger.backend import Session
from gateway.ledger.engine import open_engine


def opened(path: Path) -> Session:
    return open_engine(f"sqlite:///{path}").session()


def beginning(session: Session, *, bulk: bool, order: list[str], name: str) -> threading.Thread:
    def run() -> None:
        session.begin(bulk=bulk)
        order.append(name)
        time.sleep(0.01)
        session.commit()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.invariant("I4")
@pytest.mark.rule("R21")
def test_what_is_live_goes_before_bulk_that_waited_longer(tmp_path: Path) -> None:
    holder, bulk, other, live = (opened(tmp_path / "ledger.db") for _ in range(4))
    order: list[str] = []
    holder.begin()
    threads = [beginning(bulk, bulk=True, order=order, name="bulk"), beginning(other, bulk=True, order=order, name="bulk")]
    time.sleep(0.02)
    threads.append(beginning(live, bulk=False, order=order, name="live"))
    time.sleep(0.01)
    holder.commit()
    for thread in threads:
        thread.join()
    assert order == ["live", "bulk", "bulk"]
    for session in (holder, bulk, other, live):
        session.close()


@pytest.mark.invariant("I4")
def test_a_bulk_group_that_is_frozen_stops_no_other_for_long_and_bulk_never_starves(tmp_path: Path) -> None:
    frozen, bulk, live = (opened(tmp_path / "ledger.db") for _ in range(3))
    frozen.begin(bulk=True)
    frozen.rollback()
    bulk.begin(bulk=True)
    bulk.commit()  # rolled back or committed, the turn is free again
    frozen._bulk_turn.enter()  # type: ignore[attr-defined]
    began = time.monotonic()
    bulk.begin(bulk=True)
    assert time.monotonic() - began < 1.0
    bulk.commit()
    live._turnstile.enter()  # type: ignore[attr-defined]
    began = time.monotonic()
    bulk.begin(bulk=True)
    assert time.monotonic() - began < 1.0
    bulk.commit()
    for session in (frozen, bulk, live):
        session.close()
