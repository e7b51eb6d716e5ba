"""Output to media on the ledger: see :class:`gateway.admin.media_api.MediaService`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gateway.admin import views
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.media_api import Media, MediumOutput, MediumTarget, WantedOutput
from gateway.admin.service import NotFound, RequestView
from gateway.approvals.kinds import Kind
from gateway.errors import CommandRefused
from gateway.ledger import approvals, media
from gateway.ledger.ledger import Ledger
from gateway.ledger.operators import RecordAccess

Targets = Mapping[str, tuple[str, frozenset[str]]]
"""Directory and message types by name."""


class LedgerMedia:
    """For one event loop."""

    def __init__(self, ledger: Ledger, desk: LedgerDesk, targets: Targets) -> None:
        self._ledger = ledger
        self._desk = desk
        self._targets = targets
        desk.effects[Kind.MEDIUM_OUTPUT] = lambda _: _approved

    async def media(self) -> Media:
        """See the port."""
        return Media(
            targets=tuple(
                MediumTarget(name=name, directory=directory, types=tuple(sorted(types)))
                for name, (directory, types) in sorted(self._targets.items())
            ),
            outputs=tuple(self._view(row) for row in await self._ledger.read(media.outputs)),
        )

    async def ask(self, actor: str, wanted: WantedOutput, reason: str) -> RequestView:
        """See the port."""
        await self._require(actor, wanted.target, wanted.type)
        argument = dataclasses.asdict(wanted)
        digest = bytes.fromhex(argument.pop("digest"))
        return await self._desk.ask(
            Kind.MEDIUM_OUTPUT, actor, f"medium {wanted.target}/{wanted.medium}", seen_digest=digest, reason=reason, argument=argument
        )

    async def begin(self, actor: str, request_id: str, digest: str) -> MediumOutput:
        """See the port."""
        asked = await self._desk.request(request_id)
        if asked.command is not Kind.MEDIUM_OUTPUT or asked.argument is None:
            raise CommandRefused("not-a-medium-output", "this request is not about an output to a medium")
        await self._require(actor, asked.argument["target"], asked.argument["type"])
        use = approvals.CarryOut(request=request_id, actor=actor, outcome="output-begun", effect=media.begin(digest))
        await self._ledger.submit(use)
        return await self._found(request_id)

    async def end(self, actor: str, request_id: str, digest: str) -> MediumOutput:
        """See the port."""
        await self._ledger.submit(media.End(actor=actor, request=request_id, digest=digest))
        return await self._found(request_id)

    async def _require(self, actor: str, target: str, message_type: str) -> None:
        refused = None
        if target not in self._targets:
            refused = CommandRefused("target-unknown", "no such place is configured: media are written nowhere else", rule="C-1-3-27")
        elif message_type not in self._targets[target][1]:
            refused = CommandRefused("type-not-for-target", "this message type is not written there", rule="C-1-3-27")
        if refused is not None:
            detail = {"command": Kind.MEDIUM_OUTPUT.value, "code": refused.code, "type": message_type}
            await self._ledger.submit(RecordAccess(kind="command-refused", actor=actor, detail=detail))
            raise refused

    async def _found(self, request_id: str) -> MediumOutput:
        row = await self._ledger.read(lambda conn: media.output(conn, request_id))
        if row is None:
            raise NotFound("no-output", "there is no output of this request")
        return self._view(row)

    def _view(self, row: Mapping[str, Any]) -> MediumOutput:
        times = {"began_at": views.time(row["began_at"]), "ended_at": views.maybe(row["ended_at"])}
        target = self._targets.get(row["target"])
        values: dict[str, Any] = {**row, **times, "directory": None if target is None else target[0]}
        return MediumOutput(**values)


def _approved(_unit: Any, _row: Any) -> None:
    """To be used later, once."""
