"""The adapter of the city CS: every operation of its profile by which we call it, and how its answers to updates are read."""

from __future__ import annotations

from typing import ClassVar

from lxml import etree

from adapters.soap.outcomes import Reads, Said
from adapters.soap.profile_adapter import ProfileAdapter, manifest_of
from gateway.contract import Envelope, Manifest
from message_formats import catalogue, profiles

PROFILE = profiles.get("juki_cs")
UPDATE, RESULT = "identity-information-update", "identity-update-result"
_ITEM = f"{catalogue.get(RESULT).tag}/{{{catalogue.get(RESULT).schema}}}"


def _said(result: etree._Element, envelope: Envelope) -> Said:
    """``identity-update-result``: it names the record by the party's own key."""
    if result.findtext(f"{_ITEM}request_control_number") != envelope.party_key:
        return Said(problem="answer-other-key")
    return Said(outcome=result.findtext(f"{_ITEM}outcome"), code=result.findtext(f"{_ITEM}error_code"))


class JukiCsAdapter(ProfileAdapter):
    """Carries to the city CS what is for it, for the national server, for J-LIS and for other municipalities, and asks it."""

    profile = PROFILE
    answers: ClassVar[dict[str, Reads]] = {RESULT: _said}
    manifest: ClassVar[Manifest] = manifest_of(PROFILE, key="request_control_number")  # 依頼管理番号
