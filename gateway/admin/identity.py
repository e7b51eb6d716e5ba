"""Who asks: the name in the personal client certificate is the person on record, on every request (I6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from certs.errors import CertificateError
from certs.path import Purpose, WhenUnknown
from certs.peer import Authority, peer_name, require_peer
from gateway.admin.service import Role
from gateway.config import Config
from gateway.errors import PeerRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A known operator."""

    name: str
    roles: frozenset[Role]


class Operators:
    """The persons who may use the API, by the names of their certificates."""

    def __init__(self, roles: Mapping[str, frozenset[Role]], authority: Authority) -> None:
        self._roles = dict(roles)
        self._authority = authority

    @classmethod
    def of(cls, config: Config, authority: Authority | None = None) -> Operators:
        """Those of the configuration; ``authority``: of our own systems and operators, if it is at hand."""
        roles = {name: frozenset(Role(role) for role in operator.roles) for name, operator in config.admin.operators.items()}
        if authority is None:
            trust = config.trust()
            authority = Authority(trust.ca, trust.crl, unknown=WhenUnknown(trust.unknown_revocation))
        return cls(roles, authority)

    def actor(self, request: web.Request) -> Actor:
        """The person behind this request.

        :raises PeerRefused: no certificate, one that is not valid now, or of nobody who is known here.
        """
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        names: list[str] = []
        try:
            identity = peer_name(tls)
            names = [name for name in self._roles if identity.is_named(name)]
            if len(names) != 1:
                raise PeerRefused("unknown-operator", "this certificate is of nobody in admin.operators of config.yaml")
            require_peer(tls, names[0], self._authority, Purpose.CLIENT)
        except CertificateError as error:
            raise PeerRefused(error.code, error.safe_detail, who=names[0] if names else "") from error
        return Actor(name=names[0], roles=self._roles[names[0]])


def require(actor: Actor, role: Role) -> None:
    """:raises PeerRefused: ``role-missing``."""
    if role not in actor.roles:
        raise PeerRefused("role-missing", f"{actor.name} does not have the role {role.value} that this needs", who=actor.name)
