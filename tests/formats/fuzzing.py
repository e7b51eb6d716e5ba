"""Mutation fuzzing of everything that reads bytes: messages, batches, CSV and fixed-length files.

``python -m tests.formats.fuzzing --count 1000000 --seed 1 --json`` prints ``{ok, count, refused, accepted, slowest_s, …, findings}``.
A finding is an input that crashed a reader (anything but :class:`FormatError`), took longer than a second of processor time, or
came back in the text of an error. The process limits its own memory, so that an input that wants too much ends as a finding as well; one
that never ends is broken off after ten seconds of processor time. ``--jobs``: as many processes, each with a seed of its own.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import io
import json
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.soap.answer import BadAnswer, read_answer
from adapters.soap.operation import SOAP, WSA
from message_formats import batch, catalogue, codes, guard, layouts, party_codes, profiles, reading, records, samples, schemas, writing
from message_formats.errors import FormatError
from tests.formats import corpora

SLOWEST_S = 1.0
BROKEN_OFF_S = 10.0
STUCK_S = 300.0
"""Of the clock, without a thousand inputs done: inside C, where no signal helps. The process ends with a traceback."""
MEMORY_BYTES = 256 << 20
_TOKENS = (
    b"<", b">", b"/", b"</", b"<!", b"<?", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<!DOCTYPE a [", b"<!ENTITY a 'b'>",
    b"&", b"&#", b"&amp;",
    b"&#x10FFFF;", b"&#x0;",
    b'"', b"'", b"=", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x81", b"\x8e", b"\xa1", b"\xe3\x81", b"\xf3\xa0\x84\x82",
    b"\r\n", b",", b'""',
    b"xmlns=", b"xsi:type=", b" text=", "昭和20年頃".encode(), "不詳".encode(), b"00000000", b"9" * 40, b"A" * 3000,
    "葛\U000e0102".encode(), "𠮷".encode(), "\u3099".encode(), "\ufa19".encode(), "\U00100000".encode(), b"123456789018",
)  # fmt: skip
_VALUE = re.compile(rb">([^<>]{5,60})<")


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    count: int = 0
    refused: int = 0
    accepted: int = 0
    slowest_s: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)
    findings: list[dict[str, str]] = field(default_factory=list)


def seeds() -> list[bytes]:
    """Valid samples of every type, and the corpora, as far as they are small."""
    found = [samples.message(name, 3).to_bytes() for name in catalogue.names()]
    return found + [data for data in (*corpora.attacks(), *corpora.broken_encodings()) if len(data) < 20_000]


def gently_mutated(source: random.Random, pool: Sequence[bytes]) -> bytes:
    """A seed that stays text: values, names and order of items are changed, so that schema and rules see it."""
    text = source.choice(pool).decode("utf-8", "ignore")
    for _ in range(source.randint(1, 3)):
        found = list(_ITEM.finditer(text))
        if not found:
            break
        item, other = source.choice(found), source.choice(found)
        value = source.choice(_VALUES) if source.randrange(2) else _one_character_changed(source, item["value"])
        made = (
            f"<{item['name']}>{value}</{item['name']}>",
            f"<{item['name']}>{other['value']}</{item['name']}>",
            f"<{other['name']}>{item['value']}</{other['name']}>",
            "",
            item.group() * 2,
            item.group() + other.group(),
            f"<{item['name']} text='{source.choice(_VALUES)}'>{item['value']}</{item['name']}>",
        )[source.randrange(7)]
        text = text[: item.start()] + made + text[item.end() :]
    return text.encode("utf-8", "ignore")


def _one_character_changed(source: random.Random, value: str) -> str:
    if not value:
        return source.choice(_CHARACTERS)
    at = source.randrange(len(value))
    return value[:at] + source.choice(_CHARACTERS) + value[at + source.randrange(2) :]


_ITEM = re.compile(r"<(?P<name>[a-z0-9_]+)(?: text=\"[^\"]*\")?>(?P<value>[^<]*)</(?P=name)>")
_CHARACTERS = "0123456789ABCxyz見本葛髙𠮷﨑がガｶﾞ～　 -ー\U000e0102\u3099\ufa19\U00100000&#;\n\u202e"
_VALUES = (
    "", "0", "00000000", "19810229", "20260231", "99999999", "1", "999", "昭和20年頃", "年月日不詳", "孫", "子の子の子の子の子", "x" * 400,
    "123456789018", "１２３４５６７８９０１８", "1234-5678-9018", "12345678903", "272035", "葛\U000e0102" * 30, "true", "-1", "1e9", "zz",
)  # fmt: skip


def mutated(source: random.Random, pool: Sequence[bytes]) -> bytes:
    """One input: a seed with one to six changes of its bytes."""
    data = bytearray(source.choice(pool))
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << source.randrange(8)
        elif kind == 1:
            data[at:at] = source.choice(_TOKENS)
        elif kind == 2:
            del data[at : at + source.choice((1, 2, 10, 100))]
        elif kind == 3:
            length = source.choice((1, 8, 60, 400))
            data[at:at] = data[at : at + length] * source.choice((1, 2, 20))
        elif kind == 4:
            other = source.choice(pool)
            start = source.randrange(len(other) + 1)
            data[at : at + source.choice((0, 20, 200))] = other[start : start + source.choice((5, 50, 500))]
        elif kind == 5:
            data[at : at + 4] = bytes(source.randrange(256) for _ in range(source.randrange(1, 8)))
        elif kind == 6:
            digit = source.choice(b"0123456789")
            data = bytearray(re.sub(rb"[0-9]", bytes([digit]), bytes(data), count=source.randrange(1, 6)))
        else:
            token = source.choice((b"<a>", b"<sex>", b"<person>", b" x", "見".encode()))
            data[at:at] = token * source.choice((2, 30, 300))
    return bytes(data[: 1 << 17])


Reader = Callable[[bytes], object]


def _targets() -> tuple[list[Reader], list[Reader], list[Reader]]:
    """Readers of messages and envelopes, of record files, and of our own kinds of data files."""
    csv_layout, fixed_layout = layouts.get("identity-information-update.csv"), layouts.get("destination-information.fixed")
    result_layout = layouts.parse(
        "{layout: t, type: identity-update-result, form: fixed, encoding: Windows-31J, separator: none, fields: ["
        "{item: request_control_number, length: 20, unit: bytes}, {item: outcome, length: 8, unit: bytes},"
        " {item: error_code, length: 4, unit: bytes}]}"
    )

    def message(data: bytes) -> object:
        return guard.suspicions(reading.read(data))

    def whole_batch(data: bytes) -> object:
        results = [result for _, result in batch.read(io.BytesIO(batch.OPEN + data + batch.CLOSE))]
        return _first_error(results)

    def envelope(data: bytes) -> object:
        check = schemas.profile_validator("juki_cs")
        root = reading.parse(data)
        for body in (root, *list(root)[:1]):
            check(body)
        return root

    def answer(data: bytes) -> object:
        try:
            return read_answer(data, relates_to="urn:uuid:1", actions=frozenset({"urn:a"}))
        except BadAnswer as error:
            raise FormatError("layout", "-", "soap", error.code) from error

    def file_of(layout: layouts.Layout) -> Reader:
        return lambda data: _first_error([result for _, result in records.read_messages(io.BytesIO(data), layout)])

    xml: list[Reader] = [message, message, message, message, whole_batch, envelope, answer]
    files = [file_of(each) for each in (csv_layout, fixed_layout, result_layout, _in_encoding("Windows-31J"), _in_encoding("EUC-JP"))]
    return xml, files, [layouts.parse, codes.parse, party_codes.parse, profiles.parse]


def _in_encoding(name: str) -> layouts.Layout:
    text = layouts._packaged.path("data", "layouts", "identity-information-update.csv.yaml").read_text(encoding="utf-8")
    return layouts.parse(text.replace("encoding: UTF-8", f"encoding: {name}"))


def _first_error(results: Sequence[object]) -> object:
    error = next((result for result in results if isinstance(result, FormatError)), None)
    if error is not None:
        raise error
    return results


def _echoed(data: bytes, error: FormatError) -> bool:
    """Whether the text of an error gives back a value of the input."""
    text = f"{error} {error.place} {error.rule} {error.safe_detail} {error.__cause__ or ''}"
    values = {value.decode("utf-8", "replace") for value in _VALUE.findall(data) if not value.isspace()}
    # Whole words only: "ype a" is a piece of our own "document type and".
    return any(
        re.search(rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])", text) for value in values if value in text and value not in _OURS
    )


_OURS = frozenset({"accepted", "rejected", "delayed"})  # words of code tables, which are words of our sentences too


def _tables() -> list[bytes]:
    """Seeds for the file readers: valid CSV and fixed-length files."""
    made = []
    for name in layouts.names():
        layout = layouts.get(name)
        out = io.BytesIO()
        records.write_records([samples.items(layout.message_type.name, serial) for serial in (1, 2)], layout, out)
        made.append(out.getvalue())
    return made


def _data_files() -> list[bytes]:
    """Seeds for what reads layouts, tables, mappings and profiles."""
    found = [("layouts", layouts.names()), ("codes", codes.names()), ("parties", party_codes.names()), ("profiles", profiles.names())]
    made = [layouts._packaged.read_bytes("data", folder, f"{name}.yaml") for folder, names in found for name in names]
    return [data for data in made if len(data) < 3000]


def _envelopes() -> list[bytes]:
    message = samples.message("identity-information-update").to_bytes()
    record = b'<p:Record deliveryId="d-1">' + message + b"</p:Record>"
    profile = profiles.get("juki_cs").namespace.encode()
    opening, closing = b'<p:UpdateIdentityInformationRequest xmlns:p="' + profile + b'">', b"</p:UpdateIdentityInformationRequest>"
    requests = [opening + record * count + closing for count in (1, 3)]
    head = b"<w:Action>urn:a</w:Action><w:RelatesTo>urn:uuid:1</w:RelatesTo>"
    soap = f'<s:Envelope xmlns:s="{SOAP}" xmlns:w="{WSA}"><s:Header>'.encode() + head + b"</s:Header><s:Body>"
    fault = b"<s:Fault><faultcode>s:Client</faultcode><faultstring>x</faultstring><detail><x/></detail></s:Fault>"
    return requests + [soap + body + b"</s:Body></s:Envelope>" for body in (*requests, fault)]


def run(count: int, seed: int, keep: Path | None = None) -> Outcome:
    """Fuzz ``count`` inputs; the same seed gives the same inputs."""
    source = random.Random(seed)
    kinds = list(zip(_targets(), (seeds() + _envelopes(), _tables(), _data_files()), strict=True))
    fixed = [(kinds[0][0][0], data) for data in (*corpora.attacks(), *corpora.broken_encodings())]
    outcome = Outcome()
    while outcome.count < count:
        if outcome.count % 1000 == 0:
            faulthandler.dump_traceback_later(STUCK_S, exit=True)
        if outcome.count < len(fixed):
            target, data = fixed[outcome.count]
        else:
            readers, pool = kinds[source.choices((0, 1, 2), (63, 32, 5))[0]]
            target, data = source.choice(readers), (gently_mutated if source.randrange(2) else mutated)(source, pool)
        outcome.count += 1
        _one(target, data, outcome, keep)
    faulthandler.cancel_dump_traceback_later()
    return outcome


class _BrokenOff(BaseException):
    """Not an Exception, so that no reader takes it for one of its own."""


def _break_off(*_: object) -> None:
    raise _BrokenOff


def _one(target: Callable[[bytes], object], data: bytes, outcome: Outcome, keep: Path | None) -> None:
    started = time.process_time()
    what = ""
    signal.setitimer(signal.ITIMER_PROF, BROKEN_OFF_S)
    try:
        target(data)
        outcome.accepted += 1
    except FormatError as error:
        outcome.refused += 1
        outcome.codes[error.code] = outcome.codes.get(error.code, 0) + 1
        if _echoed(data, error):
            what = f"the error {error.code} gives back a value"
    except _BrokenOff:
        what = "broken off"
    except Exception as error:
        what = f"{type(error).__name__} instead of a FormatError"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    taken = time.process_time() - started
    outcome.slowest_s = max(outcome.slowest_s, taken)
    if taken > SLOWEST_S:
        what = f"{taken:.1f} s of processor time"
    if what:
        name = hashlib.sha256(data).hexdigest()[:16]
        outcome.findings.append({"what": what, "input": name})
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / name).write_bytes(data)


def limit_memory() -> None:
    """Let the process have no more than it has now and :data:`MEMORY_BYTES` besides."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    now = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize")) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))


