"""The command itself: its list, its languages, commands that are not there, start-up time, exit codes and their documents."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway.cli import main as cli
from gateway.cli import texts, wording
from gateway.cli.support import EXIT_CODES, ExitCode


async def test_every_command_is_listed_in_both_languages(renkei, points: dict[str, EntryPoint]) -> None:
    for language, up in (("en", "Run the gateway"), ("ja", "ゲートウェイを起動します")):
        listed = await renkei("--lang", language, "--help")
        assert listed.code == 0
        assert up in listed.out
        for name in points:
            assert f" {name} " in listed.out


async def test_the_language_follows_the_locale(renkei, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert "ゲートウェイを起動します" in (await renkei()).out
    wrong = await renkei("status", "--lang", "fr")
    assert (wrong.code, wrong.err) == (ExitCode.USAGE, "renkei: エラー: --lang is en or ja\n")


def test_every_text_has_both_languages_with_the_same_blanks() -> None:
    for key, (english, japanese) in wording.TEXT.items():
        assert english, key
        assert japanese, key
        assert _blanks(english) == _blanks(japanese), key


def test_no_key_stands_in_two_tables_of_texts() -> None:
    tables = [import_module(f"gateway.cli.texts.{each.name}").TEXT for each in pkgutil.iter_modules(texts.__path__)]
    assert sum(map(len, tables)) == len(wording.TEXT)


def _blanks(text: str) -> set[str]:
    return {part.split("}")[0] for part in text.split("{")[1:]}


async def test_a_command_that_cannot_be_imported_is_listed_with_its_reason_and_breaks_no_other(renkei, points, tmp_path: Path) -> None:
    points["gone"] = EntryPoint(name="gone", value="no_such_module_here:run", group=cli.GROUP)
    points["hollow"] = EntryPoint(name="hollow", value="gateway.cli.run:no_such_function", group=cli.GROUP)
    listed = await renkei("--help")
    assert listed.code == 0
    assert "no_such_module_here" in listed.out
    for name in ("gone", "hollow"):
        ended = await renkei(name)
        assert ended.code == ExitCode.CONFIGURATION
        assert f'the command "{name}" cannot be used' in ended.err
    assert (await renkei("config", "schema")).code == ExitCode.OK


async def test_a_mistyped_command_is_answered_with_the_nearest(renkei) -> None:
    ended = await renkei("statsu")
    assert (ended.code, "Did you mean 'status'?" in ended.err) == (ExitCode.USAGE, True)


async def test_a_fault_of_ours_is_one_line_without_content(renkei, points, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("fictitious resident 12345678901")

    monkeypatch.setattr("gateway.cli.operate.status", broken)
    ended = await renkei("status")
    assert ended.code == ExitCode.INTERNAL
    assert "RuntimeError in test_command.py" in ended.err
    assert "12345678901" not in ended.err + ended.out


async def test_config_show_has_all_defaults_and_no_secret(renkei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("ledger: {url: 'postgresql://u@h/d', password: '${RENKEI_PW}'}\noutgoing: [{host: h}]\n", encoding="utf-8")
    monkeypatch.setenv("RENKEI_PW", "fictitious-secret")
    shown = await renkei("config", "show", "--config", file)
    assert shown.code == 0
    assert "fictitious-secret" not in shown.out
    assert "share: 20" in shown.out
    assert json.loads((await renkei("config", "show", "--config", file, "--json")).out)["workers"]["share"] == 20


def test_the_document_of_the_commands_is_current(repository: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli.docs", "--print"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository).stdout
    assert (repository / "docs" / "cli.md").read_text(encoding="utf-8") == made
    for readme in ("README.md", "README.ja.md"):
        text = (repository / readme).read_text(encoding="utf-8")
        for code, meanings in EXIT_CODES.items():
            assert f"| {int(code)} | {meanings[readme == 'README.ja.md']} |" in text


def test_help_comes_at_once(repository: Path, tmp_path: Path) -> None:
    # A real process with the entry points as an installation would have them.
    made = tmp_path / "renkei_gateway-0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: renkei-gateway\nVersion: 0\n", encoding="utf-8")
    lines = subprocess.run([sys.executable, "-c", _POINTS], capture_output=True, text=True, check=True, cwd=repository).stdout
    (made / "entry_points.txt").write_text(lines, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{repository}", "LANG": "C.UTF-8"}
    command = [sys.executable, "-X", "importtime", "-m", "gateway.cli.main", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "submit" in ended.stdout
    # What costs time is what must not be imported; a clock would measure the machine.
    imported = {line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines()}
    assert not imported & {"pydantic", "aiohttp", "sqlalchemy", "lxml.etree", "zeep", "cryptography", "yaml", "pika"}


_POINTS = """
import tomllib
groups = tomllib.load(open("pyproject.toml", "rb"))["project"]["entry-points"]
for group, entries in groups.items():
    print(f"[{group}]")
    for name, value in entries.items():
        print(f"{name} = {value}")
"""
