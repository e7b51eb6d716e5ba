"""The places on this machine's disk that the retention table names: what lies there, since when, and how it is disposed of."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.retention.policy import Place
from gateway.security.keys import overwrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of a place, and the names in it that belong there; what has another name is never touched."""

    path: Path
    patterns: tuple[str, ...]
    secret: bool = True
    """Overwrite before removing."""
    deep: bool = False
    """Also in the folders below; those that are empty then go too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldFile:
    """A file that is past its time."""

    path: Path
    changed_at: float
    secret: bool
    within: Path | None = None
    """The folder of the place, where it lies below that."""


Folders = Mapping[Place, Sequence[Folder]]


def due(folders: Sequence[Folder], before: float) -> list[OldFile]:
    """Files that were last changed before ``before`` (seconds since 1970 UTC), oldest first. Links are left alone. Blocks."""
    found = []
    for folder in folders:
        if not folder.path.is_dir():
            continue
        for path in sorted(folder.path.rglob("*") if folder.deep else folder.path.iterdir()):
            if path.is_symlink() or not path.is_file() or not any(fnmatch.fnmatch(path.name, each) for each in folder.patterns):
                continue
            changed = path.stat().st_mtime
            if changed < before:
                within = folder.path if folder.deep and path.parent != folder.path else None
                found.append(OldFile(path=path, changed_at=changed, secret=folder.secret, within=within))
    return sorted(found, key=lambda each: (each.changed_at, each.path.name))


def dispose(file: OldFile) -> bool:
    """Overwrite and remove; False: somebody else did. Blocks."""
    try:
        if file.secret:
            overwrite(file.path)
        file.path.unlink()
        if file.within is not None:
            with contextlib.suppress(OSError):  # others lie in it yet
                file.path.parent.rmdir()
    except FileNotFoundError:
        return False
    return True
