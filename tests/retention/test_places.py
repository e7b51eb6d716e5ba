"""Files have a time as well: backups, exports, notes and logs are disposed of by the table, on record (C-1-7-17, C-1-7-19)."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from gateway.bootstrap.retention import _end_backup_keys, retention_of
from gateway.config import load
from gateway.keyring import key_store
from gateway.ledger import tables as t
from gateway.security.keys import Kind
from tests.backup.conftest import town
from tests.backup.kit import OTHER, Town
from tests.retention.test_keeper import admit

__all__ = ["town"]
pytestmark = pytest.mark.invariant("I9")
DAY = 86_400.0


def config_of(folder: Path) -> Path:
    file = folder / "config.yaml"
    file.write_text(f"data_dir: {folder}/var\nprofile: test\nretention: {{exports: [{folder}/out]}}\n", encoding="utf-8")
    return file


def old(path: Path, days: float, content: bytes = b"fictitious") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


@pytest.mark.control("C-1-7-17")
@pytest.mark.control("C-1-7-16")
@pytest.mark.control("C-1-7-19")
async def test_old_backups_exports_notes_and_logs_are_disposed_of(town: Town) -> None:
    folder = town.folder
    keeping = retention_of(load(config_of(folder), environment={}))
    told: list[str] = []
    town.keeper._keeping = dataclasses.replace(
        town.keeper.keeping, folders=keeping.folders, disposed=lambda path: told.append(path.name)
    )  # fmt: skip
    var = folder / "var"
    gone = [
        old(var / "backups" / "a.renkei-backup", 31), old(var / "backups" / "a.manifest.json", 31),
        old(var / "backups" / ".b.renkei-backup.partial", 31), old(folder / "out" / "taken" / "chain.txt", 31),
        old(var / "submit" / "note", 91), old(var / "log" / "gateway.log.1", 366),
    ]  # fmt: skip
    stay = [
        old(var / "backups" / "c.renkei-backup", 29), old(var / "backups" / "another-thing", 99), old(folder / "out" / "new" / "x", 1),
        old(var / "log" / "gateway.log", 1),
    ]  # fmt: skip
    os.symlink(folder / "erasures.jsonl", folder / "out" / "link")
    result = await town.keeper.run("test")
    assert result.erased == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert not (folder / "out" / "taken").exists(), "an empty folder goes with its last file"
    assert all(path.exists() for path in stay)
    assert set(told) == {path.name for path in gone}
    history = {(row.rule, row.place, row.count) for row in await town.safe.rows(t.disposal)}
    assert history == {("backup", "backup", 3), ("export", "export", 1), ("submit-notes", "submit", 1), ("log", "log", 1)}
    entries = await town.safe.entries("files-erased")
    assert {name for each in entries for name in json.loads(each.detail)["files"]} == {path.name for path in gone}


async def test_a_backup_that_is_disposed_of_is_listed_no_more(town: Town) -> None:
    await admit(town.safe, 1, OTHER)
    file, _ = await town.backup()
    folders = retention_of(load(config_of(town.folder), environment={})).folders
    place = dataclasses.replace(folders["backup"][0], path=town.place.directory)
    town.keeper._keeping = dataclasses.replace(town.keeper.keeping, folders={"backup": [place]})
    await town.keeper.run("test")
    assert file.exists()
    for each in town.place.directory.iterdir():
        old(each, 31)
    await town.keeper.run("test")
    assert list(town.place.directory.iterdir()) == []


def test_a_former_backup_key_ends_when_its_last_backup_is_past_its_time(tmp_path: Path) -> None:
    config = load(config_of(tmp_path), environment={})
    keys = key_store(config).ensure()
    [first] = keys.ids(Kind.BACKUP)
    second = keys.rotate(Kind.BACKUP)
    _end_backup_keys(config, tmp_path)
    assert key_store(config).ids(Kind.BACKUP) == (first, second), "a backup made before the rotation may still be wanted"
    index = keys.directory / "index.json"
    said = json.loads(index.read_text())
    said["since"][second] = time.time() - 31 * DAY
    index.write_text(json.dumps(said))
    _end_backup_keys(config, tmp_path)
    assert key_store(config).ids(Kind.BACKUP) == (second,)
