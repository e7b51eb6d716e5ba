"""Kinds of values that the configuration holds, and how they are read: paths of its folder, secrets, names, ports."""

from __future__ import annotations

import ipaddress
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
)

from gateway.config_problems import REFERENCE


class Reading(typing.TypedDict):
    folder: Path
    environment: Mapping[str, str]


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    reading: Reading | None = info.context
    return path if path.is_absolute() or reading is None else reading["folder"] / path


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError("must be a network such as 192.0.2.0/24 or an address") from error


def _from_environment(value: Any, info: ValidationInfo) -> Any:
    reading: Reading | None = info.context
    if reading is None or not isinstance(value, str):
        return value
    return resolve_secret(value, reading["environment"])


def resolve_secret(value: str, environment: Mapping[str, str]) -> str:
    """The value of ``${NAME}``; :raises ValueError: it is not a reference, or the variable is not set."""
    reference = REFERENCE.fullmatch(value.strip())
    if reference is None:
        raise ValueError("a secret does not belong into this file; write ${NAME} for a variable of the environment, or use the _file key")
    found = environment.get(reference[1])
    if not found:
        raise ValueError(f"the environment variable {reference[1]} is not set")
    return found


MOMENT_OF_DAY = r"^(([01][0-9]|2[0-3])|\*):[0-5][0-9]$"
"""HH:MM, once a day; *:MM, every hour."""
_ID = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_NAME = r"^[^\x00-\x1f]+$"
_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_HOST = r"^[^\s/]+$"
HOST_PORT = r"^[^\s:/]+(:[0-9]{1,5})?$"
HTTPS = r"^https://[^\s@]+$"
INSTANCE = r"^[a-z0-9][a-z0-9-]*$"
_SHA256 = r"^[0-9a-f]{64}$"
INTERFACE = r"^[^\s/]{1,15}$"
SHAPES = {
    _ID: "an id of the specification: small letters, digits and single hyphens, such as city-cs",
    _NAME: "a name in a certificate: a DNS name, a URI, or CN=common name",
    _FILE: "the name of a certificate file without .pem: letters, digits, dots, hyphens",
    _HOST: "a host name or an address",
    HOST_PORT: "HOST or HOST:PORT",
    HTTPS: "an address that starts with https:// and holds no user",
    INSTANCE: "small letters, digits and hyphens",
    _SHA256: "SHA-256 in 64 hexadecimal digits, small letters, without colons (renkei certs list shows it)",
    INTERFACE: "a network interface, such as eth1",
}

FilePath = Annotated[Path, AfterValidator(_from_folder)]
Secret = Annotated[SecretStr, BeforeValidator(_from_environment)]
Span = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}[smhd]$")]
"""A time such as 90s, 15m, 2h or 7d."""
SpecId = Annotated[str, StringConstraints(pattern=_ID, max_length=64)]
PeerName = Annotated[str, StringConstraints(pattern=_NAME, min_length=1, max_length=200)]
CertificateName = Annotated[str, StringConstraints(pattern=_FILE, max_length=64)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_HOST)]
Network = Annotated[str, AfterValidator(_network)]
Port = Annotated[int, Field(ge=1, le=65535)]
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of all sections: closed, unchangeable, and strict about defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


def one_secret(password: SecretStr | None, password_file: Path | None) -> None:
    if password is not None and password_file is not None:
        raise ValueError("password and password_file are both given; keep one")
