"""The contract of every adapter, as tests: through each fault of its party it says what is true, and a repetition heals it.

For each fault: put it on the simulator, deliver once, and hold the outcome against the party's own journal:

- *delivered*, unless the party itself says duplicate, means that it took effect, once;
- *rejected*, *retry later*, *party down* and a refused call mean that it had no effect;
- everything that an observer without the journal could not tell is *unknown*;

and then, the fault gone, deliver what is open again with the same ids: in the end each record has taken effect exactly once (I2).

An adapter's project runs the suite with a file of a few lines::

    from gateway.testing.contract import AdapterContract
    from gateway.testing.simulation import find_simulations, running

    @pytest.fixture(scope="module", params=find_simulations())
    def simulator(request, tmp_path_factory):
        with running(request.param, tmp_path_factory.mktemp("simulator")) as simulator:
            yield simulator

    class TestAdapters(AdapterContract): ...
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.contract import Adapter, Delivered, Envelope, Outcome, PartyDown, Rejected, RejectedCall, RetryLater, Unknown
from gateway.testing.simulation import Simulator

SEVERAL = 3
"""Records in a call of several."""
_SERIALS = itertools.count(1)
_NO_EFFECT = (Rejected, RejectedCall, RetryLater, PartyDown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which a party fails, and what the adapter must say of each record."""

    name: str
    put: Mapping[str, Any]
    says: tuple[type, ...]
    several: tuple[type, ...] | None = None
    """For a call of several records, one for each in any order; ``None``: the same for all."""
    single: bool = True
    """Whether it makes sense with one record."""
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    signatures: bool = False
    """For parties whose messages are signed."""
    lasts: bool = False
    """It goes on acting while the records are sent again: it must end by itself."""

    def expected(self, count: int) -> list[str]:
        """Names of the outcomes, sorted."""
        says = self.several if count > 1 and self.several is not None else self.says * count
        return sorted(each.__name__ for each in says)


def _both(kind: str, **more: Any) -> list[Fault]:
    """A fault that strikes before the effect, or after it."""
    return [
        Fault(name=f"{kind}-{when}-effect", put={"kind": kind, "takes_effect": effect, **more}, says=(Unknown,))
        for when, effect in (("before", False), ("after", True))
    ]


def _garbage(variant: str, several: tuple[type, ...] | None = None) -> Fault:
    return Fault(name=f"garbage-{variant}", put={"kind": "garbage", "variant": variant}, says=(Unknown,), several=several)


def _badly_signed() -> list[Fault]:
    """An answer that says the right thing and does not prove who says it, for parties whose messages are signed."""
    variants = ("unsigned", "wrong-signer", "broken-digest", "replayed", "expired")
    return [
        Fault(name=f"signature-{each}", put={"kind": "signature", "variant": each}, says=(Unknown,), signatures=True) for each in variants
    ]


FAULTS: tuple[Fault, ...] = (
    Fault(name="none", put={}, says=(Delivered,)),
    Fault(
        name="refuse",
        put={"kind": "refuse", "code": "E203", "times": 1},
        says=(Rejected,),
        several=(Rejected, *[Delivered] * (SEVERAL - 1)),
    ),
    Fault(name="http-503", put={"kind": "http-503", "retry_after_s": 2}, says=(PartyDown,)),
    Fault(name="soap-client", put={"kind": "soap-client"}, says=(RejectedCall,)),
    Fault(name="soap-busy", put={"kind": "soap-busy"}, says=(RetryLater,)),
    *_both("http-500"),
    *_both("soap-server"),
    *_both("time-out"),
    *_both("reset"),
    *_both("half-open"),
    *_both("slow-drip"),
    *_both("oversize", size_bytes=4 << 20),
    Fault(name="late-effect", put={"kind": "late-effect", "delay_s": 1.2, "times": 1}, says=(Unknown,), lasts=True),
    _garbage("not-xml"),
    _garbage("empty"),
    _garbage("truncated"),
    _garbage("other-schema"),
    _garbage("wrong-relates-to"),
    _garbage("other-delivery"),
    _garbage("missing-result", (*[Delivered] * (SEVERAL - 1), Unknown)),
    *_badly_signed(),
    Fault(name="duplicate-answer", put={"kind": "duplicate-answer", "takes_effect": True}, says=(Delivered,)),
    Fault(name="duplicate-without-effect", put={"kind": "duplicate-answer", "takes_effect": False}, says=(Delivered,)),
    Fault(name="reordered", put={"kind": "reordered"}, says=(Delivered,), single=False),
    Fault(name="down", put={"kind": "down"}, says=(PartyDown,), endpoint={"call_s": 5.0}),
    Fault(name="wrong-certificate", put={"kind": "wrong-certificate"}, says=(PartyDown,)),
    Fault(name="silent", put={"kind": "silent"}, says=(PartyDown,), endpoint={"connect_s": 0.2, "call_s": 5.0}),
)


async def examine(simulator: Simulator, fault: Fault, count: int, made: type[Adapter] | None = None) -> None:
    """Lead ``count`` records through ``fault``; ``made`` is a variant of the adapter, to see that the suite convicts it.

    :raises AssertionError: the adapter said what is not so, or the records did not each take effect once in the end.
    """
    simulator.clear()
    envelopes = [simulator.simulation.record(next(_SERIALS)) for _ in range(count)]
    adapter, http = simulator.adapter(made, **fault.endpoint)
    try:
        if fault.put:
            simulator.put(fault.put)
        outcomes = await _deliver(adapter, envelopes)
        assert sorted(type(each).__name__ for each in outcomes) == fault.expected(count), outcomes
        for envelope, outcome in zip(envelopes, outcomes, strict=True):
            _hold_against_journal(simulator, envelope, outcome)
        if not fault.lasts:
            simulator.clear()
        await _heal(simulator, adapter, envelopes, outcomes)
        if fault.lasts:
            await _until(lambda: all(simulator.decided(each.delivery_id) >= 2 for each in envelopes))
        for envelope in envelopes:
            assert simulator.effects(envelope.delivery_id) == 1, "each record takes effect once, however often it is sent"
    finally:
        await adapter.close()
        await http.close()


