"""Flows on the ledger: see :class:`gateway.admin.flows_api.FlowService`."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.admin import views
from gateway.admin.flows_api import CaseView, StepView
from gateway.admin.service import NotFound
from gateway.flows.machine import Instance, Machine
from gateway.flows.model import Flows
from gateway.ledger import flow_writing
from gateway.ledger import flows as lf
from gateway.ledger.ledger import Ledger


class LedgerFlows:
    """For one event loop."""

    def __init__(self, ledger: Ledger, machine: Machine, declared: Flows) -> None:
        self._ledger = ledger
        self._machine = machine
        self._declared = declared

    async def cases(self, *, flow: str | None, states: Sequence[str], open_only: bool, limit: int, after: str | None) -> Sequence[CaseView]:
        """See the port."""
        if flow is not None and flow not in self._declared.by_id:
            raise NotFound("no-such-flow", "there is no flow of this id")
        found = await self._ledger.read(
            lambda conn: lf.listed(conn, flow=flow, states=states, open_only=open_only, limit=limit, after=after)
        )
        return [self._view(each) for each in found]

    async def case(self, reference: str) -> Sequence[CaseView]:
        """See the port."""
        one = await self._ledger.read(lambda conn: lf.find(conn, reference))
        found = [one] if one is not None else await self._ledger.read(lambda conn: lf.of_message(conn, reference))
        if not found:
            raise NotFound("no-such-case", "there is no case of this id, and no message of it is in one")
        return [self._view(each) for each in found]

    async def complete(self, actor: str, case_id: str, seen_state: str, reason: str) -> CaseView:
        """See the port."""
        operation = flow_writing.CompleteFlow(machine=self._machine, instance_id=case_id, actor=actor, reason=reason, seen_state=seen_state)
        done: Instance = await self._ledger.submit(operation)
        return self._view(done)

    async def rebuild(self, actor: str, reason: str) -> None:
        """See the port."""
        await self._ledger.submit(flow_writing.RebuildFlows(actor=actor, reason=reason))

    def _view(self, instance: Instance) -> CaseView:
        flow = self._declared.by_id[instance.flow]
        steps = []
        for step in flow.steps:
            row = instance.steps.get(step.no)
            if row is not None:
                steps.append(
                    StepView(
                        step=step.no, type=step.type or "", sender=step.sender, receiver=step.receiver, state=row.state.value,
                        since=views.maybe(row.at), due_at=views.maybe(row.due_at), code=row.code, messages=tuple(row.messages),
                    )
                )  # fmt: skip
        return CaseView(
            case_id=instance.id, flow=flow.id, title_en=flow.title_en, title_ja=flow.title_ja, state=instance.state,
            begun_at=views.time(instance.begun_at), changed_at=views.time(instance.changed_at), closed_at=views.maybe(instance.closed_at),
            completed_by=instance.completed_by, reason=instance.reason, part_of=instance.part_of, steps=tuple(steps),
        )  # fmt: skip
