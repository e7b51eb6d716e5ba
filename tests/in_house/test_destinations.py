"""Resident information to the accounts of business systems, the Board of Education and the tax system: by work, filtered, on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.loading import packaged, packaged_text, with_sample_approvals
from tests.in_house.kit import PULL, PULL_WORK, QUEUES, InHouse, message
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LINK, TRANSFER = "internal-link-system", "resident-info-transfer"


def approved(work: str) -> set[str]:
    (permission,) = with_sample_approvals().by_work[work]
    return set(permission.items)


def approvals(folder: Path, **changes: dict[str, Any] | None) -> Path:
    """The sample approvals, with changes (``transfer_2=None`` takes one away), as a file to be applied."""
    document = json.loads(with_sample_approvals().document)
    rows = document["approvals"]
    for name, change in changes.items():
        work = name.replace("_", "-")
        if change is None:
            rows.pop(work)
        else:
            rows[work] = {**rows[work], **change}
    file = folder / "approvals.json"
    file.write_text(json.dumps({"name": "sample-approvals", "sample": True, "approvals": rows}), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
async def permitted(house: InHouse, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InHouse]:
    """The sample approvals count."""
    file = tmp_path_factory.mktemp("approvals") / "approvals.yaml"
    file.write_text(packaged_text("approvals-sample.yaml"), encoding="utf-8")
    await house.apply(file)
    yield house


@pytest.fixture
async def systems(permitted: InHouse) -> AsyncIterator[InHouse]:
    """Every system with a queue runs."""
    await permitted.open(*QUEUES)
    yield permitted
    await permitted.close()


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
@pytest.mark.control("C-1-3-1")
@pytest.mark.parametrize(
    ("work", "account"),
    [("transfer-2", "welfare-account"), ("transfer-3", "welfare-account"), ("transfer-9", "tax-system"), ("file1-provision-2", "education-board-system")],
)
async def test_a_work_reaches_its_account_with_exactly_the_approved_items(systems: InHouse, work: str, account: str) -> None:
    receipt = await systems.send(LINK, TRANSFER, message(TRANSFER, 3), work=work)
    assert receipt["status"] == "accepted", receipt
    row = await systems.until_state(receipt["id"], account, "delivered")
    assert set(systems.deliveries(receipt["id"])) == {account}
    assert row["stream"] == work
    [effect] = [each for each in systems.effects(account) if each["delivery"] == row["id"]]
    assert set(effect["items"]) == approved(work)
    assert effect["work"] == work
    record = systems.provision(receipt["id"])
    assert (record["outcome"], record["party"], record["work"]) == ("provided", account, work)
    assert set(record["terms"]["items"]) == approved(work)
    if work == "file1-provision-2":
        assert packaged().works[work].kind == "provision"
        assert any("住" in cite for cite in record["terms"]["basis"])
