"""What a party gives for a reconciliation of everybody: keyed digests of its records, in a file (docs/reconciliation.md).

Written from the description of the format, not from the gateway's code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from simulators.city import City

FORMAT = "renkei-reconciliation-digests/1"
COLUMNS = ("update_sequence_number", "name", "birth_date", "sex", "address", "individual_number", "change_reason", "change_date")
_BUCKETS = 1 << 12


def write_digests(records: Iterable[Mapping[str, str]], *, secret: str, run: str, cut_off: str, out: Path) -> int:
    """Write the file; how many records are in it. ``secret`` in hexadecimal, ``cut_off`` in ISO 8601 with a zone."""
    material = HKDF(SHA256(), 144, None, f"{FORMAT} {run}".encode()).derive(bytes.fromhex(secret))
    hidden, key, check = AESSIV(material[:64]), material[64:128], material[128:]
    held: dict[int, list[bytes]] = {}
    count = 0
    for record in records:
        reference = hidden.encrypt(record["resident_record_code"].encode(), [])
        parts = [reference]
        for column in COLUMNS:
            value = record.get(column, "")
            if f"{column}@text" in record:
                value += "\x1f" + record[f"{column}@text"]
            message = reference + b"\x00" + column.encode() + b"\x00" + value.encode()
            parts.append(hashlib.blake2b(message, digest_size=8, key=key).digest())
        held.setdefault(int(reference.hex()[:3], 16), []).append(b"".join(parts))
        count += 1
    with out.open("xb") as file:
        head = {"format": FORMAT, "run": run, "cut_off": cut_off, "records": count, "check": check.hex()}
        file.write(json.dumps(head).encode() + b"\n")
        for bucket in range(_BUCKETS):
            content = b"".join(sorted(held.pop(bucket, [])))
            file.write(len(content).to_bytes(4, "big") + hashlib.blake2b(content, digest_size=16).digest() + content)
    return count


def place_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of :func:`write_digests` in a command.

    :raises KeyError: one is missing.
    """
    return {"secret": str(values["secret"]), "run": str(values["run"]), "cut_off": str(values["cut_off"]), "out": Path(values["out"])}


def residents_of(city: City) -> Iterator[dict[str, str]]:
    """All residents of a city as its register exports them for a reconciliation."""
    for record in city.register_snapshot():
        items = {name.replace("name_kanji", "name"): value for name, value in record.items() if value is not None}
        yield {name: value for name, value in items.items() if name.partition("@")[0] in ("resident_record_code", *COLUMNS)}
