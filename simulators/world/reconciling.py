"""Reconciliation at a party: records come in, each is compared with what the party holds; when no more come, the result goes back.

A run has no end of its own: it is over when nothing of it came for a while. Whom the party holds and the run did not name is a surplus.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from message_formats import codes
from simulators.journal import Entry
from simulators.soap.deciding import Decision, outgoing
from simulators.soap.envelope import Record

if TYPE_CHECKING:
    from simulators.soap.party import SoapParty

_KINDS = codes.table("difference_kind")
MISSING, SURPLUS, DIFFERENT = (_KINDS.of(name).code for name in ("MISSING", "SURPLUS", "DIFFERENT"))
COMPARED = ("name", "birth_date", "birth_date@text", "sex", "address", "individual_number", "change_reason", "change_date")
MOST = 1000
"""Differences in one message."""
LOOK_S = 0.1

Held = Callable[[str], Mapping[str, str] | None]
"""What the party holds under a resident record code, by the names of :data:`COMPARED` and ``timestamp``."""


@dataclass(slots=True, kw_only=True)
class _Run:
    seen: set[str] = field(default_factory=set)
    differences: list[tuple[str, str, str | None]] = field(default_factory=list)
    last: float = 0.0
    answered: bool = False


class Reconciler:
    """One kind of reconciliation at one party."""

    def __init__(
        self,
        party: SoapParty,
        *,
        operation: str,
        report: str,
        kind: str,
        held: Held,
        everybody: Callable[[], AsyncIterator[str]],
        quiet_s: float,
    ) -> None:
        """``report``: the operation by which the result goes back, of message type ``kind``; ``everybody``: codes that may be held."""
        self._party, self._operation, self._report, self._kind = party, operation, report, kind
        self._held, self._everybody, self._quiet_s = held, everybody, quiet_s
        self._runs: dict[str, _Run] = {}
        self._task: asyncio.Task[None] | None = None
        party.takers[operation] = self.take

    def take(self, record: Record) -> Decision:
        """Compare one record."""
        items = record.items
        difference = self._compared(items)
        facts: dict[str, Any] = {"run": items["run_id"]}
        if difference is None:
            return Decision(facts=facts, kept=False)
        return Decision(facts={**facts, "difference": difference[0], "item": difference[1]})

    def _compared(self, items: Mapping[str, str]) -> tuple[str, str | None] | None:
        held = self._held(items["resident_record_code"])
        if held is None:
            return MISSING, None
        if "cut_off" in items and held.get("timestamp", "") > items["cut_off"]:
            return None  # changed since: the next run will tell
        for item in COMPARED:
            if items.get(item) != held.get(item):
                return DIFFERENT, item.partition("@")[0]
        return None

    def learn(self, operation: str, items: Mapping[str, str], entry: Entry) -> None:
        """Take over a line of the journal."""
        if operation != self._operation:
            return
        run = self._runs.setdefault(entry["run"], _Run())
        run.seen.add(entry["resident"])
        run.last = time.monotonic()
        run.answered = False
        if "difference" in entry:
            run.differences.append((items["resident_record_code"], entry["difference"], entry["item"]))

    def recover(self, entry: Entry) -> None:
        """Take over the end of a run."""
        if entry["kind"] == "reconciled" and entry["operation"] == self._operation:
            run = self._runs.setdefault(entry["run"], _Run())
            run.answered = True

    def forget(self) -> None:
        """No run is under way."""
        self._runs.clear()

    @property
    def open(self) -> int:
        """Runs without a result yet."""
        return sum(not run.answered for run in self._runs.values())

    # ---- the end of a run ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Look after runs from now on."""
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        while True:
            for name, run in list(self._runs.items()):
                if not run.answered and time.monotonic() - run.last >= self._quiet_s:
                    await self._finish(name, run)
            await asyncio.sleep(LOOK_S)

    async def _finish(self, name: str, run: _Run) -> None:
        found, looked_at = list(run.differences), run.last
        place = 0
        async for code in self._everybody():
            place += 1
            if place % 500 == 0:
                await asyncio.sleep(0)
            if self._party.references.of(code) not in run.seen and self._held(code) is not None:
                found.append((code, SURPLUS, None))
        if run.last != looked_at or name not in self._runs:
            return  # more came meanwhile
        parts = [found[start : start + MOST] for start in range(0, len(found), MOST)] or [[]]
        entries = [self._party.outbox.entry(outgoing(self._report, self._kind, _items(name, part))) for part in parts]
        done = {"kind": "reconciled", "operation": self._operation, "run": name, "records": len(run.seen), "differences": len(found)}
        self._party.note(done, *entries)


def _items(run: str, differences: list[tuple[str, str, str | None]]) -> dict[str, str | None]:
    items: dict[str, str | None] = {"run_id": run}
    for place, (code, kind, item) in enumerate(differences, start=1):
        items |= {
            f"differences[{place}]/resident_record_code": code,
            f"differences[{place}]/kind": kind,
            f"differences[{place}]/item": item,
        }
    return items
