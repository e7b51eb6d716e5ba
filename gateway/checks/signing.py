"""``renkei check``: certificates for signatures on messages and for their encryption."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from certs.errors import CertificateError
from certs.path import load_certificates
from gateway.config import Config
from gateway.contract import Finding
from gateway.errors import GatewayError


def signing(config: Config) -> Iterator[Finding]:
    """Certificates for signatures on messages: ours with their keys, and those of the parties."""
    from gateway.message_trust import own_signer

    parties = [party for party in config.parties.values() if party.signatures is not None]
    wanted = [party.signatures for party in parties if party.signatures is not None]
    for name, each in sorted({each.certificate: each for each in wanted}.items()):
        try:
            found = own_signer(config, each).current().certificate
        except GatewayError as error:
            remedy = f"put NAME.pem and NAME.key of a signing certificate into {config.certificates_directory}"
            if each.token_key is not None:
                remedy = f"put NAME.pem into {config.certificates_directory}, and see that its key is in the token under that label"
            yield Finding(name=f"certificate {name}", ok=False, detail=error.safe_detail, remedy=remedy)
        else:
            yield in_force(f"certificate {name}", found.not_valid_before_utc, found.not_valid_after_utc, config.certificates.warn_days)
    partners = {each.partner for each in wanted} | {party.encryption.partner for party in parties if party.encryption is not None}
    encrypting = {party.encryption.certificate for party in parties if party.encryption is not None}
    for name in sorted(partners | encrypting):
        try:
            last = load_certificates(config.certificate(name)[0])[0]
        except CertificateError as error:
            remedy = f"get the party's signing certificate and put it into {config.certificates_directory}"
            yield Finding(name=f"certificate {name}", ok=False, detail=error.safe_detail, remedy=remedy)
        else:
            yield in_force(f"certificate {name}", last.not_valid_before_utc, last.not_valid_after_utc, config.certificates.warn_days)


def in_force(label: str, begins: dt.datetime, ends: dt.datetime, warn_days: int) -> Finding:
    """A certificate is valid now, and for some time."""
    now = dt.datetime.now(dt.UTC)
    if begins > now:
        return Finding(
            name=label, ok=False, detail=f"begins only on {begins:%Y-%m-%d %H:%M} UTC", remedy="look at the clock of this machine"
        )
    days = (ends - now).days
    if ends <= now:
        return Finding(name=label, ok=False, detail=f"ended on {ends:%Y-%m-%d}", remedy="replace it now: renkei certs renew NAME")
    remedy = "" if days > warn_days else "replace it before then: renkei certs renew NAME"
    return Finding(name=label, ok=days > warn_days, detail=f"until {ends:%Y-%m-%d} ({days} days)", remedy=remedy)
