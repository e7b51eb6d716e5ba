"""Settings that every simulated party has; read from a YAML file and from flags (flags win)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.errors import BadSettings


class PartySettings(BaseModel):
    """Network, certificates, journal, faults of one simulated party."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0: the system chooses; the ready file says which."""
    control_port: int = Field(default=0, ge=0, le=65535)
    token_file: Path
    certificate: Path
    key: Path
    ca: Path
    crl: Path | None = None
    wrong_certificate: Path | None = None
    wrong_key: Path | None = None
    caller: str = "CN=gateway"
    """The only one who may call: ``CN=…``, or an alternative name of the certificate."""
    tls12: bool = False
    journal: Path
    journal_sync: Literal["os", "disk"] = "os"
    salt: str | None = Field(default=None, min_length=1, repr=False)
    salt_file: Path | None = None
    faults: Path | None = None
    """A script of faults (YAML)."""
    seed: int = 0
    keepalive_s: float = Field(default=75.0, gt=0)
    ready_file: Path | None = None

    @model_validator(mode="after")
    def _one_salt(self) -> Self:
        if (self.salt is None) == (self.salt_file is None):
            raise ValueError("give either salt or salt_file")
        return self

    def the_salt(self) -> str:
        """The salt of the run."""
        return self.salt if self.salt is not None else read_secret(self.salt_file)


def read_secret(path: Path | None) -> str:
    """One line of a file.

    :raises BadSettings: there is none.
    """
    if path is None:
        raise BadSettings("secret-missing", "no file given")
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadSettings("secret-unreadable", f"{path.name}: {error.strerror}") from error
    if not text:
        raise BadSettings("secret-empty", f"{path.name} is empty")
    return text


SettingsType = TypeVar("SettingsType", bound=BaseModel)


def read_settings(model: type[SettingsType], file: Path | None, flags: dict[str, Any]) -> SettingsType:
    """Settings from a YAML file and flags; ``None`` among the flags means: not given.

    :raises BadSettings: naming the first setting that is wrong.
    """
    given: dict[str, Any] = {}
    if file is not None:
        try:
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings("settings-unreadable", f"{file.name}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise BadSettings("settings-not-yaml", f"{file.name} is not YAML") from error
        if not isinstance(loaded, dict):
            raise BadSettings("settings-not-yaml", f"{file.name} must hold settings by name")
        given.update(loaded)
    given.update({name: value for name, value in flags.items() if value is not None})
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadSettings("settings-invalid", f"{place}: {first['msg']}" if place else first["msg"]) from error
