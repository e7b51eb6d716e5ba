"""Instances of flows: what came, what is waited for, what is overdue. Pure: rows, time and facts in; changed rows out.

A *message* is looked at once for each party that it goes to. It belongs to the open instance of its resident that waits for it: one that
must have it before one that may, of those that must the oldest, of those that may the newest. Where none waits, it begins an instance of
the flow that the data name for it, or of the flow that its sender names. An answer in the same exchange follows its question.

Nothing here holds anything: a step that is overdue or refused delays no other, and no delivery. Times are business time (R21).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.flows.model import Flow, Flows, FlowStep, before

EARLIER = "began-later"
"""Why a step before the one that began an instance is not waited for."""
REGISTER = "resident-record-system"
ASKS_FOR = {"integrated-terminal", "city-cs"}
"""Whose dialogues the gateway offers to the register as well."""
NOT_COME = "did-not-come"
"""Why a step that depends on the case is not needed."""


class StepState(enum.StrEnum):
    """What is said of a step."""

    WAITING = "waiting"
    DONE = "done"
    OVERDUE = "overdue"
    REFUSED = "refused"
    NOT_NEEDED = "not-needed"


ENDED = frozenset({StepState.DONE, StepState.NOT_NEEDED})


@dataclass(slots=True, kw_only=True)
class StepRow:
    """One step of an instance."""

    state: StepState = StepState.WAITING
    messages: list[str] = field(default_factory=list)
    due_at: float | None = None
    at: float | None = None
    """When it came to this state."""
    code: str | None = None
    """A stable code of why."""


@dataclass(slots=True, kw_only=True)
class Instance:
    """One case of a flow."""

    id: str
    flow: str
    subject: str | None
    begun_at: float
    changed_at: float
    closed_at: float | None = None
    steps: dict[str, StepRow] = field(default_factory=dict)
    completed_by: str | None = None
    reason: str | None = None
    part_of: str | None = None
    """The case that this one turned out to be part of."""

    @property
    def state(self) -> str:
        """``completed`` (by a person), ``overdue``, ``refused``, ``done`` or ``open``: the first that is so."""
        states = {each.state for each in self.steps.values()}
        if self.completed_by is not None:
            return "completed"
        for each in (StepState.OVERDUE, StepState.REFUSED):
            if each in states:
                return each.value
        return "open" if self.closed_at is None else "done"

    @property
    def due_at(self) -> float | None:
        """When it must be looked at next."""
        if self.closed_at is not None:
            return None
        waits = (each.due_at for each in self.steps.values() if each.state is StepState.WAITING and each.due_at is not None)
        return min(waits, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """One accepted message, as it goes to one party."""

    message_id: str
    type: str
    sender: str
    party: str
    subject: str | None
    at: float
    flow: str | None = None
    """The flow that its sender names."""
    after: str | None = None
    """The message that it replaces, or sends again."""
    whose: str | None = None
    """The system in the sense of the policy, where ``party`` is an account of it or hands it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of it there."""

    message_id: str
    type: str
    party: str
    state: StepState
    """WAITING: nothing final yet."""
    at: float
    code: str | None = None
    whose: str | None = None
    """As with :class:`Came`."""

    def is_of(self, step: FlowStep) -> bool:
        """It is about a delivery of this step, to the party itself or to an account of it."""
        return step.takes(self.type, self.party) or (self.whose is not None and step.takes(self.type, self.whose))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """How long is waited, in seconds."""

    within_s: float = 86_400.0
    settle_s: float = 86_400.0
    """A step that depends on the case is not needed when it has not come by then."""
    of: Mapping[str, float] = field(default_factory=dict)
    """Flow/step → within, where the city wants another time."""

    def within(self, flow: Flow, step: FlowStep) -> float:
        """For one step."""
        found = self.of.get(f"{flow.id}/{step.no}", step.within_s)
        return self.within_s if found is None else found


class Machine:
    """The declared flows at work.

    :param tracked: the steps of a flow that this installation carries.
    """

    def __init__(
        self, flows: Flows, tracked: Callable[[Flow], Collection[FlowStep]], make_id: Callable[[], str], spans: Spans | None = None
    ) -> None:
        self._flows = flows
        self._spans = spans or Spans()
        self._make_id = make_id
        self._tracked = {flow.id: {each.no: each for each in tracked(flow)} for flow in flows.all}

    def correlates(self, came: Came) -> bool:
        """It may belong to some flow."""
        return bool(self.flows_of(came))

    def flows_of(self, came: Came) -> list[str]:
        """The flows that it may belong to."""
        found = self._flows.steps_of(came.type, came.sender, came.party, came.whose)
        return [flow.id for flow, step in found if step.no in self._tracked[flow.id]]

    @property
    def tracked(self) -> tuple[str, ...]:
        """The flows of which this installation carries something."""
        return tuple(flow for flow, steps in self._tracked.items() if steps)

    def shared(self) -> frozenset[str]:
        """Flows that are tied to no resident: their open instances are candidates for every message."""
        return frozenset(flow.id for flow in self._flows.all if flow.correlate == "flow")

    # ---- a message comes -------------------------------------------------------------------------------------------------------------

    def take(self, came: Came, known: Sequence[Instance]) -> Instance | None:
        """Put a message into the instance that it belongs to. Returns that, changed or new; None: it is in no flow that is tracked.

        :param known: instances of its resident, open or begun a while ago, and the open ones of flows without a resident.
        """
        places = [
            (flow, step)
            for flow, step in self._flows.steps_of(came.type, came.sender, came.party, came.whose)
            if step.no in self._tracked[flow.id] and (came.flow is None or came.flow == flow.id)
        ]
        if not places:
            return None
        if came.after is not None:
            for instance in known:
                for flow, step in places:
                    if instance.flow == flow.id and came.after in instance.steps.get(step.no, StepRow()).messages:
                        instance.closed_at = None
                        return self._add(instance, flow, step, came)
        waiting = [
            (flow, step, each)
            for flow, step in places
            for each in known
            if each.flow == flow.id and _waits(each, step.no) and self._same(flow, each, came)
        ]
        if waiting:
            must = [each for each in waiting if not each[1].optional]
            flow, step, instance = min(must, key=_age) if must else max(waiting, key=_age)
            return self._add(instance, flow, step, came)
        chosen = next(((f, s) for f, s in places if s.begins or came.flow == f.id), None)
        if chosen is None:
            return None
        return self._begin(*chosen, came, known)

    @staticmethod
    def _same(flow: Flow, instance: Instance, came: Came) -> bool:
        if flow.correlate == "message":
            return False
        return flow.correlate == "flow" or (came.subject is not None and instance.subject == came.subject)

    def _begin(self, flow: Flow, step: FlowStep, came: Came, known: Sequence[Instance]) -> Instance:
        subject = came.subject if flow.correlate == "subject" else None
        made = Instance(id=self._make_id(), flow=flow.id, subject=subject, begun_at=came.at, changed_at=came.at)
        earlier = before(flow, step.no)
        for no in self._tracked[flow.id]:
            row = made.steps[no] = StepRow()
            if no in earlier:
                row.state, row.at, row.code = StepState.NOT_NEEDED, came.at, EARLIER
        for each in self._tracked[flow.id].values():
            self._wait(made, flow, each, came.at)
        self._add(made, flow, step, came)
        if subject is not None:
            self._share(made, flow, known)
        return made

    def _share(self, made: Instance, flow: Flow, known: Sequence[Instance]) -> None:
        """What came a moment before, and counts in a flow of its own so far, is part of this case as well."""
        for other in sorted(known, key=lambda each: each.begun_at):
            source = self._flows.by_id[other.flow]
            late = made.begun_at - other.begun_at > self._spans.settle_s
            if not source.shares or other.part_of is not None or other.subject != made.subject or late:
                continue
            for no, row in other.steps.items():
                of = source.step(no)
                for step in self._tracked[flow.id].values():
                    if step.type == of.type and step.receiver == of.receiver and _waits(made, step.no) and row.messages:
                        mine = made.steps[step.no]
                        mine.messages, mine.state, mine.at, mine.code = list(row.messages), row.state, row.at, row.code
                        other.part_of = made.id
                        self._settle(made, flow, made.begun_at)

    def _add(self, instance: Instance, flow: Flow, step: FlowStep, came: Came) -> Instance:
        row = instance.steps[step.no]
        if came.message_id not in row.messages:
            row.messages.append(came.message_id)
        if row.state is not StepState.OVERDUE:
            row.state, row.at, row.code = StepState.WAITING, came.at, None
            row.due_at = came.at + self._spans.within(flow, step)
        instance.changed_at = max(instance.changed_at, came.at)
        return instance

    # ---- it goes on ------------------------------------------------------------------------------------------------------------------

    def note(self, instance: Instance, fate: Fate) -> bool:
        """Write what became of a message. Returns whether anything changed."""
        flow = self._flows.by_id[instance.flow]
        changed = False
        if instance.completed_by is not None and fate.state is StepState.WAITING:
            return False  # a person has said what counts
        for no, row in instance.steps.items():
            step = flow.step(no)
            if step.answers is not None or not row.messages or row.messages[-1] != fate.message_id or not fate.is_of(step):
                continue
            state = StepState.OVERDUE if fate.state is StepState.WAITING and row.state is StepState.OVERDUE else fate.state
            if (row.state, row.code) != (state, fate.code):
                row.state, row.at, row.code, changed = state, fate.at, fate.code, True
        if changed:
            instance.changed_at = max(instance.changed_at, fate.at)
            if instance.completed_by is None:
                instance.closed_at = None
                self._settle(instance, flow, fate.at)
        return changed

    def exchanged(self, message_type: str, party: str, came: Came, state: StepState, code: str | None) -> Instance | None:
        """A dialogue: question and answer in one, over as soon as it is known.

        :param message_type: of the answer; ``party`` has it.
        """
        for flow, answer in self._flows.answers.get(message_type, ()):
            ends = {party} | (ASKS_FOR if party == REGISTER else set())
            if answer.no in self._tracked[flow.id] and answer.receiver in ends and came.flow in (None, flow.id):
                made = Instance(id=self._make_id(), flow=flow.id, subject=came.subject, begun_at=came.at, changed_at=came.at)
                for no, step in self._tracked[flow.id].items():
                    if step.mode == "request-reply":  # all of one exchange
                        made.steps[no] = StepRow(state=state, messages=[came.message_id], at=came.at, code=code)
                    else:
                        made.steps[no] = StepRow(state=StepState.NOT_NEEDED, at=came.at)
                made.closed_at = came.at
                return made
        return None

    def tick(self, instance: Instance, now: float) -> list[str]:
        """Time has passed. Returns the steps that have become overdue: an alert for each, once."""
        flow = self._flows.by_id[instance.flow]
        late = []
        for no, row in instance.steps.items():
            if row.state is not StepState.WAITING or row.due_at is None or row.due_at > now:
                continue
            if flow.step(no).optional and not row.messages:
                row.state, row.at, row.code = StepState.NOT_NEEDED, now, NOT_COME
            else:
                row.state, row.at = StepState.OVERDUE, now
                late.append(no)
            instance.changed_at = now
        self._settle(instance, flow, now)
        return late

    def complete(self, instance: Instance, actor: str, reason: str, now: float) -> None:
        """A person says that the rest was done by other means, or will not come."""
        for row in instance.steps.values():
            if row.state not in ENDED:
                row.state, row.at, row.code = StepState.NOT_NEEDED, now, "completed-by-hand"
        instance.completed_by, instance.reason = actor, reason
        instance.changed_at = instance.closed_at = now

    # ---- shared ----------------------------------------------------------------------------------------------------------------------

    def _wait(self, instance: Instance, flow: Flow, step: FlowStep, now: float) -> None:
        """Set until when a step is waited for, once everything before it has ended."""
        row = instance.steps[step.no]
        if row.state is not StepState.WAITING or row.due_at is not None or step.answers is not None:
            return
        if all(instance.steps[each].state in ENDED for each in step.after if each in instance.steps):
            row.due_at = now + (self._spans.settle_s if step.optional else self._spans.within(flow, step))

    def _settle(self, instance: Instance, flow: Flow, now: float) -> None:
        """What follows from the steps as they are: answers, waits that begin, the end."""
        steps = self._tracked[flow.id]
        for no, row in instance.steps.items():
            step = flow.step(no)
            if step.answers is not None and step.answers in instance.steps:
                of = instance.steps[step.answers]
                if row.state is not of.state:
                    row.state, row.at, row.code = of.state, of.at, of.code
            elif no in steps:
                self._wait(instance, flow, step, now)
        if instance.closed_at is None and all(_over(each) for each in instance.steps.values()):
            instance.closed_at = now


def _waits(instance: Instance, no: str) -> bool:
    """It is open, and the message of this step has not come."""
    row = instance.steps.get(no)
    return instance.closed_at is None and row is not None and not row.messages and row.state in (StepState.WAITING, StepState.OVERDUE)


def _over(row: StepRow) -> bool:
    return row.state in ENDED or (row.state is StepState.REFUSED and row.code in FINAL_REFUSALS)


FINAL_REFUSALS = frozenset({"skipped", "expired", "dialogue-refused"})
"""Codes of refusals that nothing changes any more; a rejected delivery is held, and may still be corrected."""


def _age(each: tuple[Flow, FlowStep, Instance]) -> tuple[float, str]:
    return each[2].begun_at, each[2].id


def open_first(instances: Iterable[Instance]) -> list[Instance]:
    """For people: what needs them first."""
    order = {"overdue": 0, "refused": 1, "open": 2}
    return sorted(instances, key=lambda each: (order.get(each.state, 3), each.begun_at))
