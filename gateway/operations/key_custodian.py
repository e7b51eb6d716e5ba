"""The key custodian: carries rotations through, beside the traffic, and destroys what is due.

One step does a little of whatever is to do, as a bulk operation of the ledger; between steps it pauses, so that live work never waits for
it:

- data keys under an older key-encryption key are wrapped anew, in the order of their ids;
- blind indexes of the former generation are renewed;
- a key-encryption key under which nothing is left is barred (nothing wrapped under it is taken any more), then destroyed;
- JWE keys are destroyed when no message can be in a queue that was encrypted for them;
- a day key is destroyed when the last message of its day is due.

How far it is stands in the rows and in the index of keys alone: whoever starts it anew goes on. It may run in several processes.
For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gateway.errors import CommandRefused, GatewayError
from gateway.ledger import keys as lk
from gateway.ledger.clock import business_clock, ledger_time
from gateway.ledger.ledger import Ledger
from gateway.security.blind import BlindIndex
from gateway.security.day_keys import JST, DayKeys
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import SealBroken, Sealer, day_of, kek_of

ACTOR = "key-custodian"
IDLE_S = 5.0
FOLLOWED_S = 10.0
"""After so long every process that is not frozen uses the new key; what a frozen one brings later is stale."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """One key as operators see it."""

    kind: str
    id: str
    state: str
    """``current``, ``former`` (still needed), ``chained`` (blind: part of every index), ``overlap`` (JWE: still opens) or ``day``."""
    since: dt.datetime | None
    uses: int | None
    """Data keys wrapped under it, or aliases of its generation; None: not counted."""


class KeyCustodian:
    """See the module's text."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyStore,
        sealer: Sealer,
        day_keys: DayKeys,
        *,
        queue_age_s: float,
        rows: int = 100,
        pause_s: float = 0.02,
        followed_s: float = FOLLOWED_S,
        clock: Callable[[], float] = time.time,
        vanishes: Callable[[float], float] | None = None,
    ) -> None:
        """:param queue_age_s: the longest that a message may lie in a queue; :param rows: renewed in one step.

        :param vanishes: when what was sent at a time must vanish, by a calendar that knows holidays.
        """
        self._ledger = ledger
        self._keys = keys
        self._sealer = sealer
        self._day_keys = day_keys
        self._queue_age_s = queue_age_s
        self._rows = rows
        self._pause_s = pause_s
        self._followed_s = followed_s
        self._settle_s = 0.0 if ledger.engine.dialect == "sqlite" else lk.SETTLE_S
        self._clock = clock
        self._vanishes = vanishes or vanishes_at
        self._after: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # ---- life ----------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Work from now on."""
        self._task = asyncio.create_task(self._run(), name="key custodian")

    async def stop(self) -> None:
        """End; what is under way goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            more = False
            try:
                more = await self.step()
            except GatewayError as error:
                _log.warning("key-custodian-waits", extra={"code": error.code})
            except Exception as error:  # a bug must not end it for good: rotations would stand still unseen
                _log.error("key-custodian-failed", extra={"code": type(error).__name__})
            if more:
                await asyncio.sleep(self._pause_s)
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE_S)

    # ---- what an operator does -----------------------------------------------------------------------------------------------------

    async def rotate(self, kind: Kind, actor: str, reason: str) -> str:
        """Make a new current key, on record, and return its id; what follows from it is done beside the traffic.

        :raises CommandRefused: ``rotation-under-way``: the blind indexes are still being renewed.
        :raises TokenUnavailable: the key is to be made in a token that does not answer.
        """
        old = self._keys.ids(kind)[-1]
        if kind is Kind.BLIND and (await self._ledger.read(lk.guard)).former is not None:
            raise CommandRefused("rotation-under-way", "the blind indexes are still being renewed: wait until renkei keys list says so")
        new = await asyncio.to_thread(self._keys.rotate, kind)
        await self._record("key-rotated", actor, key_kind=kind.value, new=new, old=old, reason=reason)
        if kind is Kind.BLIND:
            await self._start_renewal()
        self._wake.set()
        return new

    async def views(self) -> list[KeyView]:
        """All keys with what hangs on them."""
        by_path, by_generation = await self._ledger.read(lk.uses)
        by_kek: dict[str, int] = {}
        by_day: dict[str, int] = {}
        for path, count in by_path.items():
            by_kek[kek_of(path)] = by_kek.get(kek_of(path), 0) + count
            if (day := day_of(path)) is not None:
                by_day[day] = by_day.get(day, 0) + count
        views = []
        for kind in Kind:
            former = {Kind.BLIND: "chained", Kind.JWE: "overlap"}.get(kind, "former")
            counted = {Kind.KEK: by_kek, Kind.BLIND: by_generation}.get(kind)
            ids = self._keys.ids(kind)
            for key_id in reversed(ids):
                views.append(
                    KeyView(
                        kind=kind.value,
                        id=key_id,
                        state="current" if key_id == ids[-1] else former,
                        since=dt.datetime.fromtimestamp(self._keys.since(key_id), dt.UTC),
                        uses=None if counted is None else counted.get(key_id, 0),
                    )
                )
        views += [KeyView(kind="day", id=day, state="day", since=None, uses=by_day.get(day, 0)) for day in self._day_keys.ids()]
        return views

    # ---- one step ------------------------------------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Tell a ledger that knows of no key of ours which generation of blind indexes counts; go on where a rotation was interrupted."""
        known = (await self._ledger.read(lk.guard)).blind
        ids, there = self._keys.ids(Kind.BLIND), await self._ledger.read(lk.generations)
        if known is None or (known not in ids and not there):
            current = next((each for each in ids if each in there), ids[-1])
            values: dict[str, str | None] = {lk.BLIND: current, lk.FORMER: None}
            await self._ledger.submit(
                lk.SetGuard(kind="keys-adopted", actor=ACTOR, values=values, detail={"blind": current}, expected=(lk.BLIND, known))
            )
        await self._start_renewal()

    async def step(self) -> bool:
        """Do a little of everything; True: there is more to do soon."""
        await asyncio.to_thread(self._keys.refresh)
        await self._start_renewal()
        # each in turn, all of them: one that has much to do keeps no other waiting
        more = [await self._rewrap(), await self._renew_aliases(), await self._retire_keks()]
        await self._retire_jwe()
        await self._retire_days()
        return any(more)

    async def _start_renewal(self) -> None:
        ids = self._keys.ids(Kind.BLIND)
        guard = await self._ledger.read(lk.guard)
        if guard.blind is None or guard.blind == ids[-1] or guard.blind not in ids or guard.former is not None:
            return
        new = ids[ids.index(guard.blind) + 1]
        values: dict[str, str | None] = {lk.BLIND: new, lk.FORMER: guard.blind, _SINCE: "now"}
        detail = {"new": new, "old": guard.blind}
        await self._ledger.submit(
            lk.SetGuard(kind="blind-renewal-started", actor=ACTOR, values=values, detail=detail, expected=(lk.BLIND, guard.blind))
        )

    async def _rewrap(self) -> bool:
        current = self._keys.ids(Kind.KEK)[-1]
        for path in await self._ledger.read(lk.key_paths):
            if kek_of(path) == current:
                continue
            after = self._after.get(path, "")
            some = await self._ledger.read(lambda conn, path=path, after=after: lk.wrapped_under(conn, path, after, self._rows))  # type: ignore[misc]
            if not some:
                self._after.pop(path, None)  # what is left is damaged, or came meanwhile: from the beginning next time
                continue
            self._after[path] = some[-1].id
            renewed = await asyncio.to_thread(self._wrap_anew, some)
            if renewed:
                await self._ledger.submit(lk.Rewrap(renewed=renewed, size=len(renewed)))
            return True
        return False

    def _wrap_anew(self, some: list[lk.Wrapped]) -> list[tuple[lk.Wrapped, str, bytes]]:
        renewed = []
        for each in some:
            try:
                path, wrapped = self._sealer.rewrap(each.wrapped, kek_id=each.path, message_id=each.message_id)
            except SealBroken as error:
                # it opens for nobody any more; its key-encryption key stays, as long as the row is there to be looked at
                _log.error("data-key-broken", extra={"code": error.code, "message_id": each.message_id})
                continue
            renewed.append((each, path, wrapped))
        return renewed

    async def _renew_aliases(self) -> bool:
        guard = await self._ledger.read(lk.guard)
        if guard.former is None or guard.blind is None:
            return False
        former = guard.former
        if not await self._settled(_SINCE):
            return True
        some = await self._ledger.read(lambda conn: lk.aliases_of(conn, former, self._rows))
        if some:
            index = BlindIndex.until(self._keys, guard.blind)
            renewed = [(kind, blind, index.renewed(blind), subject) for kind, blind, subject in some]
            await self._ledger.submit(lk.RenewAliases(generation=guard.blind, renewed=renewed, size=len(renewed)))
            return True
        values: dict[str, str | None] = {lk.FORMER: None, _SINCE: None}
        detail = {"new": guard.blind, "old": former}
        await self._ledger.submit(
            lk.SetGuard(kind="blind-renewal-done", actor=ACTOR, values=values, detail=detail, expected=(lk.FORMER, former))
        )
        return True

    async def _retire_keks(self) -> bool:
        waiting = False
        for kek in self._keys.ids(Kind.KEK)[:-1]:
            in_use = {kek_of(path) for path in await self._ledger.read(lk.key_paths)}
            superseded = self._keys.superseded_at(Kind.KEK, kek)
            if kek in in_use or superseded is None or self._clock() - superseded < self._followed_s:
                continue
            name = f"{lk.BARRED}{kek}"
            if (await self._ledger.read(lk.guard)).barred.get(kek) is None:
                await self._ledger.submit(
                    lk.SetGuard(kind="key-barred", actor=ACTOR, values={name: "now"}, detail={"key": kek}, expected=(name, None))
                )
                waiting = True
            elif await self._settled(name):
                if kek in {kek_of(path) for path in await self._ledger.read(lk.key_paths)}:
                    waiting = True  # committed just before the bar: wrapped anew in the next step
                    continue
                await asyncio.to_thread(self._keys.destroy, Kind.KEK, kek)
                await self._record("key-destroyed", ACTOR, key_kind="kek", key=kek)
            else:
                waiting = True
        return waiting

    async def _settled(self, name: str) -> bool:
        """No transaction that began before the guard changed can still be open."""
        if self._settle_s == 0:
            return True

        def look(conn: Connection) -> bool:
            since = lk.guard_time(conn, name)
            return since is not None and ledger_time(conn) - since >= self._settle_s

        return await self._ledger.read(look)

    async def _retire_jwe(self) -> None:
        for kid in self._keys.ids(Kind.JWE)[:-1]:
            superseded = self._keys.superseded_at(Kind.JWE, kid)
            if superseded is not None and self._clock() - superseded >= self._queue_age_s:
                await asyncio.to_thread(self._keys.destroy, Kind.JWE, kid)
                await self._record("key-destroyed", ACTOR, key_kind="jwe", key=kid)

    async def _retire_days(self) -> None:
        ids = self._day_keys.ids()
        if not ids:
            return

        def look(conn: Connection) -> tuple[float, dict[str, lk.DayUse]]:
            paths = lk.key_paths(conn)
            found = {day: lk.use_of_day(conn, [path for path in paths if day_of(path) == day]) for day in ids}
            # a test that shifts the business clock makes time pass since what was sent before the shift
            return business_clock(conn).at(ledger_time(conn)), found

        now, uses = await self._ledger.read(look)
        today = dt.datetime.fromtimestamp(now, JST).strftime("%Y%m%d")
        for day, use in uses.items():
            if day[:8] >= today or use.unfinished:
                continue
            # what was sealed at the end of the day may be in no row yet: no key ends before what was sent on its day must vanish
            begun = dt.datetime.strptime(day[:8], "%Y%m%d").replace(tzinfo=JST).timestamp()
            if now < self._vanishes(max(begun, use.last_final_at or begun)):
                continue
            await asyncio.to_thread(self._day_keys.destroy, day)
            await self._record("key-destroyed", ACTOR, key_kind="day", key=day)

    async def _record(self, kind: str, actor: str, **detail: Any) -> None:
        await self._ledger.submit(lk.RecordKeyEvent(kind=kind, actor=actor, detail=detail))


_SINCE = "key.blind.since"


def vanishes_at(sent_at: float) -> float:
    """The end of the first business day after that of ``sent_at`` (seconds since 1970 UTC, both), in Japan (C-3-7-1).

    Saturdays and Sundays are none. Public holidays are not known here: then it is earlier than the rule allows at most, never later.
    """
    day = dt.datetime.fromtimestamp(sent_at, JST).date() + dt.timedelta(days=1)
    while day.weekday() >= 5:
        day += dt.timedelta(days=1)
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), JST).timestamp()
