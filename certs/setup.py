"""The certificates that development, tests and the demonstration use: one directory, made once, renewed when due.

:func:`ensure` makes one authority for everybody, enough for a test of one part. :func:`ensure_networks` makes the shape of a real town:
what is on another network has its certificate from that network's authority, and the gateway shows a certificate of that network there.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from certs.authority import APPLICANTS, IN_HOUSE, JUKI_NET, LGWAN, NETWORKS, Network, Profile, TestAuthority
from certs.path import load_certificates, load_crls

LOOPBACK_DNS = ("localhost",)
LOOPBACK_IPS = ("127.0.0.1", "::1")
RENEW_BEFORE = dt.timedelta(days=30)

NAMES: dict[str, Profile] = {
    "gateway": Profile.PEER,
    "broker": Profile.PEER,
    "resident-record-system": Profile.CLIENT,
    "certificate-issuance-system": Profile.CLIENT,
    "family-register-system": Profile.CLIENT,
    "tax-system": Profile.CLIENT,
    "city-cs": Profile.PEER,
    "operator-a": Profile.CLIENT,
    "operator-b": Profile.CLIENT,
    "monitor": Profile.CLIENT,
    "gateway-signing": Profile.SIGNING,
    "city-cs-signing": Profile.SIGNING,
    "prefecture-server": Profile.PEER,
    "prefecture-server-signing": Profile.SIGNING,
    "card-management-system": Profile.PEER,
    "card-management-system-signing": Profile.SIGNING,
    "intermediate-server": Profile.PEER,
    "intermediate-server-signing": Profile.SIGNING,
}
"""CN of each certificate (also its first DNS name) and what it may be used for."""

_JUKI_NET_PARTIES = ("city-cs", "prefecture-server", "card-management-system")
_JUKI_NET = {name: NAMES[name] for name in (*_JUKI_NET_PARTIES, *(f"{each}-signing" for each in _JUKI_NET_PARTIES), "gateway-signing")}
_LGWAN = {name: NAMES[name] for name in ("intermediate-server", "intermediate-server-signing")}
TOWN: dict[Network, dict[str, Profile]] = {
    IN_HOUSE: {name: profile for name, profile in NAMES.items() if name not in _JUKI_NET and name not in _LGWAN},
    JUKI_NET: {**_JUKI_NET, "gateway-juki-net": Profile.PEER},
    LGWAN: {
        **_LGWAN,
        "intermediate-server-encryption": Profile.ENCRYPTION,
        "residence-card-issuance-system": Profile.SERVER,
        "application-management-system": Profile.SERVER,
        "certificate-centre": Profile.PEER,
        "certificate-centre-signing": Profile.SIGNING,
        "gateway-lgwan": Profile.PEER,
        "gateway-lgwan-signing": Profile.SIGNING,
        "gateway-lgwan-encryption": Profile.ENCRYPTION,
    },
    APPLICANTS: {f"applicant-{number}": Profile.SIGNING for number in (1, 2, 3)},
}
"""Whose certificate comes from where. For TLS, for signing and for encryption there are three (RFC 5280 section 4.2.1.3)."""


def ensure_networks(directory: Path | str) -> dict[str, TestAuthority]:
    """The authorities of all networks in ``directory``, by name, with the certificates of :data:`TOWN`, as far as missing or due."""
    return {network.name: _ensure(TestAuthority(directory, network), TOWN[network]) for network in NETWORKS.values()}


def ensure(directory: Path | str) -> TestAuthority:
    """Make authority, revocation list and the certificates of :data:`NAMES` in ``directory``, as far as missing or about to expire.

    Safe to call again and from several processes. Certificates of servers also carry the loopback names and addresses.
    """
    return _ensure(TestAuthority(directory), NAMES)


def _ensure(authority: TestAuthority, names: dict[str, Profile]) -> TestAuthority:
    authority.create()
    now = dt.datetime.now(dt.UTC)
    for name, profile in names.items():
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
