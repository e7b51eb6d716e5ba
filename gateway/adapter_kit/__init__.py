"""A new adapter as a package of its own, with profile, simulator and tests: whoever writes one need not fork Renkei."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from gateway.errors import InputRefused
from gateway.policy.routes import tables
from message_formats import catalogue, profiles

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PARTY = re.compile(r"[a-z][a-z0-9-]{1,60}")
RECORDS = 20
"""In a call, until the party says another number."""
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "init.py.txt": "{package}/__init__.py",
    "profile.yaml.txt": "{package}/profile.yaml",
    "adapter.py.txt": "{package}/adapter.py",
    "simulator.py.txt": "{package}/simulator.py",
    "testing.py.txt": "{package}/testing.py",
    "test_contract.py.txt": "tests/test_contract.py",
    "test_adapter.py.txt": "tests/test_adapter.py",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAdapter:
    """What a new adapter is to be.

    :ivar name: in snake case; the value of ``parties.*.adapter`` in config.yaml.
    :ivar types: message types that it delivers, one operation for each.
    """

    name: str
    party: str
    types: tuple[str, ...]
    title_en: str
    title_ja: str

    @property
    def package(self) -> str:
        """Name of the Python package."""
        return f"renkei_{self.name}"


def planned(name: str, party: str, types: Sequence[str], title_en: str | None = None, title_ja: str | None = None) -> NewAdapter:
    """What is to be made, checked; without ``types`` all that our systems may send to that party.

    :raises InputRefused: ``bad-name``, ``bad-party``, ``no-types``.
    :raises FormatError: ``unknown-type``.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputRefused("bad-name", "the name is in snake case: small letters, digits, single underscores")
    if not _PARTY.fullmatch(party):
        raise InputRefused("bad-party", "the party is named as in the policy: small letters, digits, hyphens")
    known = {each.message_type for each in tables().connections if each.receiver == party}
    chosen = tuple(dict.fromkeys(types)) or tuple(sorted(known))
    if not chosen:
        raise InputRefused("no-types", f"nothing is permitted to go to {party}: name its message types with --type")
    for each in chosen:
        catalogue.get(each)
    if name in profiles.names():
        raise InputRefused("bad-name", f"{name} is the name of an adapter of the gateway's own")
    return NewAdapter(name=name, party=party, types=chosen, title_en=title_en or party, title_ja=title_ja or party)


def write(new: NewAdapter, folder: Path) -> list[Path]:
    """The package in a folder that is empty or not there yet; its files.

    :raises InputRefused: ``folder-not-empty``.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputRefused("folder-not-empty", f"{folder} is not empty")
    camel = catalogue.root_name(new.name.replace("_", "-"))
    values = {
        "name": new.name, "dashed": new.name.replace("_", "-"), "package": new.package, "party": new.party, "camel": camel,
        "class_name": f"{camel}Adapter", "title_en": new.title_en, "title_ja": new.title_ja,
        "operations": "\n".join(_operation(each) for each in new.types), "first": _operation_name(new.types[0]),
    }  # fmt: skip
    written = []
    for template, place in _FILES.items():
        text = Template((files(__package__) / "templates" / template).read_text(encoding="utf-8")).substitute(values)
        path = folder / place.format(package=new.package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _operation_name(message_type: str) -> str:
    return f"Send{catalogue.root_name(message_type)}"


def _operation(message_type: str) -> str:
    known = catalogue.get(message_type)
    return (
        f"  - {{name: {_operation_name(message_type)}, type: {message_type}, records: {RECORDS}, direction: out, "
        f"ja: '{known.name_ja}', en: '{known.name_en}'}}"
    )
