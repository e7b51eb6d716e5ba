"""The authorisation server for systems that fetch: ``client_secret_jwt`` in (RFC 7523), short-lived tokens out (RFC 9068, RFC 7662).

Who a client is, is proven three times: by its certificate, by an assertion made with its secret for this very request (used once), and by
the token that it had for both. There are no refresh tokens.

A token is a JWT under a key that every gateway process derives from the key store, the account and its secret. So it is good at every
process and after a restart of all of them, and nothing is kept of it; a new secret ends the tokens of the former one, and what the
configuration has taken from an account is taken from its tokens, too. Nothing of it is secret from its holder: no personal data.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from gateway.errors import ConfigurationError
from gateway.security.blind import ContentMac

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHM = "HS256"
SECRET_CHARACTERS = 32
LONGEST_ASSERTION_S = 600.0
SKEW_S = 60.0
ACCESS = "at+jwt"
_PURPOSE = "oauth access token"
OPERATIONS = ("read", "acknowledge")

Remember = Callable[[str, bytes, float], Awaitable[bool]]
"""Account, digest of what is used once, until when (wall clock): False, it was used before."""


class ClientRefused(Exception):
    """RFC 6749 section 5.2. ``error`` goes to the client; ``code`` says more, to us. Neither holds anything of what came."""

    def __init__(self, error: str, code: str) -> None:
        self.error, self.code = error, code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One account as the configuration knows it."""

    account: str
    client_id: str
    business_id: str
    """業務ID."""
    secret: str = field(repr=False)
    types: frozenset[str]
    """Message types that it may fetch: the resources of its scopes."""

    def __post_init__(self) -> None:
        if len(self.secret) < SECRET_CHARACTERS:
            raise ConfigurationError("client-secret", f"the client_secret of {self.account} has less than {SECRET_CHARACTERS} characters")

    @property
    def scopes(self) -> tuple[str, ...]:
        """Everything that it may ask for."""
        return tuple(scope(self.business_id, name, operation) for name in sorted(self.types) for operation in OPERATIONS)


def scope(business_id: str, resource: str, operation: str) -> str:
    """``${業務ID}:${リソース}:${操作}``."""
    return f"{business_id}:{resource}:{operation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token stands for."""

    client: Client
    scopes: frozenset[str]
    issued_at: float
    until: float
    """Wall clock."""


class Tokens:
    """Clients and the tokens that they have. For one event loop."""

    def __init__(
        self,
        clients: Iterable[Client],
        *,
        issuer: str,
        mac: Callable[[], ContentMac],
        remember: Remember,
        token_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``issuer``: our name; assertions are for it or for its token endpoint. ``mac``: what keys of tokens are derived with."""
        self._clients = {client.client_id: client for client in clients}
        self._issuer, self._audiences = issuer, frozenset({issuer, f"{issuer}/oauth/token"})
        self._mac = mac
        self._remember = remember
        self._token_s = token_s
        self._clock = clock

    def named(self, assertion: str) -> Client | None:
        """The client that an assertion or a token names, which is not proven yet: whose certificate must be shown."""
        try:
            claims = json.loads(jws.extract_compact(assertion.encode()).payload)
        except (JoseError, ValueError):
            return None
        subject = claims.get("sub") if isinstance(claims, dict) else None
        return self._clients.get(subject) if isinstance(subject, str) else None

    async def authenticate(self, form: Mapping[str, str]) -> Client:
        """The client whose assertion this is.

        :raises ClientRefused: ``invalid_client``.
        """
        assertion = form.get("client_assertion", "")
        client = self.named(assertion)
        if form.get("client_assertion_type") != ASSERTION_TYPE or client is None:
            raise ClientRefused("invalid_client", "client-unknown")
        if form.get("client_id", client.client_id) != client.client_id:
            raise ClientRefused("invalid_client", "client-differs")
        try:
            claims = jwt.decode(assertion, OctKey.import_key(client.secret), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError) as error:
            raise ClientRefused("invalid_client", "assertion-signature") from error
        self._check(client, claims)
        used = hashlib.sha256(f"oauth\x00{client.client_id}\x00{claims['jti']}".encode()).digest()
        if not await self._remember(client.account, used, claims["exp"] + SKEW_S):
            raise ClientRefused("invalid_client", "assertion-replayed")
        return client

    def _check(self, client: Client, claims: Mapping[str, Any]) -> None:
        now, until, since = self._clock(), claims.get("exp"), claims.get("nbf", 0)
        audience = claims.get("aud")
        named = set(audience) if isinstance(audience, list) and all(isinstance(each, str) for each in audience) else {audience}
        if claims.get("iss") != client.client_id:
            raise ClientRefused("invalid_client", "assertion-issuer")
        if not named & self._audiences:
            raise ClientRefused("invalid_client", "assertion-audience")
        if not isinstance(until, int | float) or not isinstance(since, int | float):
            raise ClientRefused("invalid_client", "assertion-time")
        if not (now - SKEW_S <= until <= now + LONGEST_ASSERTION_S + SKEW_S) or since > now + SKEW_S:
            raise ClientRefused("invalid_client", "assertion-time")
        if not isinstance(claims.get("jti"), str) or not 16 <= len(claims["jti"]) <= 200:
            raise ClientRefused("invalid_client", "assertion-id")

    def issue(self, client: Client, wanted: str) -> tuple[str, Token]:
        """A new token for ``wanted`` scopes (separated by blanks; none: all that it may have).

        :raises ClientRefused: ``invalid_scope``.
        """
        scopes = frozenset(wanted.split()) or frozenset(client.scopes)
        if not scopes <= set(client.scopes):
            raise ClientRefused("invalid_scope", "scope-not-granted")
        now = int(self._clock())
        token = Token(client=client, scopes=scopes, issued_at=now, until=now + self._token_s)
        claims = {
            "iss": self._issuer, "aud": self._issuer, "sub": client.client_id, "client_id": client.client_id,
            "iat": now, "exp": token.until, "jti": secrets.token_urlsafe(16), "scope": " ".join(sorted(scopes)),
        }  # fmt: skip
        [current, *_] = self._keys(client)
        return jwt.encode({"alg": ALGORITHM, "typ": ACCESS}, claims, current, algorithms=[ALGORITHM]), token

    def introspect(self, text: str) -> Token | None:
        """What the token stands for; None: it is none of ours, or its time is over."""
        client = self.named(text)
        if client is None:
            return None
        for key in self._keys(client):
            try:
                found = jwt.decode(text, key, algorithms=[ALGORITHM])
            except (JoseError, ValueError):
                continue
            claims = found.claims
            if found.header.get("typ") != ACCESS or (claims["iss"], claims["aud"]) != (self._issuer, self._issuer):
                return None
            scopes = frozenset(claims["scope"].split()) & set(client.scopes)
            token = Token(client=client, scopes=scopes, issued_at=claims["iat"], until=claims["exp"])
            return token if token.until > self._clock() else None
        return None

    def _keys(self, client: Client) -> list[OctKey]:
        """For this client's tokens: the one to sign with, then those before it."""
        mac, what = self._mac(), (_PURPOSE, client.client_id, client.secret)
        return [_key(secret) for secret in (mac.of(*what), *mac.earlier(*what))]


@functools.lru_cache(maxsize=256)
def _key(secret: bytes) -> OctKey:
    return OctKey.import_key(secret)
