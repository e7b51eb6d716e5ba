"""Who asks: the name in the personal client certificate is the person on record, on every request (I6, C-1-3-12).

What a person may do is what the configuration gives *and* two persons approved, within its days, from its terminals, and for a contractor
while somebody of the city has released it (C-1-3-13 to -17, C-1-4-1, C-1-4-2).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from cryptography import x509

from certs.errors import CertificateError
from certs.path import Purpose, WhenUnknown
from certs.peer import Authority, peer_name, require_peer
from gateway.admin.access import Operation
from gateway.admin.desk import Accounts
from gateway.approvals.kinds import Role
from gateway.approvals.rights import Rights, in_force
from gateway.config import Config, Operator
from gateway.errors import PeerRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A known operator, with what is in force for this person now."""

    name: str
    roles: frozenset[Role]
    parties: frozenset[str] | None = None
    """None: all parties."""
    contractor: bool = False

    def may_see(self, party: str | None) -> bool:
        """What concerns ``party`` concerns this person. Without a party it concerns those who are for all of them."""
        return self.parties is None or (party is not None and party in self.parties)


def rights_of(operator: Operator) -> Rights:
    """What the configuration gives."""
    return Rights(
        roles=frozenset(Role(role) for role in operator.roles),
        parties=None if operator.parties is None else frozenset(operator.parties),
        networks=tuple(sorted(operator.networks)),
        valid_from=operator.valid_from,
        valid_until=operator.valid_until,
        contractor=operator.contractor,
    )


class Operators:
    """The persons who may use the API, by the names of their certificates."""

    def __init__(
        self,
        configured: Mapping[str, Rights],
        authority: Authority,
        accounts: Accounts,
        *,
        machines: frozenset[str] = frozenset(),
        certificate_days: int = 366,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.configured = dict(configured)
        self.accounts = accounts
        self._authority = authority
        self._machines = machines
        self._certificate_age = dt.timedelta(days=certificate_days)
        self._clock = clock

    @classmethod
    def of(cls, config: Config, accounts: Accounts, authority: Authority | None = None) -> Operators:
        """Those of the configuration; ``authority``: of our own systems and operators, if it is at hand."""
        if authority is None:
            trust = config.trust()
            authority = Authority(trust.ca, trust.crl, unknown=WhenUnknown(trust.unknown_revocation))
        return cls(
            {name: rights_of(operator) for name, operator in config.admin.operators.items()},
            authority,
            accounts,
            machines=config.machine_names,
            certificate_days=config.admin.certificate_days,
        )

    def name_of(self, request: web.Request) -> str:
        """The person whose certificate it is.

        :raises PeerRefused: no certificate, one that is not valid now or too old, of a machine, or of nobody who is known here.
        """
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        names: list[str] = []
        try:
            identity = peer_name(tls)
            if any(identity.is_named(machine) for machine in self._machines):
                raise PeerRefused("machine-certificate", "a machine's certificate is no operator's: operators are persons", rule="C-1-3-12")
            names = [name for name in self.configured if identity.is_named(name)]
            if len(names) != 1:
                raise PeerRefused("unknown-operator", "this certificate is of nobody in admin.operators of config.yaml")
            require_peer(tls, names[0], self._authority, Purpose.CLIENT)
        except CertificateError as error:
            raise PeerRefused(error.code, error.safe_detail, who=names[0] if names else "") from error
        assert tls is not None  # peer_name insists
        if self._clock() - _issued_at(tls.getpeercert(True)) > self._certificate_age:
            detail = f"this certificate was issued more than {self._certificate_age.days} days ago: get a new one"
            raise PeerRefused("certificate-too-old", detail, rule="C-1-3-18")
        return names[0]

    async def actor(self, name: str, address: str | None) -> Actor:
        """What the person may do now.

        :param address: the terminal's.
        :raises PeerRefused: nothing, and why.
        """
        account = await self.accounts.account(name)
        if account is None:
            text = "the rights of this person were not approved yet: renkei operators grant"
            raise PeerRefused("rights-not-approved", text, rule="C-1-3-16")
        configured, now = self.configured[name], self._clock()
        for rights in (configured, account.rights):
            refusal = rights.why_not_now(now, address)
            if refusal is not None:
                raise PeerRefused(*refusal, rule="C-1-4-1" if rights.contractor else "C-1-3-17")
        contractor = configured.contractor or account.rights.contractor
        if contractor and (account.released_until is None or account.released_until <= now.timestamp()):
            text = "a contractor works only while somebody of the city has released it: renkei operators release"
            raise PeerRefused("contractor-not-released", text, rule="C-1-4-2")
        await self.accounts.sighted(account, address)
        roles, parties = in_force(configured, account.rights)
        return Actor(name=name, roles=roles, parties=parties, contractor=contractor)


def require(actor: Actor, operation: Operation) -> None:
    """:raises PeerRefused: ``role-missing``, ``staff-only``."""
    require_role(actor, operation.roles)
    if operation.staff_only and actor.contractor:
        raise PeerRefused("staff-only", "this is not for a contractor", rule="C-1-4-1")


def require_role(actor: Actor, roles: frozenset[Role]) -> None:
    """:raises PeerRefused: ``role-missing``."""
    if not actor.roles & roles:
        needed = " or ".join(sorted(role.value for role in roles))
        raise PeerRefused("role-missing", f"{actor.name} does not have the role {needed} that this needs", who=actor.name)


def require_party(actor: Actor, party: str | None) -> None:
    """:raises PeerRefused: ``party-forbidden`` (C-1-3-15)."""
    if not actor.may_see(party):
        raise PeerRefused("party-forbidden", f"{actor.name} may act for other parties only", rule="C-1-3-15", who=actor.name)


@functools.lru_cache(maxsize=256)
def _issued_at(der: bytes) -> dt.datetime:
    return x509.load_der_x509_certificate(der).not_valid_before_utc
