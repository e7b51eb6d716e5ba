"""The bookkeeping of confirms and acks, against models that keep one entry for each message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.acks import AckWindow
from gateway.broker.confirms import ConfirmWindow

tags = st.integers(min_value=1, max_value=30)


@given(st.lists(st.tuples(st.sampled_from(["send", "one", "all"]), tags), max_size=80))
def test_confirms_are_counted_once_in_whatever_order_they_come(steps: list[tuple[str, int]]) -> None:
    window = ConfirmWindow()
    open_tags: set[int] = set()
    for what, tag in steps:
        if what == "send":
            window.sent += 1
            open_tags.add(window.sent)
        elif tag <= window.sent:
            settled = {one for one in open_tags if one <= tag} if what == "all" else open_tags & {tag}
            open_tags -= settled
            assert window.settle(tag, what == "all") == len(settled)
        assert window.outstanding == len(open_tags)


def test_what_waits_too_long_is_found_and_its_late_confirm_counts_for_nothing() -> None:
    window = ConfirmWindow()
    window.sent = 3
    assert window.overdue(0.0, 10.0) == 0
    window.settle(1, False)
    window.sent = 5
    assert window.overdue(6.0, 10.0) == 0
    assert window.overdue(10.0, 10.0) == 3
    assert window.forgive(3) == 2
    assert window.settle(2, False) == 0
    assert window.outstanding == 2
    assert window.overdue(15.0, 10.0) == 0
    window.settle(5, True)
    assert window.overdue(16.0, 10.0) == 0, "confirmed in time"
    assert window.overdue(100.0, 10.0) == 0


@given(st.lists(st.tuples(st.sampled_from(["deliver", "ack", "up_to", "refuse", "tell"]), tags), max_size=100))
def test_acks_told_to_the_broker_are_exactly_those_asked_for(steps: list[tuple[str, int]]) -> None:
    """The broker of this model closes the channel, as the real one does, for an ack of a tag that is not open."""
    window = AckWindow()
    at_broker: set[int] = set()
    asked: set[int] = set()
    refused: set[int] = set()

    def tell() -> None:
        multiple, singles = window.take()
        if multiple:
            assert multiple in at_broker, "the broker refuses a multiple ack of a tag that is settled"
            covered = {one for one in at_broker if one <= multiple}
            assert covered <= asked, "a multiple ack covers what nobody acked"
            at_broker.difference_update(covered)
        for tag in singles:
            assert tag in at_broker
            at_broker.remove(tag)

    for what, tag in steps:
        open_tags = set(range(1, window.delivered + 1)) - asked - refused
        if what == "deliver":
            window.delivered += 1
            at_broker.add(window.delivered)
        elif what == "ack":
            assert window.ack(tag) == (tag in open_tags)
            asked |= {tag} & open_tags
        elif what == "up_to":
            fresh = {one for one in open_tags if one <= tag}
            assert window.ack_up_to(tag) == len(fresh)
            asked |= fresh
        elif what == "refuse":
            assert window.refuse(tag) == (tag in open_tags)
            if tag in open_tags:
                refused.add(tag)
                at_broker.discard(tag)
        else:
            tell()
    assert window.unacked == window.delivered - len(asked) - len(refused)
    tell()
    assert at_broker == set(range(1, window.delivered + 1)) - asked - refused
    assert window.untold == 0


@pytest.mark.parametrize("size", [1, 32, 1023])
def test_a_bell_is_on_the_wire_what_pika_would_write(size: int) -> None:
    from pika import frame, spec

    from gateway.broker import wire

    properties = spec.BasicProperties(delivery_mode=2)
    body = b"k" * size
    ours = wire.bell_prefix(7, "work", "test-party.live", size, properties) + body + wire.FRAME_END
    publish = spec.Basic.Publish(exchange="work", routing_key="test-party.live", mandatory=True)
    theirs = frame.Method(7, publish).marshal() + frame.Header(7, size, properties).marshal() + frame.Body(7, body).marshal()
    assert ours == theirs


@pytest.mark.parametrize("multiple", [True, False])
def test_an_ack_is_on_the_wire_what_pika_would_write(multiple: bool) -> None:
    from pika import frame, spec

    from gateway.broker import wire

    assert wire.ack(9, 1 << 40, multiple=multiple) == frame.Method(9, spec.Basic.Ack(1 << 40, multiple)).marshal()


@given(st.binary(max_size=500), st.integers(min_value=9, max_value=64))
def test_a_body_is_cut_into_frames_as_pika_would(body: bytes, frame_max: int) -> None:
    from pika import frame

    from gateway.broker import wire

    room = frame_max - 8
    theirs = b"".join(frame.Body(3, body[start : start + room]).marshal() for start in range(0, len(body), room))
    assert b"".join(wire.body_frames(3, body, frame_max)) == theirs
