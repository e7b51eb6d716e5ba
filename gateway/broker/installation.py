"""Where RabbitMQ is installed, and which version it is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigurationError

_DEBIAN = Path("/usr/lib/rabbitmq/lib")
HOME_VARIABLE = "RENKEI_RABBITMQ_HOME"

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A RabbitMQ tree with ``sbin`` and ``plugins``: Debian's package, or an unpacked generic-unix archive."""

    home: Path
    version: Version

    def program(self, name: str) -> str:
        return str(self.home / "sbin" / name)


def version_text(version: Version) -> str:
    return ".".join(map(str, version))


def parse_version(text: str) -> Version:
    """:raises ValueError: not of the form 3.10.8 (a suffix such as -rc.1 is ignored)."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    if not match:
        raise ValueError(f"not a version: {text!r}")
    return int(match[1]), int(match[2]), int(match[3])


def find(home: Path | None = None) -> Installation:
    """The installation at ``home``, at ``RENKEI_RABBITMQ_HOME``, or Debian's newest.

    :raises ConfigurationError: there is none; says what to install.
    """
    chosen = home or (Path(os.environ[HOME_VARIABLE]) if os.environ.get(HOME_VARIABLE) else None)
    if chosen is not None:
        return _at(chosen)
    found = sorted((_at(tree) for tree in _DEBIAN.glob("rabbitmq_server-*") if tree.is_dir()), key=lambda one: one.version)
    if not found:
        raise ConfigurationError(
            "broker-not-installed",
            "no RabbitMQ on this machine: apt-get install --no-install-recommends rabbitmq-server, or set "
            f"{HOME_VARIABLE} to an unpacked generic-unix tree",
            place="broker.mode",
        )
    return found[-1]


def _at(home: Path) -> Installation:
    for plugin in sorted((home / "plugins").glob("rabbit-[0-9]*")):
        return Installation(home=home.resolve(), version=parse_version(plugin.name.removeprefix("rabbit-")))
    raise ConfigurationError("broker-not-installed", f"{home} is not a RabbitMQ tree (no plugins/rabbit-…)", place=HOME_VARIABLE)
