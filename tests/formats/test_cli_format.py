"""``renkei format``: validate, show, sample, convert, schema, layouts, docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway import cli_text
from gateway.cli import run
from gateway.cli_support import ExitCode
from message_formats import batch, catalogue, samples, writing
from simulators.city import City
from simulators.city.files import write_json_lines


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["format", *arguments, "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out.strip() else None


@pytest.fixture(autouse=True)
def english() -> Any:
    cli_text.set_language("en")
    yield
    cli_text.set_language("en")


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, lines, many = tmp_path / "good.xml", tmp_path / "bad.xml", tmp_path / "day.jsonl", tmp_path / "batch.xml"
    good.write_bytes(samples.message("identity-information-update").to_bytes())
    bad.write_bytes(good.read_bytes().replace(b"<sex>2", b"<sex>7"))
    write_json_lines(City(1, 5000).day(1, 20), lines)
    many.write_bytes(batch.OPEN + good.read_bytes() * 3 + batch.CLOSE)
    assert called(capsys, "validate", str(good), str(lines), str(many)) == (0, {"ok": True, "valid": 24, "findings": []})
    code, answer = called(capsys, "validate", str(good), str(bad))
    assert code == ExitCode.FINDINGS
    assert [(finding["code"], finding["place"]) for finding in answer["findings"]] == [("code-unknown", "/IdentityInformationUpdate/sex")]
    assert called(capsys, "validate", "--type", "identity-update-result", str(good))[1]["findings"][0]["code"] == "unexpected-type"
    lines.write_text("{}\n", encoding="utf-8")
    assert called(capsys, "validate", str(lines))[1]["findings"][0]["rule"] == "cloudevents"


def test_validate_with_the_guard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "free.xml"
    text = samples.message("residence-status-notice").to_bytes()
    file.write_bytes(text.replace("永住者".encode(), samples.individual_number(1).encode()))
    code, answer = called(capsys, "validate", str(file))
    assert code == ExitCode.FINDINGS
    assert answer["findings"][0]["code"] == "number-suspected"
    assert samples.individual_number(1) not in json.dumps(answer)
    # where the type bears the number, the door does not look, and the guard must be asked to
    items = {**samples.items("application-record"), "form/field[1]/value": samples.individual_number(1)}
    file.write_bytes(writing.write("application-record", items).to_bytes())
    assert called(capsys, "validate", str(file))[0] == 0
    assert called(capsys, "validate", "--guard", str(file))[1]["findings"][0]["place"] == "/ApplicationRecord/form/field[1]/value"


def test_show_sample_schema_layouts(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(called(capsys, "show")[1]) == len(catalogue.names())
    shown = called(capsys, "show", "identity-information-update")[1]
    assert [item["no"] for item in shown["items"]] == list(range(1, 37))
    assert run(["format", "show", "destination-information"]) == 0
    assert "person_count" in capsys.readouterr().out
    assert run(["format", "sample", "identity-update-result"]) == 0
    assert capsys.readouterr().out.startswith("<IdentityUpdateResult")
    assert len(called(capsys, "sample", "identity-update-result", "--invalid")[1]) >= 3
    assert run(["format", "schema", "identity-update-result"]) == 0
    assert "<xs:schema" in capsys.readouterr().out
    assert len(called(capsys, "layouts")[1]) == 4
    assert run(["format", "show", "identity-update-resul"]) == ExitCode.REFUSED
    assert "did you mean identity-update-result?" in capsys.readouterr().err


def test_convert_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, table, fixed, back = (tmp_path / name for name in ("a.xml", "a.csv", "a.txt", "b.xml"))
    source.write_bytes(batch.OPEN + b"".join(event.xml for event in City(2, 5000).day(1, 30)) + batch.CLOSE)
    csv_layout, fixed_layout = "identity-information-update.csv", "identity-information-update.fixed"
    assert called(capsys, "convert", str(source), str(table), "--to-layout", csv_layout)[1]["records"] == 30
    assert called(capsys, "convert", str(table), str(fixed), "--layout", csv_layout, "--to-layout", fixed_layout)[0] == 0
    assert called(capsys, "convert", str(fixed), str(back), "--layout", fixed_layout)[0] == 0
    with source.open("rb") as first, back.open("rb") as second:
        assert [m.canonical() for _, m in batch.read(first)] == [m.canonical() for _, m in batch.read(second)]  # type: ignore[union-attr]


def test_a_lossy_conversion_is_refused_unless_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, layout = tmp_path / "a.xml", tmp_path / "a.csv", tmp_path / "sjis.yaml"
    source.write_bytes(samples.message("move-in-notice").to_bytes())
    layout.write_text(
        "{layout: t, type: move-in-notice, form: csv, encoding: Shift_JIS,"
        " fields: [{item: resident_record_code}, {item: name}, {item: move_in_date}, {item: new_municipality}]}",
        encoding="utf-8",
    )
    arguments = ("convert", str(source), str(target), "--to-layout", str(layout))
    code, answer = called(capsys, *arguments)
    assert code == ExitCode.REFUSED
    assert answer["error"]["code"] == "lossy"
    assert not target.exists()
    code, answer = called(capsys, *arguments, "--substitute")
    assert (code, answer["substituted"]) == (0, [{"record": 1, "item": "name", "position": 3, "candidates": 1}])
    assert "見本葛　例子".encode("shift_jis") in target.read_bytes()


def test_docs_and_a_layout_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["format", "docs", str(tmp_path / "out")]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "catalogue.html",
        "catalogue.ja.html",
        "catalogue.ja.md",
        "catalogue.md",
    ]
    page = (tmp_path / "out" / "catalogue.ja.html").read_text(encoding="utf-8")
    assert "本人確認情報" in page
    assert "<script" not in page
    file = tmp_path / "a.xml"
    file.write_bytes(b"<a/>")
    assert run(["format", "validate", "--layout", "nothing", str(file)]) == ExitCode.REFUSED
    assert run(["format", "validate", "--layout", "nothing.yaml", str(file)]) == ExitCode.REFUSED
    capsys.readouterr()
