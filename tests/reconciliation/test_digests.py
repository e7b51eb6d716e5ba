"""Keyed digests of everybody: what two files say of each other. All residents are made up."""

from __future__ import annotations

import datetime as dt
import os
import random
from pathlib import Path

import pytest

from gateway.errors import InputRefused
from gateway.reconciliation import digests, steps
from gateway.reconciliation.compare import require_same_run
from gateway.reconciliation.digests import DigestFile, RunKeys
from simulators.city import City
from simulators.world.digesting import residents_of, write_digests

CITY = City(5, 300)
SECRET = bytes(range(32))
CUT_OFF = dt.datetime(2026, 4, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=9)))
KEYS = RunKeys.of(SECRET, "RUN-1")


def ours(folder: Path, records: list[dict[str, str]], name: str = "ours.bin") -> Path:
    digests.write(records, KEYS, run="RUN-1", cut_off=CUT_OFF, file=folder / name)
    return folder / name


def theirs(folder: Path, records: list[dict[str, str]], secret: bytes = SECRET, run: str = "RUN-1") -> Path:
    out = folder / "theirs.bin"
    write_digests(records, secret=secret.hex(), run=run, cut_off=CUT_OFF.isoformat(), out=out)
    return out


def compared(one: Path, other: Path) -> set[tuple[str, str, tuple[str, ...]]]:
    with DigestFile(one) as here, DigestFile(other) as there:
        require_same_run(here.header, there.header)
        return {
            (each["code"], each["kind"], tuple(each["items"])) for step in steps.compared(here, there, KEYS, 0) for each in step["found"]
        }


def planted(records: list[dict[str, str]], seed: int) -> tuple[list[dict[str, str]], set[tuple[str, str, tuple[str, ...]]]]:
    """What the other side holds, and what must be found."""
    chance = random.Random(seed)
    chosen = chance.sample(range(len(records)), 8)
    held, found = {each["resident_record_code"]: dict(each) for each in records}, set()
    codes = [records[place]["resident_record_code"] for place in chosen]
    for code in codes[:2]:
        del held[code]
        found.add((code, "missing", ()))
    held[codes[2]]["address"] += "９９番地"
    held[codes[3]] |= {"sex": "1" if held[codes[3]]["sex"] == "2" else "2", "name": "架空　太郎"}
    held[codes[4]].pop("individual_number", None)
    found |= {(codes[2], "changed", ("address",)), (codes[3], "changed", ("name", "sex"))}
    found |= {(codes[4], "changed", ("individual_number",))} if "individual_number" in records[chosen[4]] else set()
    held[codes[5]]["update_sequence_number"] = "7"
    found.add((codes[5], "order", ()))
    held[codes[6]] |= {"birth_date@text": "不詳"}
    found.add((codes[6], "changed", ("birth_date",)))
    extra = next(residents_of(City(99, 1)))
    held[extra["resident_record_code"]] = dict(extra)
    found.add((extra["resident_record_code"], "extra", ()))
    there = list(held.values())
    chance.shuffle(there)
    return there, found


@pytest.mark.flow("FR-1")
@pytest.mark.parametrize("seed", range(3))
def test_exactly_what_was_planted_is_found_and_two_implementations_agree(tmp_path: Path, seed: int) -> None:
    records = list(residents_of(CITY))
    there, found = planted(records, seed)
    assert compared(ours(tmp_path, records), theirs(tmp_path, there)) == found


@pytest.mark.flow("FR-1")
def test_the_same_on_both_sides_is_the_same_file(tmp_path: Path) -> None:
    records = list(residents_of(CITY))
    one, other = ours(tmp_path, records), theirs(tmp_path, records[::-1])
    assert one.read_bytes() == other.read_bytes()
    assert compared(one, other) == set()


@pytest.mark.invariant("I5")
def test_a_file_says_nothing_without_the_secret(tmp_path: Path) -> None:
    records = list(residents_of(CITY))
    content = ours(tmp_path, records).read_bytes()
    for record in records:
        assert not any(value.encode() in content for name, value in record.items() if len(value) > 3)
    assert os.stat(tmp_path / "ours.bin").st_mode & 0o077 == 0
    again = RunKeys.of(SECRET, "RUN-2")
    code = records[0]["resident_record_code"]
    assert again.reference_of(code) != KEYS.reference_of(code), "residents of two runs cannot be joined"
    with pytest.raises(InputRefused, match="secret"):
        again.code_of(KEYS.reference_of(code))
    one, two = (KEYS.reference_of(each["resident_record_code"]) for each in records[:2])
    assert KEYS.digest_of(one, "sex", "1") != KEYS.digest_of(two, "sex", "1"), "who has the same sex is not seen"


def test_files_of_another_run_or_secret_are_not_compared(tmp_path: Path) -> None:
    one = ours(tmp_path, [])
    for number, (secret, run) in enumerate(((bytes(32), "RUN-1"), (SECRET, "RUN-9"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputRefused, match="not of one run"):
            compared(one, theirs(folder, [], secret, run))
    with pytest.raises(InputRefused) as short:
        RunKeys.of(b"short", "RUN-1")
    assert short.value.code == "secret-short"


def test_a_file_that_was_cut_or_altered_is_refused(tmp_path: Path) -> None:
    records = list(residents_of(CITY))
    one = ours(tmp_path, records)
    content = one.read_bytes()
    for name, bad in (("cut", content[:-5]), ("altered", content[:-30] + b"\1" + content[-29:]), ("none", b"{}\n")):
        file = tmp_path / name
        file.write_bytes(bad)
        with pytest.raises(InputRefused) as refused:
            compared(one, file)
        assert refused.value.code in ("digests-altered", "digests-malformed")


def test_a_record_twice_or_without_a_code_is_refused_and_not_repeated(tmp_path: Path) -> None:
    record = next(residents_of(CITY))
    for number, (records, code) in enumerate((([record, record], "record-twice"), ([{"name": "架空"}], "record-nobody"))):
        with pytest.raises(InputRefused) as refused:
            ours(tmp_path, records, f"{number}.bin")
        assert refused.value.code == code
        assert "架空" not in str(refused.value)


def test_residents_are_found_again_in_a_file(tmp_path: Path) -> None:
    records = list(residents_of(CITY))
    wanted = [KEYS.reference_of(each["resident_record_code"]) for each in records[:20]] + [KEYS.reference_of("99999999999")]
    with DigestFile(ours(tmp_path, records)) as file:
        assert file.find(wanted).keys() == set(wanted[:20])
