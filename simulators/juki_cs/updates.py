"""Updates of identity information at the city CS: many a second, in order of 更新順番号, known again by 依頼管理番号. The hot path.

They have their own lines in the journal (``effect``, ``refused``, ``duplicate``), by which a verdict judges whole runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simulators.faults import FaultBoard, Subject
from simulators.journal import Journal
from simulators.juki_cs.residents import Applied, Residents, counted
from simulators.juki_cs.results import result
from simulators.soap.envelope import Call, Result

OPERATION = "UpdateIdentityInformation"


def invented(call: Call) -> list[Result]:
    """Acceptance of records of which nothing is done."""
    return [result(record.delivery_id, record.items["request_control_number"]) for record in call.records]


Further = Callable[[Call, Sequence[Mapping[str, Any]]], list[dict[str, Any]]]
"""What follows from the entries of a call: more entries."""


def apply(
    call: Call, subjects: Sequence[Subject], residents: Residents, journal: Journal, faults: FaultBoard, further: Further | None = None
) -> tuple[list[Result], dict[str, int], list[dict[str, Any]]]:
    """Apply the records in order and journal what happened, with what follows from it; answers, counts, and the lines that follow."""
    applied = Applied()
    for record, subject in zip(call.records, subjects, strict=True):
        fault = faults.for_record(subject) if faults else None
        if fault is None:
            residents.apply(record, subject[0], journal, applied)
        elif fault.kind.name == "refuse":
            residents.apply(record, subject[0], journal, applied, refuse=fault.spec.code)
        elif fault.takes_effect:
            residents.apply(record, subject[0], journal, applied, say_duplicate=True)
        else:  # says duplicate of what it never saw
            applied.results.append(result(record.delivery_id, record.items["request_control_number"], duplicate=True))
    more = further(call, applied.entries) if further is not None else []
    last = journal.append([*applied.entries, *more]) - len(more)
    residents.take_over(applied, last)
    return applied.results, counted(applied.entries), [{"seq": last + place, **each} for place, each in enumerate(more, start=1)]
