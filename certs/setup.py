"""The certificates that development, tests and the demonstration use: one directory, made once, renewed when due."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from certs.authority import Profile, TestAuthority
from certs.path import load_certificates, load_crls

LOOPBACK_DNS = ("localhost",)
LOOPBACK_IPS = ("127.0.0.1", "::1")
RENEW_BEFORE = dt.timedelta(days=30)

NAMES: dict[str, Profile] = {
    "gateway": Profile.PEER,
    "broker": Profile.PEER,
    "resident-record-system": Profile.CLIENT,
    "city-cs": Profile.SERVER,
    "operator-a": Profile.CLIENT,
    "operator-b": Profile.CLIENT,
    "monitor": Profile.CLIENT,
    "gateway-signing": Profile.SIGNING,
    "city-cs-signing": Profile.SIGNING,
}
"""CN of each certificate (also its first DNS name) and what it may be used for."""


def ensure(directory: Path | str) -> TestAuthority:
    """Make authority, revocation list and the certificates of :data:`NAMES` in ``directory``, as far as missing or about to expire.

    Safe to call again and from several processes. Certificates of servers also carry the loopback names and addresses.
    """
    authority = TestAuthority(directory)
    authority.create()
    now = dt.datetime.now(dt.UTC)
    for name, profile in NAMES.items():
        files = authority.files(name)
        if (
            files.certificate.exists()
            and files.key.exists()
            and load_certificates(files.certificate)[0].not_valid_after_utc - now > RENEW_BEFORE
        ):
            continue
        if profile in (Profile.SERVER, Profile.PEER):
            authority.issue(name, profile, dns=LOOPBACK_DNS, ips=LOOPBACK_IPS)
        else:
            authority.issue(name, profile)
    ends = [each.next_update_utc for each in load_crls(authority.crl)]
    if any(end is None or end - now < RENEW_BEFORE / 2 for end in ends):
        authority.renew_crl()
    return authority
