"""``renkei format``: validate, show, sample, convert, schema, layouts, docs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from zeep import Client

from gateway.cli import wording
from gateway.cli.main import run
from gateway.cli.support import ExitCode
from message_formats import _packaged, batch, catalogue, profiles, samples, writing
from simulators.city import City
from simulators.city.files import write_json_lines


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["format", *arguments, "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out.strip() else None


@pytest.fixture(autouse=True)
def english() -> Any:
    wording.set_language("en")
    yield
    wording.set_language("en")


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, lines, many = tmp_path / "good.xml", tmp_path / "bad.xml", tmp_path / "day.jsonl", tmp_path / "batch.xml"
    good.write_bytes(samples.message("identity-information-update").to_bytes())
    bad.write_bytes(good.read_bytes().replace(b"<sex>2", b"<sex>7"))
    write_json_lines(City(1, 5000).day(1, 20), lines)
    many.write_bytes(batch.OPEN + good.read_bytes() * 3 + batch.CLOSE)
    assert called(capsys, "validate", str(good), str(lines), str(many)) == (0, {"ok": True, "valid": 24, "found": 0, "findings": []})
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
    assert len(called(capsys, "layouts")[1]) == 5
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


@pytest.mark.thorough
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


CSV = "identity-information-update.csv"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    good = samples.message("identity-information-update").to_bytes()
    (tmp_path / "good.xml").write_bytes(good)
    (tmp_path / "bad.xml").write_bytes(good.replace(b"<sex>2", b"<sex>7"))
    (tmp_path / "mixed.xml").write_bytes(batch.OPEN + good + good.replace(b"<sex>2", b"<sex>7") * 5 + batch.CLOSE)
    assert run(["format", "convert", str(tmp_path / "good.xml"), str(tmp_path / "good.csv"), "--to-layout", CSV]) == 0
    return tmp_path


def test_a_conversion_that_fails_leaves_what_was_there(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = (files / "good.csv").read_bytes()
    there = sorted(file.name for file in files.iterdir())
    for source, arguments, code in (
        ("bad.xml", ("--to-layout", CSV), "code-unknown"),
        ("good.xml", ("--to-layout", "destination-information.csv"), "unexpected-type"),
        ("good.xml", (), "layout"),
        ("good.xml", ("--to-layout", "no-such-layout"), "layout"),
        ("good.csv", ("--to-layout", CSV), "layout"),
    ):
        exit_code, answer = called(capsys, "convert", str(files / source), str(files / "good.csv"), *arguments)
        assert (exit_code, answer["error"]["code"]) == (ExitCode.REFUSED, code)
        assert (files / "good.csv").read_bytes() == before
    exit_code, answer = called(capsys, "convert", str(files / "mixed.xml"), str(files / "new.csv"), "--to-layout", CSV)
    assert "record 2" in answer["error"]["detail"]
    assert sorted(file.name for file in files.iterdir()) == there, "no remains of unfinished files"


def test_a_file_may_be_converted_in_its_place(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (files / "good.csv").read_bytes()
    assert called(capsys, "convert", str(files / "good.csv"), str(files / "good.csv"), "--layout", CSV, "--to-layout", CSV)[0] == 0
    assert (files / "good.csv").read_bytes() == before


def test_links_modes_and_pipes_stay_what_they_are(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (files / "good.csv").chmod(0o600)
    (files / "link.csv").symlink_to(files / "good.csv")
    before = (files / "good.csv").read_bytes()
    assert run(["format", "convert", str(files / "good.xml"), str(files / "link.csv"), "--to-layout", CSV]) == 0
    assert (files / "link.csv").is_symlink()
    assert (files / "good.csv").read_bytes() == before
    assert (files / "good.csv").stat().st_mode & 0o777 == 0o600
    os.mkfifo(files / "pipe")
    reader = subprocess.Popen(["cat", str(files / "pipe")], stdout=subprocess.PIPE)
    assert run(["format", "convert", str(files / "good.xml"), str(files / "pipe"), "--to-layout", CSV]) == 0
    assert reader.communicate(timeout=10)[0] == before
    assert (files / "pipe").is_fifo()


def test_a_target_that_cannot_be_written_is_said_to_be_that(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = called(capsys, "convert", str(files / "good.xml"), str(files / "nowhere" / "x.xml"))
    assert (code, answer["error"]["code"]) == (ExitCode.REFUSED, "target")


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_what_a_file_is_is_never_guessed(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert called(capsys, "validate", str(files / "good.csv"))[1]["findings"][0]["rule"] == "layout"
    assert called(capsys, "validate", "--layout", CSV, str(files / "good.xml"))[1]["findings"][0]["rule"] == "csv-header"
    assert called(capsys, "validate", "--layout", CSV, "--type", "move-in-notice", str(files / "good.csv"))[1]["found"] == 1
    for arguments, word in (
        (("validate", "--type", "move-in-notic", str(files / "good.xml")), "did you mean move-in-notice"),
        (("validate", "--layout", "nothing", str(files / "good.xml")), CSV),
        (("codes", "sx"), "sex"),
        (("wsdl", "juki"), "juki_cs"),
        (("schema", "nothing"), "no such message type"),
    ):
        code = run(["format", *arguments])
        said = capsys.readouterr()
        assert code == ExitCode.REFUSED
        assert word in said.err


def test_a_layout_file_that_is_no_yaml_is_refused_with_its_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "broken.yaml").write_text("layout: {\n", encoding="utf-8")
    code, answer = called(capsys, "validate", "--layout", str(files / "broken.yaml"), str(files / "good.csv"))
    assert (code, answer["error"]["code"]) == (ExitCode.REFUSED, "layout")
    assert "line 2" in answer["error"]["detail"]


def test_findings_are_counted_all_and_shown_up_to_a_limit(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    answer = called(capsys, "validate", "--limit", "2", str(files / "mixed.xml"))[1]
    assert (answer["valid"], answer["found"], len(answer["findings"])) == (1, 5, 2)
    assert len(called(capsys, "validate", "--limit", "0", str(files / "mixed.xml"))[1]["findings"]) == 5


def test_findings_in_japanese(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--lang", "ja", "format", "validate", str(files / "bad.xml")]) == ExitCode.FINDINGS
    assert "コード表にない値" in capsys.readouterr().out


def test_codes_of_tables_and_parties(capsys: pytest.CaptureFixture[str]) -> None:
    shown = called(capsys, "codes", "sex")[1]
    assert [each["symbol"] for each in shown["codes"]] == ["MALE", "FEMALE", "NOT_STATED"]
    assert shown["codes"][0]["parties"]["residence-card-issuance-system"] == "M"
    assert len(called(capsys, "codes")[1]) > 20
    assert run(["format", "codes", "era"]) == 0
    assert "internal-link-system" in capsys.readouterr().out


def test_codes_of_ones_own(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    (files / "codes.yaml").write_text("{party: city-cs, source: t, tables: {sex: {MALE: A, FEMALE: B}}}", encoding="utf-8")
    packaged = _packaged.read_bytes("data", "layouts", f"{CSV}.yaml").decode()
    (files / "own.yaml").write_text(packaged.replace("form: csv", "form: csv\nparty: city-cs"), encoding="utf-8")
    own = ("--to-layout", str(files / "own.yaml"), "--codes", str(files / "codes.yaml"))
    assert called(capsys, "convert", str(files / "good.xml"), str(files / "own.csv"), *own)[0] == 0
    assert ",B," in (files / "own.csv").read_text(encoding="utf-8")
    (files / "codes.yaml").write_text("{party: city-cs, source: t, tables: {sex: {MALE: A}}}", encoding="utf-8")
    assert called(capsys, "convert", str(files / "good.xml"), str(files / "own.csv"), *own)[1]["error"]["code"] == "code-unknown"


def test_wsdl_with_all_that_it_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [each["profile"] for each in called(capsys, "wsdl")[1]] == list(profiles.names())
    for name in profiles.names():
        assert run(["format", "wsdl", name, "--out", str(tmp_path / name)]) == 0
        client = Client(str(tmp_path / name / "wsdl" / f"{name}.wsdl"))  # type: ignore[no-untyped-call]
        assert client.service
    assert run(["format", "wsdl", "convenience_store"]) == 0
    assert "<wsdl:definitions" in capsys.readouterr().out
