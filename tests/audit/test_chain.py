"""The chain over the audit entries (R22): complete, one after the other, signed, and seen through when touched."""

from __future__ import annotations

import pytest

from tests.audit.kit import Record

pytestmark = [pytest.mark.rule("R22"), pytest.mark.invariant("I8")]


async def test_what_was_committed_is_chained_in_blocks_and_signed(record: Record) -> None:
    await record.write("accepted", "provided", count=3)
    await record.chainer.once()
    await record.write("refused", count=900)
    await record.chainer.once(reason="shutdown")
    report = record.verify()
    assert report.ok, report.findings
    assert (report.entries, report.blocks, report.unchained) == (906, 4, 0)
    assert report.signed_to == report.last_block == 4
    assert report.keys == {record.pin(): "pinned"}
