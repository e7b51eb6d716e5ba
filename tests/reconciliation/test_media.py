"""Output to media: by two persons, to configured places only, each on record. All residents are made up."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from message_formats import samples
from tests.world.kit import Whole

pytestmark = pytest.mark.slow
KIND = "destination-information"


async def renkei(whole: Whole, *arguments: str, operator: str = "operator-a", code: int = 0) -> Any:
    command = whole.town.renkei(*arguments, operator=operator)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, out.decode() + err.decode()
    return json.loads(out) if out.strip() else json.loads(err) if err.strip().startswith(b"{") else err.decode()


def records(folder: Path, first: int, kind: str = KIND) -> Path:
    file = folder / f"{first}.jsonl"
    lines = (json.dumps({"data": samples.message(kind, first + each).to_bytes().decode()}, ensure_ascii=False) for each in range(3))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


async def asked(whole: Whole, file: Path, medium: str, *more: str, kind: str = KIND, code: int = 6) -> Any:
    options = ("--target", "dvd", "--medium", medium, "--type", kind, "--reason", "the first extraction", "--json", *more)
    return await renkei(whole, "media", "ask", str(file), *options, code=code)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(KIND, marks=pytest.mark.flow("F2-7")),
        pytest.param("reconciliation-identity-data", marks=[pytest.mark.flow("F2-6"), pytest.mark.edge("F2-6", "medium")]),
    ],
)
@pytest.mark.control("C-1-3-27")
@pytest.mark.control("C-2-5-4")
@pytest.mark.control("C-2-5-6")
@pytest.mark.control("C-3-5-5")
@pytest.mark.control("C-3-5-6")
async def test_each_output_is_approved_and_leaves_a_work_record(whole: Whole, tmp_path: Path, kind: str) -> None:
    medium = whole.town.folder / "medium"
    before = len(list(medium.iterdir())), len(whole.record("medium-output-written"))
    for number in range(2):
        file, name = records(tmp_path, 10 * number, kind), f"DVD-{kind[:5]}-{number}"
        request = (await asked(whole, file, name, kind=kind))["request_id"]
        await renkei(whole, "media", "write", str(file), "--request", request, "--json", code=5)
        assert not list(medium.glob(f"*{name}*")), "nothing is written before it is approved"
        await renkei(whole, "approvals", "approve", request, "--yes", "--json", code=5)
        await renkei(whole, "approvals", "approve", request, "--yes", "--json", operator="operator-b")
        other = tmp_path / f"other-{number}.jsonl"
        other.write_bytes(file.read_bytes() + b"\n")
        await renkei(whole, "media", "write", str(other), "--request", request, "--json", code=5)
        done = await renkei(whole, "media", "write", str(file), "--request", request, "--json")
        assert Path(done["file"]).parent == medium
        assert Path(done["file"]).read_bytes() == file.read_bytes()
        await renkei(whole, "media", "write", str(file), "--request", request, "--json", code=5)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        record = next(each for each in (await renkei(whole, "media", "list", "--json"))["outputs"] if each["request_id"] == request)
        told = {name: record[name] for name in ("operator", "approved_by", "medium", "type", "count", "digest")}
        assert told == {
            "operator": "operator-a", "approved_by": "operator-b", "medium": name, "type": kind, "count": 3, "digest": digest,
        }  # fmt: skip
        assert record["ended_at"] is not None
    assert (len(list(medium.iterdir())), len(whole.record("medium-output-written"))) == (before[0] + 2, before[1] + 2)
    assert len(whole.rows("SELECT request_id FROM medium_output")) == before[1] + 2


@pytest.mark.control("C-1-3-27")
async def test_nothing_is_written_to_another_place_or_of_another_type(whole: Whole, tmp_path: Path) -> None:
    file = records(tmp_path, 50)
    assert "target-unknown" in json.dumps(await asked(whole, file, "USB-1", "--target", "/tmp", code=5))
    assert "type-not-for-target" in json.dumps(await asked(whole, file, "USB-1", "--type", "identity-information-update", code=5))
    codes = [each["code"] for each in whole.record("command-refused") if each.get("command") == "medium-output"]
    assert {"target-unknown", "type-not-for-target"} <= set(codes)
