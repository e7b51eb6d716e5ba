"""Faults on command: what a party does wrong, when, and for how long.

A *fault* has a kind (the table :data:`KINDS`), the parameters of that kind, and a rule that says which calls or records it meets: the next
``times``, those of one resident (``resident``, a reference, see :mod:`simulators.references`) or with one key (``key``: delivery id or
依頼管理番号), a share ``rate`` of all, for ``for_s`` seconds. The first fault on the board that applies is taken.

Chance is decided by a digest of (seed, fault, key, how often this key was seen), never by a running generator: the same traffic meets the
same faults, in whatever order it arrives.

A *script* (YAML) puts faults on the board at a time or after a number of calls or effects.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.errors import BadFault

Level = Literal["record", "call", "listener"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault: where it acts, what it does, and its own parameters with their defaults."""

    name: str
    level: Level
    meaning: str
    parameters: tuple[str, ...] = ()
    takes_effect: bool | None = None
    """Default of ``takes_effect``: whether the call is carried out (and journalled) all the same; ``None``: that is not for choice."""


def _table(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


KINDS = _table(
    Kind(name="refuse", level="record", meaning="the record is refused with `code`", parameters=("code",)),
    Kind(name="duplicate-answer", level="record", meaning="the answer says duplicate although it is none", takes_effect=True),
    Kind(name="http-500", level="call", meaning="HTTP 500 without a SOAP fault", takes_effect=False),
    Kind(name="http-503", level="call", meaning="HTTP 503 with Retry-After, before processing", parameters=("retry_after_s",)),
    Kind(name="soap-client", level="call", meaning="SOAP fault Client with `code`: the whole call is refused", parameters=("code",)),
    Kind(name="soap-busy", level="call", meaning="SOAP fault Server, busy: nothing had effect"),
    Kind(name="soap-server", level="call", meaning="SOAP fault Server with `code`: no one knows", parameters=("code",), takes_effect=False),
    Kind(
        name="time-out",
        level="call",
        meaning="no answer for `hold_s`, then the connection ends",
        parameters=("hold_s",),
        takes_effect=False,
    ),
    Kind(name="late-effect", level="call", meaning="carried out `delay_s` later, whoever still waits", parameters=("delay_s",)),
    Kind(name="garbage", level="call", meaning="an answer that is none, see `variant`", parameters=("variant",), takes_effect=True),
    Kind(
        name="slow-drip",
        level="call",
        meaning="the answer comes in pieces of `chunk_bytes`, one each `interval_s`",
        parameters=("interval_s", "chunk_bytes"),
        takes_effect=True,
    ),
    Kind(name="reset", level="call", meaning="the connection is reset (RST)", takes_effect=False),
    Kind(name="half-open", level="call", meaning="the peer vanished: no answer, no end, until cleared", takes_effect=False),
    Kind(name="oversize", level="call", meaning="an answer blown up to `size_bytes`", parameters=("size_bytes",), takes_effect=True),
    Kind(name="reordered", level="call", meaning="the results come in another order"),
    Kind(
        name="signature",
        level="call",
        meaning="the answer is right and its signature is not, see `variant`",
        parameters=("variant",),
        takes_effect=True,
    ),
    Kind(name="down", level="listener", meaning="the listener is closed and all connections are cut"),
    Kind(name="wrong-certificate", level="listener", meaning="new connections see the certificate of somebody else"),
    Kind(name="silent", level="listener", meaning="connections are taken and never answered, not even the handshake"),
)

GARBAGE = ("not-xml", "empty", "truncated", "other-schema", "wrong-relates-to", "other-delivery", "missing-result")
"""Variants of ``garbage``. The last four are made by the party, which knows its protocol."""

SIGNATURES = ("unsigned", "wrong-signer", "broken-digest", "replayed", "expired")
"""Variants of ``signature``, for parties whose messages are signed."""


class FaultSpec(BaseModel):
    """A fault as it is put on the board (control API, script). Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    times: int | None = Field(default=None, ge=1)
    """Meets the next n only; ``None``: until it is taken away."""
    skip: int = Field(default=0, ge=0)
    """Lets the first n pass that it would meet."""
    rate: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    resident: str | None = None
    key: str | None = None
    for_s: float | None = Field(default=None, gt=0)
    takes_effect: bool | None = None
    code: str | None = None
    variant: str = "not-xml"
    retry_after_s: int = Field(default=1, ge=0)
    hold_s: float = Field(default=60, gt=0)
    delay_s: float = Field(default=2, ge=0)
    interval_s: float = Field(default=0.2, gt=0)
    chunk_bytes: int = Field(default=16, ge=1)
    size_bytes: int = Field(default=64 * 1024 * 1024, ge=1)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> FaultSpec:
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ValueError(f"unknown kind; known: {', '.join(KINDS)}")
        own = {"code", "variant", "retry_after_s", "hold_s", "delay_s", "interval_s", "chunk_bytes", "size_bytes"}
        if stray := sorted((self.model_fields_set & own) - set(kind.parameters)):
            raise ValueError(f"{self.kind} has no parameter {', '.join(stray)}")
        if self.takes_effect is not None and kind.takes_effect is None:
            raise ValueError(f"{self.kind} has no parameter takes_effect")
        if self.kind == "refuse" and not self.code:
            raise ValueError("refuse needs a code")
        variants = SIGNATURES if self.kind == "signature" else GARBAGE
        if self.variant not in variants:
            raise ValueError(f"unknown variant; known: {', '.join(variants)}")
        if kind.level == "listener" and self.model_fields_set - {"kind", "for_s"}:
            raise ValueError(f"{self.kind} takes for_s only")
        return self


def fault_spec(raw: Any) -> FaultSpec:
    """Read one fault.

    :raises BadFault: naming the first thing wrong, without echoing values.
    """
    try:
        return FaultSpec.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadFault("fault-invalid", f"{place}: {first['msg']}" if place else first["msg"]) from error


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault on the board."""

    id: str
    spec: FaultSpec
    kind: Kind
    put_at: float
    takes_effect: bool
    met: int = 0
    passed: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the fault is taken away: whoever is held by it goes on."""
    _seen: Counter[str] = field(default_factory=Counter)

    @property
    def used_up(self) -> bool:
        return self.spec.times is not None and self.met >= self.spec.times

    def expired(self, now: float) -> bool:
        return self.spec.for_s is not None and now - self.put_at >= self.spec.for_s

    def applies(self, subjects: Iterable[tuple[str, str, str]], seed: int) -> bool:
        """Whether it meets a call or record; counts it if so. ``subjects``: (resident reference, delivery id, control number) each."""
        fitting = next((subject for subject in subjects if self._fits(subject)), None)
        if fitting is None or not self._drawn(fitting[2] or fitting[1], seed):
            return False
        if self.passed < self.spec.skip:
            self.passed += 1
            return False
        self.met += 1
        return True

    def _fits(self, subject: tuple[str, str, str]) -> bool:
        reference, delivery_id, control_number = subject
        if self.spec.resident is not None and self.spec.resident != reference:
            return False
        return self.spec.key is None or self.spec.key in (delivery_id, control_number)

    def _drawn(self, key: str, seed: int) -> bool:
        if self.spec.rate is None:
            return True
        self._seen[key] += 1
        chosen = self.spec.seed if self.spec.seed is not None else seed
        digest = hashlib.blake2b(f"{chosen}\x00{self.spec.kind}\x00{key}\x00{self._seen[key]}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.spec.rate * 2**64

    def shown(self) -> dict[str, Any]:
        """As the control API shows it."""
        return {"id": self.id, "met": self.met, "meaning": self.kind.meaning, **self.spec.model_dump(exclude_unset=True)}


Subject = tuple[str, str, str]
"""What a fault may look at in a record: (resident reference, delivery id, request control number)."""


class FaultBoard:
    """The faults that are active now. Belongs to the event loop."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._faults: dict[str, Fault] = {}
        self._spent: list[Fault] = []
        self._numbers = itertools.count(1)
        self.met_total: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._faults)

    def put(self, spec: FaultSpec) -> Fault:
        """Put a fault on the board; it acts from the next call on."""
        kind = KINDS[spec.kind]
        effect = spec.takes_effect if spec.takes_effect is not None else bool(kind.takes_effect)
        fault = Fault(id=f"f{next(self._numbers)}", spec=spec, kind=kind, put_at=time.monotonic(), takes_effect=effect)
        self._faults[fault.id] = fault
        return fault

    def take_away(self, fault_id: str) -> bool:
        """Remove one and release whom it holds; says whether it was there."""
        spent = [fault for fault in self._spent if fault.id == fault_id]
        self._spent = [fault for fault in self._spent if fault.id != fault_id]
        active = self._faults.pop(fault_id, None)
        for fault in (*spent, *([active] if active else ())):
            fault.gone.set()
        return bool(spent) or active is not None

    def clear(self) -> int:
        """Remove all and release whom they hold; returns how many were active."""
        count = len(self._faults)
        for fault in (*self._faults.values(), *self._spent):
            fault.gone.set()
        self._faults.clear()
        self._spent.clear()
        return count

    def active(self) -> list[Fault]:
        """All that are active, oldest first; drops those that are used up or over."""
        now = time.monotonic()
        for fault in [fault for fault in self._faults.values() if fault.used_up or fault.expired(now)]:
            self._spent.append(self._faults.pop(fault.id))
        return list(self._faults.values())

    def for_call(self, subjects: Sequence[Subject]) -> Fault | None:
        """The fault that meets this call, if any."""
        return self._first("call", subjects)

    def for_record(self, subject: Subject) -> Fault | None:
        """The fault that meets this record, if any."""
        return self._first("record", (subject,))

    def _first(self, level: Level, subjects: Sequence[Subject]) -> Fault | None:
        if not self._faults:
            return None
        now = time.monotonic()
        for fault in self._faults.values():
            if fault.kind.level != level or fault.used_up or fault.expired(now):
                continue
            if fault.applies(subjects, self.seed):
                self.met_total[fault.kind.name] += 1
                return fault
        return None

    def listener_mode(self) -> str:
        """``up``, or the kind of the newest listener fault."""
        modes = [fault.kind.name for fault in self.active() if fault.kind.level == "listener"]
        return modes[-1] if modes else "up"


