"""The adapter of the card management system: destination information unedited and with its digest, card updates, continued use."""

from __future__ import annotations

from typing import ClassVar

from adapters.soap.profile_adapter import ProfileAdapter, manifest_of
from gateway.contract import Manifest
from message_formats import profiles

PROFILE = profiles.get("card_management")


class CardManagementAdapter(ProfileAdapter):
    """Every operation of its profile; all answer with receipts."""

    profile = PROFILE
    manifest: ClassVar[Manifest] = manifest_of(PROFILE, calls=8, key="destination_control_number")
