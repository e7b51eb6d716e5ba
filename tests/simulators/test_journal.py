"""The journal: numbered, append only, readable again, and honest about what it cannot read."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from simulators.errors import JournalBusy, JournalDamaged
from simulators.journal import Entry, Journal, read_entries


def test_entries_come_back_in_order_with_seq_and_times(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    assert journal.append([{"kind": "effect", "n": 1}, {"kind": "effect", "n": 2}]) == 2
    assert journal.append([{"kind": "refused", "n": 3}]) == 3
    entries = journal.entries()
    assert [(entry["seq"], entry["n"]) for entry in entries] == [(1, 1), (2, 2), (3, 3)]
    assert all(entry["at"].endswith("Z") and entry["mono_ns"] > 0 for entry in entries)
    assert journal.entries(after=1, limit=1) == entries[1:2]
    assert journal.entries(after=3) == []
    assert list(read_entries(journal.path)) == entries


def test_one_append_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    writes: list[int] = []
    real = os.write

    def counting(file: int, data: bytes) -> int:
        writes.append(len(data))
        return real(file, data)

    monkeypatch.setattr(os, "write", counting)
    journal.append([{"kind": "effect", "n": n} for n in range(100)])
    assert len(writes) == 1


def test_reopening_gives_every_entry_and_goes_on_numbering(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append([{"kind": "effect"}] * 3)
    journal.close()
    seen: list[Entry] = []
    again = Journal(tmp_path / "j.jsonl", on_entry=seen.append)
    assert [entry["seq"] for entry in seen] == [1, 2, 3]
    assert again.append([{"kind": "effect"}]) == 4


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.append([{"kind": "effect"}])
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"seq":2,"kind":"eff')
    again = Journal(path)
    assert again.count == 1
    assert again.torn_bytes == 20
    again.append([{"kind": "effect", "after": True}])
    assert [entry["seq"] for entry in read_entries(path)] == [1, 2]


@pytest.mark.parametrize("damage", [b"not json\n", b'{"seq":3}\n', b"[1]\n"])
def test_damage_inside_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.append([{"kind": "effect"}])
    journal.close()
    with path.open("ab") as file:
        file.write(damage)
    with pytest.raises(JournalDamaged):
        Journal(path)
    with pytest.raises(JournalDamaged):
        list(read_entries(path))


def test_two_writers_are_refused(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j.jsonl")
    with pytest.raises(JournalBusy):
        Journal(tmp_path / "j.jsonl")
    first.close()
    Journal(tmp_path / "j.jsonl").close()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append([{"kind": "effect", "n": 1}])
    real = os.write
    calls: list[int] = []

    def full_disk(file: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) == 1:
            return real(file, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        journal.append([{"kind": "effect", "n": 2}])
    monkeypatch.setattr(os, "write", real)
    journal.append([{"kind": "effect", "n": 3}])
    assert [(entry["seq"], entry["n"]) for entry in read_entries(journal.path)] == [(1, 1), (2, 3)]


async def test_disk_sync_is_shared_by_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j.jsonl", sync="disk")
    syncs: list[int] = []
    real = os.fdatasync

    def counting(file: int) -> None:
        syncs.append(file)
        real(file)

    monkeypatch.setattr(os, "fdatasync", counting)

    async def call() -> None:
        journal.append([{"kind": "effect"}])
        await journal.settled()

    await asyncio.gather(*[call() for _ in range(50)])
    assert 1 <= len(syncs) <= 5


async def test_a_failing_disk_is_told_to_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j.jsonl", sync="disk")

    def broken(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    results = await asyncio.gather(journal.settled(), journal.settled(), return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError]


def test_a_reset_puts_the_old_journal_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append([{"kind": "effect"}])
    aside = journal.put_aside()
    assert len(list(read_entries(aside))) == 1
    assert journal.append([{"kind": "effect"}]) == 1
    with pytest.raises(JournalBusy):
        Journal(tmp_path / "j.jsonl")
