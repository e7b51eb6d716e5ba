"""The dependencies with their licences, as CycloneDX 1.5: ``python -m gateway.sbom [LOCK]``, or ``bin/sbom``.

Versions and hashes come from the lock file, licences from what is installed. A licence that may not be used here (GPL, AGPL, or LGPL
anywhere but in psycopg) and one that cannot be told are errors: exit code 1, after the document.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMES = {
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "MIT license": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "The Unlicense (Unlicense)": "Unlicense",
}
_COPYLEFT = re.compile(r"\bA?GPL\b|\bA?GPL-|GNU (Affero )?General Public", re.IGNORECASE)
_LESSER = re.compile(r"LGPL|Lesser General", re.IGNORECASE)
LESSER_MAY = frozenset({"psycopg", "psycopg-binary"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One locked requirement."""

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str
    """SPDX expression, or the name that the package gives; empty: it says nothing, or is not installed here."""

    @property
    def problem(self) -> str:
        """Why it may not be used; empty if it may."""
        if not self.licence:
            return "its licence cannot be told"
        lesser = _LESSER.search(self.licence)
        if lesser and self.name not in LESSER_MAY:
            return f"LGPL is allowed for {', '.join(sorted(LESSER_MAY))} only"
        choices = [each for each in re.split(r"\s+OR\s+", self.licence.strip("()")) if not _COPYLEFT.search(_LESSER.sub("", each))]
        return "" if choices else "GPL and AGPL are not allowed"

    def document(self) -> dict[str, Any]:
        """As CycloneDX has it."""
        spdx = re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", self.licence)
        licence = {"expression": self.licence} if spdx else {"license": {"name": self.licence}}
        return {
            "type": "library",
            "bom-ref": f"pkg:pypi/{self.name}@{self.version}",
            "name": self.name,
            "version": self.version,
            "purl": f"pkg:pypi/{self.name}@{self.version}",
            "hashes": [{"alg": "SHA-256", "content": each} for each in self.hashes],
            "licenses": [licence] if self.licence else [],
        }


def components(lock: str) -> Iterator[Component]:
    """What a lock file names, in its order."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        found = _PIN.match(block)
        if found is None:
            continue
        name = re.sub(r"[-_.]+", "-", found[1]).lower()
        hashes = tuple(sorted(_HASH.findall(block)))
        yield Component(name=name, version=found[2], hashes=hashes, licence=_licence_of(name))


CHOSEN = {"pyphen": "MPL-1.1"}
"""Packages under several licences of which one may be chosen, which their classifiers do not say; and which one we take."""


def _licence_of(name: str) -> str:
    if name in CHOSEN:
        return CHOSEN[name]
    try:
        return licence(distribution(name))
    except PackageNotFoundError:
        return ""


def licence(package: Distribution) -> str:
    """The licence that a package declares: the expression, else its classifiers, else the free field if it is short."""
    metadata: Any = package.metadata  # a message of the email package, which the stubs do not say
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression).strip()
    prefix = "License :: "
    classified = [
        each.rsplit(" :: ", 1)[1] for each in metadata.get_all("Classifier") or [] if each.startswith(prefix) and each.count("::") > 1
    ]
    if classified:
        return " AND ".join(_NAMES.get(each, each) for each in classified)
    free = (metadata.get("License") or "").strip().splitlines()
    return _NAMES.get(free[0], free[0]) if free and len(free[0]) <= 80 else ""


def document(found: list[Component], version: str) -> dict[str, Any]:
    """The whole document; the same for the same lock."""
    root = {"type": "application", "bom-ref": "renkei-gateway", "name": "renkei-gateway", "version": version}
    root["licenses"] = [{"expression": "Apache-2.0"}]  # type: ignore[assignment]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": root},
        "components": [each.document() for each in found],
        "dependencies": [{"ref": "renkei-gateway", "dependsOn": [f"pkg:pypi/{each.name}@{each.version}" for each in found]}],
    }


def main(arguments: list[str]) -> int:
    """Write the document to standard output and what may not be used to standard error."""
    lock = Path(arguments[0] if arguments else "requirements.lock").read_text(encoding="utf-8")
    found = list(components(lock))
    print(json.dumps(document(found, distribution("renkei-gateway").version), indent=1, ensure_ascii=False))
    wrong = [f"{each.name} {each.version}: {each.problem} ({each.licence or 'nothing declared'})" for each in found if each.problem]
    for line in wrong:
        print(f"renkei: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
