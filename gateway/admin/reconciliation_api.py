"""Reconciliations behind the API: the port, the bodies, the handlers. Residents are keyed references, except on the way in: who compares
names the resident record code of those who differ, which becomes a blind index at once and is kept nowhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from aiohttp import web
from pydantic import AwareDatetime, Field, SecretStr, StringConstraints

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound, RequestView
from gateway.admin.wire import ACTOR, Handler, page_limit
from gateway.errors import InputRefused

MOST = 1000
"""Differences in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationView:
    """One run: how far it is, and what it found."""

    run: str
    other: str
    status: str
    """``running``, ``paused`` or ``done``."""
    cut_off: dt.datetime
    buckets: int
    next_bucket: int
    """Where it goes on."""
    differing: int
    found: int
    states: dict[str, int]
    """Differences by state."""
    ours_digest: str
    theirs_digest: str
    ours_records: int
    theirs_records: int
    reason: str
    began_by: str
    began_at: dt.datetime
    changed_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceView:
    """One line of a worklist."""

    number: int
    kind: str
    """``missing`` (at the party), ``extra``, ``changed``, ``order``."""
    items: tuple[str, ...]
    reference: str
    state: str
    """``open``; ``postponed``: updates are under way; ``released``: a correction is authorised; ``resolved``: the same on both sides."""
    correction: str | None
    request_id: str | None
    changed_at: dt.datetime
    protected: bool
    """Support measures (支援措置) are in force for this resident: who it is is not shown in lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worklist:
    """Some lines; ``digest`` names them as they are, and a request for their correction names it."""

    items: tuple[DifferenceView, ...]
    digest: str
    next_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What somebody found who compared."""

    code: str
    """Resident record code."""
    reference: str
    kind: str | None
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a run begins with."""

    run: str
    other: str
    cut_off: dt.datetime
    buckets: int
    ours_digest: str
    theirs_digest: str
    ours_records: int
    theirs_records: int
    reason: str


class ReconciliationService(Protocol):
    """Reconciliations. ``actor`` is the person on record."""

    async def runs(self) -> Sequence[ReconciliationView]:
        """All, newest first."""
        ...

    async def run(self, name: str) -> ReconciliationView:
        """:raises NotFound: there is none of this name."""
        ...

    async def begin(self, actor: str, new: NewRun) -> ReconciliationView:
        """:raises CommandRefused: ``run-exists``; :raises InputRefused: the party is none whose records are compared."""
        ...

    async def compared(
        self, actor: str, name: str, *, first: int, until: int, differing: int, found: Sequence[Difference]
    ) -> ReconciliationView:
        """Buckets from ``first`` to before ``until`` are compared. Where the run is elsewhere, or paused, nothing happens: look."""
        ...

    async def compared_again(self, actor: str, name: str, cut_off: dt.datetime, found: Sequence[Difference]) -> ReconciliationView:
        """Residents who were compared once more, from files of a later cut-off."""
        ...

    async def set_paused(self, actor: str, name: str, *, paused: bool, reason: str) -> ReconciliationView:
        """Pause it, or let it go on."""
        ...

    async def worklist(self, name: str, *, states: Sequence[str], after: int, limit: int) -> Worklist:
        """What it found."""
        ...

    async def ask_correction(
        self, actor: str, name: str, numbers: Sequence[int], correction: str, *, seen_digest: bytes, reason: str
    ) -> RequestView:
        """Propose a correction of these differences; a second person authorises it."""
        ...


Item = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{54}$")]
Run = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]


class RunBody(bodies.Body):
    run: Run
    other: str
    cut_off: Annotated[AwareDatetime, Field(strict=False)]
    buckets: Annotated[int, Field(ge=1, le=65536)]
    ours_digest: bodies.Digest
    theirs_digest: bodies.Digest
    ours_records: Annotated[int, Field(ge=0)]
    theirs_records: Annotated[int, Field(ge=0)]
    reason: bodies.Reason


class DifferenceBody(bodies.Body):
    code: SecretStr
    reference: Reference
    kind: Literal["missing", "extra", "changed", "order"]
    items: Annotated[list[Item], Field(default_factory=list)]

    def value(self) -> Difference:
        return Difference(code=self.code.get_secret_value(), reference=self.reference, kind=self.kind, items=tuple(self.items))


class AgainDifferenceBody(bodies.Body):
    code: SecretStr
    reference: Reference
    kind: Literal["missing", "extra", "changed", "order"] | None
    items: Annotated[list[Item], Field(default_factory=list)]

    def value(self) -> Difference:
        return Difference(code=self.code.get_secret_value(), reference=self.reference, kind=self.kind, items=tuple(self.items))


class ComparedBody(bodies.Body):
    first: int
    until: int
    differing: Annotated[int, Field(ge=0)]
    found: Annotated[list[DifferenceBody], Field(max_length=MOST)]


class AgainBody(bodies.Body):
    cut_off: Annotated[AwareDatetime, Field(strict=False)]
    found: Annotated[list[AgainDifferenceBody], Field(max_length=MOST)]


class CorrectionBody(bodies.Body):
    numbers: Annotated[list[int], Field(min_length=1, max_length=MOST)]
    correction: Literal["register-resends", "register-corrects", "party-corrects", "none"]
    seen_digest: bodies.Digest
    reason: bodies.Reason


class ReconciliationApi:
    """The handlers, by the names of the operations. Whoever acts for some parties only sees none of it: it is about every resident."""

    def __init__(self, service: ReconciliationService | None) -> None:
        self._given = service

    @property
    def _service(self) -> ReconciliationService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway reconciles nothing")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {
            "reconciliations": self.runs,
            "reconciliation": self.run,
            "begin_reconciliation": self.begin,
            "compared": self.compared,
            "compared_again": self.compared_again,
            "pause_reconciliation": self.pause,
            "resume_reconciliation": self.resume,
            "worklist": self.worklist,
            "ask_correction": self.ask_correction,
        }

    async def runs(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer({"items": bodies.plain(list(await self._service.runs()))})

    async def run(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer(bodies.plain(await self._service.run(_name(request))))

    async def begin(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, RunBody)
        new = NewRun(**{name: getattr(body, name) for name in RunBody.model_fields})
        return bodies.answer(bodies.plain(await self._service.begin(request[ACTOR].name, new)))

    async def compared(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, ComparedBody)
        found = [each.value() for each in body.found]
        done = await self._service.compared(
            request[ACTOR].name, _name(request), first=body.first, until=body.until, differing=body.differing, found=found
        )
        return bodies.answer(bodies.plain(done))

    async def compared_again(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, AgainBody)
        found = [each.value() for each in body.found]
        return bodies.answer(bodies.plain(await self._service.compared_again(request[ACTOR].name, _name(request), body.cut_off, found)))

    async def pause(self, request: web.Request) -> web.StreamResponse:
        return await self._set_paused(request, paused=True)

    async def resume(self, request: web.Request) -> web.StreamResponse:
        return await self._set_paused(request, paused=False)

    async def _set_paused(self, request: web.Request, *, paused: bool) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, bodies.ReasonBody)
        done = await self._service.set_paused(request[ACTOR].name, _name(request), paused=paused, reason=body.reason)
        return bodies.answer(bodies.plain(done))

    async def worklist(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        states = [each for each in request.query.get("states", "").split(",") if each]
        after = request.query.get("after", "0")
        if not after.isdigit():
            raise InputRefused("query-malformed", "must be the number of a difference", place="after")
        found = await self._service.worklist(_name(request), states=states, after=int(after), limit=page_limit(request))
        return bodies.answer(bodies.plain(found))

    async def ask_correction(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, CorrectionBody)
        asked = await self._service.ask_correction(
            request[ACTOR].name, _name(request), sorted(set(body.numbers)), body.correction,
            seen_digest=bytes.fromhex(body.seen_digest), reason=body.reason,
        )  # fmt: skip
        return bodies.recorded(asked)


def _name(request: web.Request) -> str:
    return request.match_info["run"]
