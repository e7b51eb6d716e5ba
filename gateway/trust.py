"""Whom connections of this configuration trust: TLS contexts and peer checks for our listeners, for parties and for the broker.

One place for all of them, so that what ``renkei check`` looks at is what the gateway uses.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from certs.errors import CertificateError
from certs.path import WhenUnknown
from certs.peer import Authority
from certs.tls import FollowingContext, client_context, server_context
from gateway.config import Config, Trust
from gateway.delivery.transport import Endpoint, PartyHttp
from gateway.errors import ConfigurationError
from gateway.plugins import BoundParty
from gateway.security.refusals import Witness


def authority_of(config: Config, name: str | None = None) -> Authority:
    """The authority ``name`` of the configuration; None: that of our own systems.

    :raises ConfigurationError: its files cannot be used.
    """
    trust = config.trust(name)
    try:
        return Authority(trust.ca, trust.crl, issuer_sha256=trust.issuer, unknown=WhenUnknown(trust.unknown_revocation))
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error


def listener_context(config: Config, name: str | None, authority: str | None = None) -> FollowingContext:
    """For a listener of ours with the certificate ``name``: a client certificate of the authority of that name is required; None: of our
    own.

    :raises ConfigurationError: a file cannot be used.
    """
    certificate, key = config.certificate(name)
    trust = config.trust(authority)
    try:
        return server_context(certificate, key, trust.ca, _lists(trust))
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error


def party_http(config: Config, party: BoundParty, witness: Witness | None = None) -> PartyHttp:
    """The HTTP client for one party: our certificate, its name, its authority, its line.

    :raises ConfigurationError: something of that cannot be used.
    """
    settings = party.config
    assert settings.url is not None and settings.peer is not None  # noqa: PT018 the model insists
    certificate, key = config.certificate(settings.certificate)
    trust = config.trust(settings.trust)
    endpoint = Endpoint(
        url=settings.url,
        peer=settings.peer,
        call_s=party.limits.call_s,
        connections=party.limits.calls,
        party=party.party,
        pins=frozenset(settings.pins),
        address=None if settings.address is None else str(settings.address),
        interface=settings.interface,
    )
    minimum = ssl.TLSVersion.TLSv1_2 if settings.tls == "1.2" else ssl.TLSVersion.TLSv1_3
    try:
        context = client_context(certificate, key, trust.ca, _lists(trust), minimum=minimum)
        context.check_hostname = False  # PartyHttp demands the exact name party.peer of every connection
        authority = authority_of(config, settings.trust)
        return PartyHttp(endpoint, context, authority, outgoing=config.outgoing_list, witness=witness)
    except CertificateError as error:
        raise ConfigurationError(error.code, f"party {party.party}: {error.safe_detail}") from error


def broker_context(config: Config) -> FollowingContext:
    """For connections to an external broker.

    :raises ConfigurationError: a file cannot be used.
    """
    external = config.broker.external
    assert external is not None  # the model insists
    certificate, key = config.certificate(external.certificate)
    trust = config.trust()
    try:
        return client_context(certificate, key, external.ca or trust.ca, None if external.ca else _lists(trust))
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error


def _lists(trust: Trust) -> Path | None:
    """What the handshake checks. Where unknown is accepted it must not: the check of each request knows the difference."""
    return trust.crl if trust.unknown_revocation == "refuse" else None