class Step(BaseModel):
    """One step of a script: when, and what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_s: float | None = Field(default=None, ge=0)
    """Seconds since the script was started."""
    after_calls: int | None = Field(default=None, ge=0)
    after_effects: int | None = Field(default=None, ge=0)
    put: dict[str, Any] | None = None
    clear: bool = False

    @model_validator(mode="after")
    def _one_of_each(self) -> Step:
        if sum(value is not None for value in (self.after_s, self.after_calls, self.after_effects)) != 1:
            raise ValueError("give exactly one of after_s, after_calls, after_effects")
        if (self.put is None) == (not self.clear):
            raise ValueError("give either put or clear")
        if self.put is not None:
            fault_spec(self.put)
        return self


class Script(BaseModel):
    """A script: steps in the order in which they are taken, each when its condition holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    steps: tuple[Step, ...]


def read_script(path: Path) -> Script:
    """Read a YAML script.

    :raises BadFault: the script cannot be understood; says which step.
    """
    try:
        return Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except BadFault as error:
        raise BadFault("script-invalid", f"{path.name}: {error.detail}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise BadFault("script-invalid", f"{path.name}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    except yaml.YAMLError as error:
        raise BadFault("script-invalid", f"{path.name} is not YAML") from error


class ScriptRun:
    """Takes the steps of a script as time and counts go on; :meth:`due` is pure but for its own position."""

    def __init__(self, script: Script) -> None:
        self._steps = list(script.steps)

    @property
    def over(self) -> bool:
        return not self._steps

    def due(self, *, elapsed_s: float, calls: int, effects: int) -> list[Step]:
        """The steps whose turn it is now, in order; a step waits for those before it."""
        taken: list[Step] = []
        while self._steps:
            step = self._steps[0]
            reached = (
                (step.after_s is not None and elapsed_s >= step.after_s)
                or (step.after_calls is not None and calls >= step.after_calls)
                or (step.after_effects is not None and effects >= step.after_effects)
            )
            if not reached:
                break
            taken.append(self._steps.pop(0))
        return taken