def _children(count: int, seed: int, jobs: int, keep: Path | None) -> dict[str, Any]:
    """The run shared out over several processes, and their answers added up."""
    command = [sys.executable, "-m", "tests.formats.fuzzing", "--json", *(["--keep", str(keep)] if keep else [])]
    shares = [count // jobs + (place < count % jobs) for place in range(jobs)]
    running = [
        subprocess.Popen([*command, "--count", str(share), "--seed", str(seed + place)], stdout=subprocess.PIPE)
        for place, share in enumerate(shares)
    ]
    answers: list[dict[str, Any]] = []
    for process in running:
        out = process.communicate()[0]
        died = {"ok": False, "findings": [{"what": f"the process ended with {process.returncode}", "input": "-"}]}
        answers.append(json.loads(out) if process.returncode in (0, 1) and out else died)
    found: Counter[str] = Counter()
    for answer in answers:
        found.update(answer.get("codes", {}))
    return {
        "ok": all(answer["ok"] for answer in answers),
        "seed": seed,
        "jobs": jobs,
        **{key: sum(answer.get(key, 0) for answer in answers) for key in ("count", "refused", "accepted")},
        **{key: max(answer.get(key, 0) for answer in answers) for key in ("slowest_s", "megabytes")},
        "findings": [finding for answer in answers for finding in answer["findings"]][:50],
        "codes": dict(sorted(found.items())),
    }


def _alone(count: int, seed: int, keep: Path | None) -> dict[str, Any]:
    writing.write("identity-update-result", samples.result_items(1))  # what is loaded once is not the inputs' memory
    limit_memory()
    signal.signal(signal.SIGPROF, _break_off)
    outcome = run(count, seed, keep)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    megabytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    return {
        "ok": not outcome.findings and megabytes * (1 << 20) <= MEMORY_BYTES,
        "seed": seed,
        "count": outcome.count,
        "refused": outcome.refused,
        "accepted": outcome.accepted,
        "slowest_s": round(outcome.slowest_s, 3),
        "megabytes": round(megabytes, 1),
        "findings": outcome.findings[:50],
        "codes": dict(sorted(outcome.codes.items())),
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--keep", type=Path, help="write inputs that were findings to this folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.jobs > 1:
        answer = _children(options.count, options.seed, options.jobs, options.keep)
    else:
        answer = _alone(options.count, options.seed, options.keep)
    print(json.dumps(answer) if options.json else "\n".join(f"{key}: {value}" for key, value in answer.items()))
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
