"""Temporary operation: files from the LGWAN terminal are batches of the adapter, and are erased once their import is confirmed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.application_management import ApplicationManagementAdapter
from adapters.mailbox import protocol
from gateway.contract import AdapterHost, CallNotSent, FetchFailed, HttpAnswer, RecordResult
from message_formats import samples, writing

pytestmark = [pytest.mark.control("C-1-7-19"), pytest.mark.flow("FS10-1")]


class NoLine:
    """The line is down: whoever uses it is told so."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        raise CallNotSent("connection-refused")

    async def probe(self) -> None:
        raise CallNotSent("connection-refused")


def adapter(spool: Path) -> ApplicationManagementAdapter:
    settings: dict[str, Any] = {"municipality": "272035", "spool": str(spool)}
    return ApplicationManagementAdapter(AdapterHost(settings=settings, http=NoLine()))


def batch_file(folder: Path, name: str = "portal-20260402.xml", *, tenant: str = "272035", records: int = 1) -> Path:
    xml = writing.write("application-data", samples.items("application-data", 1)).to_bytes().decode()
    file = folder / name
    file.write_text(
        f'<Batch xmlns="{protocol.NAMESPACE}" id="b-1" tenant="{tenant}" records="{records}"><Record id="R-1">{xml}</Record></Batch>'
    )
    return file


@pytest.mark.edge("FS10-1", "lgwan-terminal")
async def test_a_file_is_a_batch_and_nothing_of_it_is_left_after_its_import(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = batch_file(tmp_path)
    content = file.read_bytes()
    one = adapter(tmp_path)
    assert (await one.check())[0].ok
    [name] = await one.waiting(since=datetime(2026, 4, 2, tzinfo=UTC))
    batch = await one.fetch(name)
    assert [each.record_id for each in batch.records] == ["R-1"]
    assert b"ApplicationData" in batch.records[0].content
    assert file.read_bytes() == content, "fetching erases nothing: the import may still fail"
    same = os.open(file, os.O_RDONLY)  # the storage itself, after the name is gone
    try:
        await one.acknowledge(name, [RecordResult(record_id="R-1", outcome="accepted")])
        assert list(tmp_path.iterdir()) == []
        left = os.read(same, len(content))
    finally:
        os.close(same)
    assert b"ApplicationData" not in left
    assert len(left) == len(content)
    await one.acknowledge(name, [])  # again, by a gateway that does not remember
    assert await one.waiting(since=datetime(2026, 4, 2, tzinfo=UTC)) == []


@pytest.mark.control("C-1-2-22")
async def test_a_file_of_another_municipality_or_not_whole_is_refused_and_stays(tmp_path: Path) -> None:
    for spoilt, code in (({"tenant": "131016"}, "other-municipality"), ({"records": 2}, "batch-not-whole")):
        file = batch_file(tmp_path, **spoilt)  # type: ignore[arg-type]
        one = adapter(tmp_path)
        with pytest.raises(FetchFailed) as refused:
            await one.fetch(f"file:{file.name}")
        assert refused.value.code == code
        assert file.exists()


async def test_names_lead_nowhere_else_and_links_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "spool", tmp_path / "outside.xml"
    inside.mkdir(mode=0o700)
    outside.write_text("<Batch/>")
    (inside / "link.xml").symlink_to(outside)
    one = adapter(inside)
    assert await one.waiting(since=datetime(2026, 4, 2, tzinfo=UTC)) == []
    with pytest.raises(FetchFailed):
        await one.fetch("file:../outside.xml")
    with pytest.raises(FetchFailed):
        await one.acknowledge("file:link.xml", [])
    assert outside.read_text() == "<Batch/>"


async def test_a_folder_that_others_may_read_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    [finding] = await adapter(tmp_path).check()
    assert (finding.ok, finding.detail) == (False, "spool-open")
