"""What must be in order before anything starts: safe by default. One line for each thing that is not, with what to do.

``renkei check`` looks at more, and warns of what will be wrong soon; here is only what makes a start unsafe: a file that others may
write or a key that they may read, a certificate of our own that is missing, over, revoked or of another key. Peers are checked on
every request.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from certs.errors import CertificateError, PathInvalid
from certs.files import require_private
from certs.path import PathCheck, Purpose, check_purpose, check_strength, load_certificates, load_crls
from certs.tls import client_context, server_context
from gateway.config import Config
from gateway.errors import ConfigurationError, GatewayError
from gateway.keyring import open_token


def require_sound(config: Config) -> None:
    """Refuse to start where it would not be safe.

    :raises ConfigurationError: ``not-safe-to-start``, with all that is wrong.
    """
    wrong: list[str] = []
    for look in (_files, _secrets, _certificates, _messages, _token):
        wrong += look(config)
    if wrong:
        raise ConfigurationError("not-safe-to-start", "it is not safe to start:\n" + "\n".join(wrong))


def certificates_in_use(config: Config) -> dict[str, set[Purpose]]:
    """Names of the gateway's own certificates, and as what each is presented."""
    own = config.certificates.gateway
    uses: dict[str, set[Purpose]] = {own: {Purpose.SERVER, Purpose.CLIENT}}
    for name in (config.intake.https.certificate, config.admin.certificate, config.metrics.certificate):
        uses.setdefault(name or own, set()).add(Purpose.SERVER)
    if config.broker.mode == "embedded" and config.broker.embedded.listener is not None:
        uses.setdefault(config.broker.embedded.listener.certificate, set()).add(Purpose.SERVER)
    if config.broker.external is not None and config.broker.mode == "external":
        uses.setdefault(config.broker.external.certificate, set()).add(Purpose.CLIENT)
    for party in config.parties.values():
        uses.setdefault(party.certificate or own, set()).add(Purpose.CLIENT)
        if party.inbound is not None:
            uses.setdefault(party.inbound.certificate or party.certificate or own, set()).add(Purpose.SERVER)
    return uses


def _files(config: Config) -> Iterator[str]:
    """What decides about everything else must be ours alone to write."""
    if config.file is not None and config.file.stat().st_mode & stat.S_IWOTH:
        yield f"others may write {config.file.name}: chmod o-w {config.file.name}"
    for folder in (config.data_dir, config.certificates_directory, config.keys_directory, config.day_keys_directory):
        if not folder.exists():
            continue
        status = folder.stat()
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield f"others may write into {folder.name}/: chmod go-w {folder.name}"
        elif status.st_uid != os.geteuid() and os.geteuid() != 0:
            yield f"{folder.name}/ belongs to another user than the gateway's: chown it"


def _secrets(config: Config) -> Iterator[str]:
    external = config.broker.external
    files = [config.ledger.password_file, external.password_file if external is not None else None]
    files.append(config.token.pin_file if config.token is not None else None)
    for file in files:
        if file is not None:
            yield from _said(lambda file=file: require_private(file), "")  # type: ignore[misc]


def _certificates(config: Config) -> Iterator[str]:
    now = dt.datetime.now(dt.UTC)
    for name, purposes in sorted(certificates_in_use(config).items()):
        certificate, key = config.certificate(name)
        yield from _said(lambda c=certificate, k=key, p=purposes: _own_certificate(config, c, k, p, now), f"certificate {name}: ")  # type: ignore[misc]
    yield from _said(lambda: load_crls(config.crl_file), "revocation list: ")


def _messages(config: Config) -> Iterator[str]:
    """Keys for signatures and encryption of messages. Those in a token are asked for when the token is opened."""
    from gateway.message_trust import own_signer

    for name, party in config.parties.items():
        wanted, encrypted = party.signatures, party.encryption
        if wanted is not None and wanted.token_key is None:
            yield from _said(lambda w=wanted: own_signer(config, w), f"party {name}: ")  # type: ignore[misc]
        if encrypted is not None:
            yield from _said(lambda e=encrypted: require_private(config.certificate(e.certificate)[1]), f"party {name}: ")  # type: ignore[misc]


def _own_certificate(config: Config, certificate: Path, key: Path, purposes: set[Purpose], now: dt.datetime) -> None:
    require_private(key)
    # as both sides would load it: a key that does not belong to it, or a missing authority, fails here
    for purpose in purposes:
        (server_context if purpose is Purpose.SERVER else client_context)(certificate, key, config.ca_file, config.crl_file)
    own, *chain = load_certificates(certificate)
    check_strength(own)
    for purpose in purposes:
        check_purpose(own, purpose)
    if own.not_valid_before_utc > now:
        raise CertificateError("not-yet-valid", f"begins only on {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: is the clock right?")
    if own.not_valid_after_utc <= now:
        raise CertificateError("expired", f"ended on {own.not_valid_after_utc:%Y-%m-%d}: renew it")
    for purpose in purposes:
        try:
            PathCheck(config.ca_file, config.crl_file).verify(own, purpose, chain=chain)
        except PathInvalid as error:
            # it may come from an authority of the party's that we need not trust; that it was revoked is certain all the same
            if error.code == "revoked":
                raise CertificateError("revoked", "it was revoked: renew it") from error


def _token(config: Config) -> Iterator[str]:
    yield from _said(lambda: open_token(config), "")


def _said(look: Callable[[], object], prefix: str) -> Iterator[str]:
    try:
        look()
    except (CertificateError, GatewayError) as error:
        yield prefix + error.safe_detail
    except OSError as error:
        yield f"{prefix}{error.strerror or type(error).__name__}"
