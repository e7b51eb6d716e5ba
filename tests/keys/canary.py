"""Known identifiers, in every form in which they could lie about, and a search for them in everything that a run left."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

SHORTEST = 8
"""Bytes: what is shorter would be found by chance."""


def forms(value: str) -> Iterator[bytes]:
    """``value`` in UTF-8 and UTF-16 (both orders), each plain, in hexadecimal, and in Base64 (both alphabets) at each of three places."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        plain = value.encode(encoding)
        yield plain
        yield plain.hex().encode()
        yield plain.hex().upper().encode()
        for shift in range(3):
            # what stands before and after it is not known: the characters that depend on it are left out
            encoded = base64.b64encode(bytes(shift) + plain)
            start, end = (shift * 8 + 5) // 6, (shift + len(plain)) * 8 // 6
            yield encoded[start:end]
            yield encoded[start:end].translate(bytes.maketrans(b"+/", b"-_"))


def needles(values: Iterable[str]) -> list[bytes]:
    """All forms of all values; a line break in one cuts it there, as grep takes one pattern for each line."""
    found: set[bytes] = set()
    for value in values:
        for form in forms(value):
            longest = max(form.split(b"\n"), key=len)
            if len(longest) >= SHORTEST:
                found.add(longest)
    return sorted(found)


def search(files: Iterable[Path], wanted: list[bytes], scratch: Path) -> dict[Path, int]:
    """Files in which something was found, with the number of lines that hold it. ``scratch`` keeps the patterns and is not searched."""
    patterns = scratch / "patterns"
    patterns.write_bytes(b"\n".join(wanted))
    found = {}
    for file in files:
        if file == patterns or not file.is_file() or file.stat().st_size == 0:
            continue
        command = ["grep", "--count", "--text", "--fixed-strings", "--file", str(patterns), "--", str(file)]
        done = subprocess.run(command, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}, capture_output=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        if done.returncode == 0:
            found[file] = int(done.stdout)
    return found


def in_bytes(content: bytes, wanted: list[bytes]) -> list[bytes]:
    """The same for something that is not a file."""
    return [each for each in wanted if each in content]
