"""What no policy may ever permit, whoever applies it: the rules of the assessment that are about ways and items themselves.

They are checked when a policy is read (:mod:`gateway.policy.checks`), so that a decision need not; a decision that refuses for want of a
permission names the rule here that stands behind the want.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.policy.items import every, leaves, numbers
from gateway.policy.model import Permission, System

REGISTER = "resident-record-system"
CITY_CS = "city-cs"
ATENA = "atena-system"
FORMER = "former-resident-record-system"
JUKI_NET = frozenset({CITY_CS, "integrated-terminal", "juki-net-system"})
"""The municipal part of Juki-net: parts of one system, which is not "another in-house system" to itself."""
NETWORK = frozenset(
    {"intermediate-server", "information-provision-network", "ipn-interface-system", "ipn-core-system", "other-agency-intermediate-server"}
)
IMMIGRATION = frozenset({"residence-card-issuance-system", "immigration-link-terminal", "immigration-bureau"})
IDENTITY_FILE = frozenset(
    {
        "identity-information-update", "identity-update-result", "identity-information-notice", "identity-confirmation-request",
        "identity-confirmation-result", "identity-search-request", "identity-search-result", "identity-inquiry-request",
        "identity-inquiry-result", "reconciliation-identity-data", "reconciliation-result", "core-cs-reconciliation-data",
        "core-cs-reconciliation-result",
    }
)  # fmt: skip
DESTINATION_FILE = frozenset({"destination-information"})
REPLICA = frozenset({"provision-replica-update", "provision-response"})
ARTICLE_7_4 = frozenset({"head_name", "relationship"})
"""住基法第7条第4号: head of household and relationship."""


def forbidden(systems: Mapping[str, System], message_type: str, producer: str, consumer: str) -> str | None:
    """The rule that forbids this way for every policy; None: nothing does."""
    ends = {producer, consumer}
    if FORMER in ends:
        return "C-1-3-11"
    if CITY_CS in ends and ATENA in ends:
        return "C-2-3-1"
    if CITY_CS in ends:
        other = next(iter(ends - {CITY_CS}), CITY_CS)
        system = systems.get(other)
        # what the city CS hands to the family register system goes by way of the register (route inferred, FS2-12)
        by_register = (message_type, producer, consumer) == ("family-register-supplement-internal", CITY_CS, "family-register-system")
        if system is not None and system.in_house and other not in JUKI_NET and other != REGISTER and not by_register:
            return "C-2-3-2"
    if ends & NETWORK and message_type in IDENTITY_FILE:
        return "C-2-6-1"
    if ends & NETWORK and message_type in DESTINATION_FILE:
        return "C-3-6-1"
    return None


def item_rule(systems: Mapping[str, System], permission: Permission) -> tuple[str, tuple[str, ...]] | None:
    """The rule that forbids items of a permission, and which; None: nothing does."""
    number = permission.items & numbers(permission.message_type)
    ends = {permission.producer, permission.consumer}
    if number and ends & IMMIGRATION:
        return "C-1-3-10", tuple(sorted(number))
    if number and ends & NETWORK and permission.leg != "gateway":
        return "C-M-6-17", tuple(sorted(number))
    if number and any(systems[end].number_never for end in ends if end in systems):
        return "C-1-3-10", tuple(sorted(number))
    if permission.message_type in REPLICA:
        known = leaves(permission.message_type)
        more = tuple(
            sorted(p for p in every(permission.message_type) & permission.items if p.rpartition("/")[2] not in ARTICLE_7_4 and "/" in p)
        )
        if more or any(known[p].kind == "individual-number" for p in permission.items):
            return "C-M-6-24", more
    return None
