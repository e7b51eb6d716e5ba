"""Logs hold no personal data, whatever is thrown at them (I5). All persons and numbers here are fictitious."""

from __future__ import annotations

import ast
import gc
import io
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.errors import InputRefused
from gateway.operations.logs import ALLOWED, OURS, configure, describe

SECRET = "架空太郎"
NUMBER = "123456789018"


@pytest.fixture
def lines() -> Iterator[Any]:
    """What was written since, as objects."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    root.handlers = []
    stream = io.StringIO()
    configure("debug", stream=stream, instance="test", role="gateway")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_a_line_of_structlog_and_one_of_the_standard_library(lines: Any) -> None:
    structlog.get_logger("gateway.intake").info("intake-accepted", system="resident-record-system", size_bytes=12, operation="x")
    logging.getLogger("gateway.delivery").warning("claim-failed", extra={"code": "ledger-locked", "party": "city-cs"})
    first, second = lines()
    assert first["timestamp"].endswith("Z")
    del first["timestamp"], second["timestamp"]
    assert first == {
        "level": "info",
        "logger": "gateway.intake",
        "instance": "test",
        "role": "gateway",
        "event": "intake-accepted",
        "system": "resident-record-system",
        "size_bytes": 12,
        "operation": "x",
    }
    assert (second["event"], second["code"], second["party"]) == ("claim-failed", "ledger-locked", "city-cs")


@pytest.mark.invariant("I5")
def test_unknown_keys_and_values_are_withheld(lines: Any) -> None:
    structlog.get_logger("gateway.x").warning("e", payload=SECRET, name=SECRET, code={"a": SECRET}, party=SECRET.encode(), count=3)
    logging.getLogger("gateway.x").warning("e %s %s %d", ValueError(SECRET), [SECRET], 7, extra={"body": SECRET})
    structlog.get_logger("gateway.x").warning("e", reason=f"no resident {NUMBER}", place="1234-5678-9012", rule="１２３４５６７８９０１２")
    text = json.dumps(lines(), ensure_ascii=False)
    assert SECRET not in text
    assert NUMBER not in text
    assert "5678" not in text
    assert "７" not in text
    first, second, third = lines()
    assert first["payload"] == first["code"] == first["party"] == "[withheld]"
    assert first["count"] == 3
    assert second["event"] == "e ValueError [withheld] 7"
    assert third["reason"] == "no resident [digits]"


@pytest.mark.invariant("I5")
def test_an_exception_is_its_class_and_the_way_it_took(lines: Any) -> None:
    def read(name: str) -> None:
        local = f"a local variable with {name}"
        try:
            raise KeyError(local)
        except KeyError as error:
            raise InputRefused("format-item", "an item is not a date", place="/Record/birth_date") from error

    try:
        read(SECRET)
    except InputRefused:
        logging.getLogger("gateway.x").exception("refused")
        structlog.get_logger("gateway.x").error("refused", exc_info=True)
    for line in lines():
        outer, inner = line["exception"]
        assert outer["class"] == "InputRefused"
        assert outer["text"] == "format-item: an item is not a date (at /Record/birth_date)"
        assert inner["class"] == "KeyError"
        assert "text" not in inner
        assert inner["at"][-1].startswith("tests.operations.test_logs:read:")
        assert SECRET not in json.dumps(line, ensure_ascii=False)


@pytest.mark.invariant("I5")
def test_libraries_of_others_say_where_and_how_loudly_but_not_what(lines: Any) -> None:
    logging.getLogger("zeep.transports").debug("HTTP Post to %s:\n%s", "https://party.invalid", f"<name>{SECRET}</name>")
    logging.getLogger("asyncio").error(f"Task exception was never retrieved: ValueError({SECRET!r})")
    logging.getLogger("aiohttp.server").error("Error handling request from %s", SECRET, exc_info=ValueError(SECRET))
    entries = lines()
    assert SECRET not in json.dumps(entries, ensure_ascii=False)
    assert [entry["logger"] for entry in entries] == ["asyncio", "aiohttp.server"]
    assert entries[0]["event"] == "library"
    assert "template" not in entries[0]
    assert entries[1]["template"] == "Error handling request from %s"
    assert entries[1]["exception"][0]["class"] == "ValueError"


def test_a_group_of_exceptions_and_a_circle_of_causes() -> None:
    first, second = ValueError(SECRET), TypeError(SECRET)
    first.__cause__, second.__cause__ = second, first
    assert len(describe(first)) == 8
    group = describe(ExceptionGroup(SECRET, [ValueError(SECRET), OSError(SECRET)]))
    assert group[0]["members"] == ["OSError", "ValueError"]
    assert SECRET not in json.dumps(group, ensure_ascii=False)


@pytest.mark.invariant("I5")
def test_the_last_words_of_a_process_and_a_file_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "renkei.log"
    program = f"from gateway.operations.logs import configure; configure(file={str(file)!r}); name = {SECRET!r}; raise ValueError(name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr + file.read_text()
    line = json.loads(file.read_text())
    assert (line["event"], line["exception"][0]["class"]) == ("uncaught", "ValueError")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_lines_for_a_person(lines: Any) -> None:
    stream = io.StringIO()
    configure("info", json_lines=False, stream=stream)
    logging.getLogger("gateway.x").info("ready", extra={"port": 18443, "secret": SECRET})
    assert stream.getvalue().endswith('info    ready port=18443 secret="[withheld]"\n')


LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
REPOSITORY = Path(__file__).resolve().parents[2]


def keys_in_the_source() -> Iterator[tuple[str, str, bool]]:
    """Place and name of each key that our own code logs, and whether it goes through the standard library."""
    gc.disable()  # Python 3.11 cannot collect while it builds a tree (gh-106905)
    try:
        yield from _keys()
    finally:
        gc.enable()


def _keys() -> Iterator[tuple[str, str, bool]]:
    for package in sorted(OURS):
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                    continue
                if not (isinstance(node.func.value, ast.Name) and node.func.value.id in {"log", "_log"}):
                    continue
                place = f"{file.relative_to(REPOSITORY)}:{node.lineno}"
                for keyword in node.keywords:
                    if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                        yield from ((place, key.value, True) for key in keyword.value.keys if isinstance(key, ast.Constant))
                    elif keyword.arg not in {None, "exc_info", "extra"}:
                        yield place, str(keyword.arg), False


@pytest.mark.thorough
def test_every_key_that_we_log_is_written_and_collides_with_nothing() -> None:
    """A key that is not allowed would be withheld; one of a log record's own would raise where the line is written."""
    found = list(keys_in_the_source())
    assert len(found) > 20
    own = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    assert [each for each in found if each[1] not in ALLOWED] == []
    assert [each for each in found if each[2] and each[1] in own] == []
