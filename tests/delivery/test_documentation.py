"""The page about states is drawn from the code, and knows every word."""

from __future__ import annotations

from pathlib import Path

from gateway.delivery import machine
from gateway.delivery.rows import State
from gateway.delivery.status import WORDS
from gateway.delivery.transitions import TRANSITIONS, Event, renewed

PAGE = Path(__file__).parents[2] / "docs" / "delivery-states.md"


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert renewed(text) == text, "renew it: python -m gateway.delivery.transitions docs/delivery-states.md"


def test_the_page_explains_every_word() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [word for word in WORDS if f"| {word} |" not in text] == []


def test_every_state_and_event_is_in_the_table_and_used() -> None:
    assert {state for source, _, target in TRANSITIONS for state in (source, target)} == set(State)
    assert {event for _, event, _ in TRANSITIONS} == set(Event)
    assert machine.__doc__
