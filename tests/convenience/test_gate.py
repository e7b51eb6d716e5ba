"""When questions are taken: hours in Japanese time, holidays, a bound on open ones, each request id once at a time."""

from __future__ import annotations

import datetime as dt

import pytest
from pydantic import ValidationError

from gateway.config_traffic import Inbound, ServiceHours
from gateway.errors import GatewayError
from gateway.inbound.gate import Gate, NotTaken
from gateway.retention.calendar import JST, BusinessCalendar
from message_formats import samples, writing
from message_formats.message import Message

pytestmark = pytest.mark.flow("F5-1")
HOURS = [
    ServiceHours(opens="06:30", closes="23:00"),
    ServiceHours(kinds=["4"], opens="09:00", closes="17:00", business_days=True),
]
CLOSED = ["12-29", "12-30", "12-31", "01-01", "01-02", "01-03", "2026-11-22"]


def question(kind: str = "1", request_id: str = "unguessable-request-id-0001") -> Message:
    return writing.write(
        "certificate-request", {**samples.items("certificate-request"), "certificate_type": kind, "request_id": request_id}
    )


def taken(moment: str, kind: str = "1", *, offset_s: float = 0.0) -> bool:
    at = dt.datetime.fromisoformat(moment).replace(tzinfo=JST).timestamp()
    gate = Gate(Inbound(port=1, hours=HOURS, closed=CLOSED), BusinessCalendar(), clock=lambda: at - offset_s)
    try:
        with gate.enter(question(kind), offset_s):
            return True
    except NotTaken as error:
        assert (error.code, error.retry) == ("outside-service-hours", True)
        return False


@pytest.mark.parametrize(
    ("moment", "kind", "open_then"),
    [
        ("2026-11-24T06:29:59", "1", False),
        ("2026-11-24T06:30:00", "1", True),
        ("2026-11-24T22:59:59", "1", True),
        ("2026-11-24T23:00:00", "1", False),
        ("2026-11-24T08:59:59", "4", False),
        ("2026-11-24T09:00:00", "4", True),
        ("2026-11-24T17:00:00", "4", False),
        ("2026-11-24T17:00:00", "2", True),
        ("2026-11-23T10:00:00", "4", False),  # 勤労感謝の日
        ("2026-11-23T10:00:00", "1", True),
        ("2026-11-28T10:00:00", "4", False),  # a Saturday
        ("2026-12-29T10:00:00", "1", False),
        ("2027-01-03T10:00:00", "1", False),
        ("2027-01-04T10:00:00", "4", True),
        ("2026-11-22T10:00:00", "1", False),  # maintenance on that one day
    ],
)
def test_hours_of_service(moment: str, kind: str, open_then: bool) -> None:
    assert taken(moment, kind) is open_then
    assert taken(moment, kind, offset_s=86_400.0 * 3) is open_then  # by the business clock, wherever the other one stands


def test_without_hours_it_is_always_open() -> None:
    with Gate(Inbound(port=1), BusinessCalendar()).enter(question(), 0.0):
        pass


def test_what_is_open_is_bounded_and_let_go() -> None:
    gate = Gate(Inbound(port=1, most_questions=2), BusinessCalendar())
    with gate.enter(question(request_id="unguessable-request-id-0001"), 0.0):
        with gate.enter(question(request_id="unguessable-request-id-0002"), 0.0), pytest.raises(NotTaken, match="too-many-questions"):
            gate.enter(question(request_id="unguessable-request-id-0003"), 0.0).__enter__()
        with gate.enter(question(request_id="unguessable-request-id-0003"), 0.0):
            pass
        with pytest.raises(GatewayError, match="request-id-in-use"):
            gate.enter(question(request_id="unguessable-request-id-0001"), 0.0).__enter__()
    with gate.enter(question(request_id="unguessable-request-id-0001"), 0.0):
        pass
    with pytest.raises(GatewayError, match="request-id-guessable"):
        gate.enter(question(request_id="req-1"), 0.0).__enter__()


@pytest.mark.parametrize("wrong", [{"opens": "6:30", "closes": "23:00"}, {"opens": "06:30", "closes": "24:30"}, {"opens": "06:30"}])
def test_times_are_written_in_full(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ServiceHours.model_validate(wrong)
