"""The table of exchanges and queues."""

from __future__ import annotations

import dataclasses
import re

import pytest

from gateway.broker import BrokerEndpoint, topology
from gateway.errors import BrokerUnavailable, ConfigurationError
from tests.support.broker import Names

REMOVED_OR_NEW = {"x-queue-mode", "x-ha-policy", "x-max-in-memory-length", "x-max-in-memory-bytes", "x-dead-letter-exchange"}


def test_every_queue_is_a_quorum_queue_with_every_limit_set() -> None:
    top = topology.build(systems=["resident-record-system"], parties=["city-cs", "prefecture-server"])
    assert {queue.name for queue in top.queues} == {
        "intake.resident-record-system",
        "receipts.resident-record-system",
        "work.city-cs.live",
        "work.city-cs.bulk",
        "work.prefecture-server.live",
        "work.prefecture-server.bulk",
    }
    wanted = {"x-queue-type", "x-max-length", "x-max-length-bytes", "x-overflow", "x-delivery-limit", "x-quorum-initial-group-size"}
    for queue in top.queues:
        assert wanted <= set(queue.arguments), queue.name
        assert not REMOVED_OR_NEW & set(queue.arguments), queue.name
        assert queue.arguments["x-queue-type"] == "quorum"
        assert ("x-single-active-consumer" in queue.arguments) == queue.name.startswith("intake.")
        assert queue.expendable == queue.name.startswith("work.")
    bound = {(one.exchange, one.routing_key, one.queue) for one in top.bindings}
    assert ("work", "city-cs.bulk", "work.city-cs.bulk") in bound
    assert ("receipts", "resident-record-system", "receipts.resident-record-system") in bound
    assert ("intake.resident-record-system", "in", "intake.resident-record-system") in bound
    assert len(bound) == len(top.queues)


@pytest.mark.invariant("I6")
def test_a_systems_permissions_match_its_own_names_only() -> None:
    granted = topology.system_permissions("register")
    assert re.search(granted.write, "intake.register")
    assert re.search(granted.read, "receipts.register")
    for name in ("intake.register2", "intake.other", "intakeXregister", "work", "receipts", "amq.default", "", "receipts.register"):
        assert not re.search(granted.write, name), name
    for name in ("intake.register", "receipts.register2", "work.city-cs.live", "xreceipts.register"):
        assert not re.search(granted.read, name), name
    for name in ("intake.register", "anything"):
        assert not re.search(granted.configure, name)


@pytest.mark.parametrize("name", ["", ".*", "a.b", "A", "register\n", "x" * 64, "-x", "住民"])
def test_names_that_could_reach_into_a_pattern_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        topology.build(systems=[name], parties=[])
    with pytest.raises(ConfigurationError):
        topology.build(systems=[], parties=[name])


@pytest.mark.slow
async def test_declaring_twice_changes_nothing_and_another_property_is_named(endpoint: BrokerEndpoint, declared: Names) -> None:
    await topology.declare(endpoint, declared.topology)
    queues = [
        dataclasses.replace(queue, arguments={**queue.arguments, "x-delivery-limit": 7}) if queue.name == declared.live else queue
        for queue in declared.topology.queues
    ]
    other = dataclasses.replace(declared.topology, queues=tuple(queues))
    with pytest.raises(ConfigurationError) as caught:
        await topology.declare(endpoint, other)
    assert caught.value.code == "broker-topology-differs"
    assert declared.live in caught.value.safe_detail
    assert f"rabbitmqctl delete_queue {declared.live}" in caught.value.safe_detail


@pytest.mark.slow
async def test_only_work_queues_are_recreated(endpoint: BrokerEndpoint, declared: Names) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await topology.recreate(endpoint, declared.topology, declared.intake)
    assert caught.value.code == "broker-queue-not-expendable"
    with pytest.raises(ConfigurationError):
        await topology.recreate(endpoint, declared.topology, "work.unknown.live")


@pytest.mark.slow
async def test_the_depth_of_a_queue_that_is_not_there(endpoint: BrokerEndpoint) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        await topology.depth(endpoint, "work.nobody.live")
    assert caught.value.code == "broker-not-found"


def test_a_system_that_has_messages_from_us_has_its_queues_and_no_others() -> None:
    top = topology.build(systems=["register"], parties=[], consumers=["register"])
    kinds = {queue.name: queue.arguments["x-queue-type"] for queue in top.queues}
    assert kinds == {
        "intake.register": "quorum",
        "receipts.register": "quorum",
        "in-house.register": "quorum",
        "acks.register": "quorum",
        "replies.register": "classic",
        "dialogues.register": "classic",  # worth nothing after seconds
    }
    assert all("x-max-length" in queue.arguments for queue in top.queues)
    granted = top.users["register"]
    for name, write, read in (
        ("in-house.register", False, True),
        ("dialogues.register", False, True),
        ("acks.register", True, False),
        ("answers.register", True, False),
        ("answers.register.0a1b2c3d4e5f6a7b", False, False),
        ("in-house", False, False),
        ("in-house.another", False, False),
        ("acks.another", False, False),
    ):
        assert (bool(re.fullmatch(granted.write, name)), bool(re.fullmatch(granted.read, name))) == (write, read), name
    assert top.queue("acks.register").expendable is False
    [answers] = topology.answers_topology("register", "0a1b").queues
    assert (answers.name, answers.expendable, "x-expires" in answers.arguments) == ("answers.register.0a1b", True, True)
