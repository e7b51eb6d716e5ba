"""With what the messages of a party are signed, verified and encrypted, as the configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certs.errors import CertificateError
from gateway.config import Config, Signatures
from gateway.errors import ConfigurationError
from gateway.keyring import open_token
from gateway.plugins import BoundParty
from gateway.trust import authority_of

if TYPE_CHECKING:
    from gateway.security.soap.keys import Signer
    from gateway.security.soap.messages import MessageSecurity
    from gateway.security.soap.replay import Replays


def party_signatures(config: Config, party: BoundParty, replays: Replays | None = None) -> MessageSecurity | None:
    """With what messages to and from one party are signed, if they are. ``replays``: of what it hands in; None: of its answers only.

    :raises ConfigurationError: a key or certificate cannot be used.
    :raises TokenUnavailable: our key is in a token that does not answer.
    """
    wanted, encrypted = party.config.signatures, party.config.encryption
    if wanted is None:
        return None
    from gateway.security.soap.messages import open_security
    from gateway.security.soap.replay import RecentAnswers
    from gateway.security.soap.verifier import Freshness

    try:
        return open_security(
            party.party,
            own=own_signer(config, wanted),
            partner=config.certificate(wanted.partner)[0],
            authority=authority_of(config, party.config.trust),
            replays=replays or RecentAnswers(),
            freshness=Freshness(skew_s=wanted.skew_s, longest_s=wanted.longest_s),
            lifetime_s=wanted.lifetime_s,
            encryption=None
            if encrypted is None
            else (config.certificate(encrypted.partner)[0], config.certificate(encrypted.certificate)[1]),
        )
    except (CertificateError, ConfigurationError) as error:
        raise ConfigurationError(error.code, f"party {party.party}: {error.safe_detail}") from error


def own_signer(config: Config, wanted: Signatures) -> Signer:
    """Our signing key for a party: from its file, or in the token.

    :raises ConfigurationError: it cannot be used.
    :raises TokenUnavailable: the token does not answer.
    """
    from gateway.security.soap.keys import OwnKey, TokenKey

    certificate, key = config.certificate(wanted.certificate)
    if wanted.token_key is None:
        return OwnKey(certificate, key)
    token = open_token(config)
    assert token is not None  # the model insists
    return TokenKey(certificate, token, wanted.token_key)
