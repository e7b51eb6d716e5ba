"""The keys of an instance, from its configuration: key directory, token, day keys, and what seals with them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sqlalchemy import Connection

from certs.errors import KeyFileUnsafe
from certs.files import require_private
from gateway.config import Config, read_secret
from gateway.errors import ConfigurationError
from gateway.ledger import keys as ledger_keys
from gateway.policy.rights import Rights
from gateway.policy.routes import tables
from gateway.security.day_keys import DayKeys
from gateway.security.kek import TokenKeks
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import Sealer, kek_of
from gateway.security.token import Token, TokenSettings

_tokens: dict[tuple[Path, str], Token] = {}


def open_token(config: Config) -> Token | None:
    """The token of the configuration, if it names one; not logged in before it is used. One for each process: logging in counts for all.

    :raises ConfigurationError: its library is not there, or others may write it; the PIN cannot be read.
    """
    settings = config.token
    if settings is None:
        return None
    _require_library(settings.library)
    place = settings.library, settings.label
    if place not in _tokens:

        def pin() -> str:
            if settings.pin_file is not None:
                _require_private(settings.pin_file)
            return read_secret(settings.pin, settings.pin_file) or ""

        _tokens[place] = Token(TokenSettings(library=settings.library, label=settings.label, pin=pin))
    return _tokens[place]


def key_store(config: Config) -> KeyStore:
    """The key directory, not yet looked at: see :meth:`~gateway.security.keys.KeyStore.ensure`."""
    token = open_token(config)
    return KeyStore(
        config.keys_directory, token=None if token is None else TokenKeks(token), kek_in_token=config.keys.kek == "token"
    )  # fmt: skip


def day_keys(config: Config, rights: Rights) -> DayKeys:
    """The directory of day keys, made if it is missing. Their days are those of business time, as everything's that must vanish (R21)."""
    return DayKeys(config.day_keys_directory, now=lambda: time.time() + rights.standing.offset_s).ensure()


def sealer(config: Config, keys: KeyStore, rights: Rights) -> Sealer:
    """What seals and unseals payloads."""
    return Sealer(keys, day_keys=day_keys(config, rights), ephemeral=tables().ephemeral)


def require_keys(conn: Connection, keys: KeyStore) -> None:
    """Everything in the ledger can be opened with these keys.

    :raises ConfigurationError: ``keys-lost``: the ledger needs a key that is not there. Nothing may start then: new keys would be made
        for new messages, and it would look as if all were well.
    """
    for kind, wanted in (
        (Kind.KEK, {kek_of(path) for path in ledger_keys.key_paths(conn)}),
        (Kind.BLIND, set(ledger_keys.generations(conn))),
    ):
        for key_id in sorted(wanted):
            try:
                keys.require(kind, key_id)
            except ConfigurationError as error:
                raise ConfigurationError(
                    "keys-lost",
                    f"the ledger needs the {kind.value} key {key_id}, which is not in {keys.directory.name}/: "
                    "bring back the key directory that belongs to this ledger",
                ) from error


def _require_library(library: Path) -> None:
    """A library that others may write would get the PIN."""
    try:
        status = library.stat()
    except OSError as error:
        raise ConfigurationError("token-library", f"token.library: {library.name} is not there ({error.strerror})") from error
    if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError("token-library", f"token.library: others may write {library.name}: give it to root, mode 0644")


def _require_private(file: Path) -> None:
    try:
        require_private(file)
    except KeyFileUnsafe as error:
        raise ConfigurationError("secret-file-unsafe", error.safe_detail.replace("private key file", "secret file")) from error
