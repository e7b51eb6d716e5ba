"""The transition table of a delivery: which event may lead from which state to which.

The machine changes a state only through :func:`move`, which refuses whatever is not in this table; the diagram and the table in
``docs/delivery-states.md`` are drawn from it (``python -m gateway.delivery.transitions docs/delivery-states.md`` renews them), and a test
holds both together.
"""

from __future__ import annotations

import enum
import sys
from pathlib import Path

from gateway.delivery.rows import FINAL, DeliveryRow, State


class Event(enum.StrEnum):
    """What happens to a delivery."""

    CLAIMED = "claimed"
    TAKEN_BACK = "taken back unsent"
    TAKEN_OVER = "claim void"
    EFFECT = "effect proven"
    REFUSED = "refused"
    FAILED = "failed before any effect"
    LOST = "no answer"
    DUPLICATE_UNPROVEN = "duplicate that proves nothing"
    PENDING = "answer comes later"
    REPLY_MISSING = "reply overdue"
    BARRED = "predecessor not delivered"
    RETRY = "retry"
    SKIP = "skip"
    EXPIRE = "expire"
    REPLACE = "corrected or replaced"
    SETTLED_NO_EFFECT = "settled: no effect"
    BY_HAND = "done by hand"


S = State
TRANSITIONS: frozenset[tuple[State, Event, State]] = frozenset(
    {
        (S.QUEUED, Event.CLAIMED, S.SENDING),
        (S.UNKNOWN, Event.CLAIMED, S.SENDING),
        (S.SENDING, Event.TAKEN_BACK, S.QUEUED),
        (S.SENDING, Event.TAKEN_BACK, S.UNKNOWN),
        (S.SENDING, Event.TAKEN_OVER, S.UNKNOWN),
        (S.SENDING, Event.EFFECT, S.DELIVERED),
        (S.SENDING, Event.REFUSED, S.QUEUED),
        (S.SENDING, Event.REFUSED, S.UNKNOWN),
        (S.SENDING, Event.FAILED, S.QUEUED),
        (S.SENDING, Event.FAILED, S.UNKNOWN),
        (S.SENDING, Event.LOST, S.UNKNOWN),
        (S.SENDING, Event.DUPLICATE_UNPROVEN, S.UNKNOWN),
        (S.SENDING, Event.PENDING, S.AWAITING_REPLY),
        (S.AWAITING_REPLY, Event.EFFECT, S.DELIVERED),
        (S.AWAITING_REPLY, Event.REFUSED, S.QUEUED),
        (S.AWAITING_REPLY, Event.REFUSED, S.UNKNOWN),
        (S.AWAITING_REPLY, Event.REPLY_MISSING, S.UNKNOWN),
        (S.AWAITING_REPLY, Event.FAILED, S.QUEUED),
        (S.AWAITING_REPLY, Event.FAILED, S.UNKNOWN),
        (S.UNKNOWN, Event.EFFECT, S.DELIVERED),
        (S.UNKNOWN, Event.REFUSED, S.QUEUED),
        (S.UNKNOWN, Event.REFUSED, S.UNKNOWN),
        (S.UNKNOWN, Event.SETTLED_NO_EFFECT, S.QUEUED),
        (S.UNKNOWN, Event.RETRY, S.UNKNOWN),
        (S.QUEUED, Event.RETRY, S.QUEUED),
        (S.QUEUED, Event.BARRED, S.SKIPPED),
        (S.QUEUED, Event.SKIP, S.SKIPPED),
        (S.QUEUED, Event.EXPIRE, S.EXPIRED),
        (S.QUEUED, Event.REPLACE, S.REJECTED),
        (S.QUEUED, Event.BY_HAND, S.DELIVERED),
    }
)


class IllegalTransition(Exception):
    """A defect of ours: the machine tried a change that the table does not have. The transaction is rolled back."""


def move(delivery: DeliveryRow, event: Event, to: State, now: float) -> None:
    """Change the state of ``delivery``; sets ``updated_at`` and, for a final state, ``final_at``."""
    if (delivery.state, event, to) not in TRANSITIONS:
        raise IllegalTransition(f"{delivery.state.value} --{event.value}--> {to.value}")
    delivery.state = to
    delivery.updated_at = now
    if to in FINAL:
        delivery.final_at = now


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> queued: admitted"]
    edges: dict[tuple[str, str], list[str]] = {}
    for source, event, target in TRANSITIONS:
        edges.setdefault((source.value, target.value), []).append(event.value)
    for (source_name, target_name), events in sorted(edges.items()):
        lines.append(f"    {_node(source_name)} --> {_node(target_name)}: {', '.join(sorted(events))}")
    lines += [f"    {_node(state.value)} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines)


def _node(name: str) -> str:
    return name.replace("-", "_")


def table() -> str:
    """The table as Markdown: for each state, what may happen to it and where that leads."""
    lines = ["| state | what happens | next state |", "|---|---|---|"]
    order = {state: place for place, state in enumerate(State)}
    for source, event, target in sorted(TRANSITIONS, key=lambda row: (order[row[0]], row[1].value, order[row[2]])):
        lines.append(f"| {source.value} | {event.value} | {target.value} |")
    return "\n".join(lines)


_BEGIN, _END = "<!-- drawn from gateway/delivery/transitions.py -->", "<!-- end -->"


def renewed(page: str) -> str:
    """``page`` with its drawn part as the code is now."""
    before, rest = page.split(_BEGIN)
    after = rest.split(_END)[1]
    return f"{before}{_BEGIN}\n\n```mermaid\n{mermaid()}\n```\n\n{table()}\n\n{_END}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")