async def _deliver(adapter: Adapter, envelopes: Sequence[Envelope]) -> list[Outcome]:
    try:
        outcomes = list(await adapter.deliver(envelopes))
    except Exception as error:
        raise AssertionError(f"an adapter raises nothing on purpose, but {type(error).__name__} escaped") from error
    assert len(outcomes) == len(envelopes), "one outcome for each record, in order"
    return outcomes


def _hold_against_journal(simulator: Simulator, envelope: Envelope, outcome: Outcome) -> None:
    effects = simulator.effects(envelope.delivery_id)
    if isinstance(outcome, Delivered) and not outcome.duplicate:
        assert effects == 1, "said delivered, but it did not take effect"
    if isinstance(outcome, _NO_EFFECT):
        assert effects == 0, f"said {type(outcome).__name__}, but it took effect"


async def _heal(simulator: Simulator, adapter: Adapter, envelopes: Sequence[Envelope], outcomes: Sequence[Outcome]) -> None:
    """Send again, alone, whatever has no proven effect: as after a void claim."""
    for envelope, outcome in zip(envelopes, outcomes, strict=True):
        if isinstance(outcome, Delivered) and not outcome.duplicate:
            continue
        unanswered = isinstance(outcome, Unknown)
        again = dataclasses.replace(envelope, attempt=2, resent=unanswered)
        [healed] = await _deliver(adapter, [again])
        assert isinstance(healed, Delivered), f"after the fault: {healed}"
        _hold_against_journal(simulator, again, healed)


async def _until(condition: Any, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the party did not come to a decision in time"
        await asyncio.sleep(0.02)


class AdapterContract:
    """The tests. A subclass named ``Test…`` and a fixture ``simulator`` (:class:`~gateway.testing.simulation.Simulator`) run it."""

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
    async def test_one_record(self, simulator: Simulator, fault: Fault) -> None:
        """One record through one fault."""
        if fault.single and simulator.knows(fault.name, signatures=fault.signatures):
            await examine(simulator, fault, 1)

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
    async def test_several_records(self, simulator: Simulator, fault: Fault) -> None:
        """Several records in one call through one fault, where the party takes several."""
        if simulator.simulation.adapter.manifest.limits.records_per_call >= SEVERAL and simulator.knows(
            fault.name, signatures=fault.signatures
        ):
            await examine(simulator, fault, SEVERAL)

    async def test_refused_by_the_party_s_own_rules(self, simulator: Simulator) -> None:
        """A refusal names its code, has no effect, and holds nobody else in the call."""
        simulator.clear()
        bad, good = simulator.simulation.refused(next(_SERIALS)), simulator.simulation.record(next(_SERIALS))
        adapter, http = simulator.adapter()
        try:
            batch = [bad, good] if adapter.manifest.limits.records_per_call > 1 else [bad]
            outcomes = await _deliver(adapter, batch)
        finally:
            await http.close()
        assert isinstance(outcomes[0], Rejected)
        assert outcomes[0].code
        assert simulator.effects(bad.delivery_id) == 0
        assert all(isinstance(each, Delivered) for each in outcomes[1:])

    async def test_repetition_of_what_took_effect(self, simulator: Simulator) -> None:
        """The party says duplicate, and the adapter passes that on."""
        simulator.clear()
        envelope = simulator.simulation.record(next(_SERIALS))
        adapter, http = simulator.adapter()
        try:
            first = await _deliver(adapter, [envelope])
            second = await _deliver(adapter, [dataclasses.replace(envelope, attempt=2, resent=True)])
        finally:
            await http.close()
        assert [type(each) for each in (*first, *second)] == [Delivered, Delivered]
        if adapter.manifest.duplicates is not None:
            assert isinstance(second[0], Delivered)
            assert second[0].duplicate
            assert simulator.effects(envelope.delivery_id) == 1

    async def test_check_tells_reachable_from_not(self, simulator: Simulator) -> None:
        """``check`` is well when the party is, names what is wrong otherwise, and has no effect."""
        simulator.clear()
        for fault, well in ((None, True), ("down", False), ("wrong-certificate", False)):
            if fault is not None:
                simulator.put({"kind": fault})
            adapter, http = simulator.adapter()
            findings = await adapter.check()
            await http.close()
            assert findings
            assert all(each.ok for each in findings) is well
            assert well or all(each.remedy for each in findings if not each.ok)
            simulator.clear()

    def test_manifest_is_consistent(self, simulator: Simulator) -> None:
        """What the host relies on."""
        manifest = simulator.simulation.adapter.manifest
        assert manifest.name
        assert manifest.party
        assert manifest.message_types
        assert manifest.description_en
        assert manifest.description_ja
        assert 0 < manifest.limits.call_s <= 120
        if manifest.duplicates is not None:
            open_s = 2.0 + 120.0 + manifest.settle_s
            assert manifest.duplicates.memory_s > open_s, "a party's memory of ids must exceed the time an attempt may stay open (R9)"
        if manifest.queries is not None:
            assert simulator.simulation.adapter.query is not Adapter.query
