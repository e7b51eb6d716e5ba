"""The adapter of the prefecture server: notices after the city CS has accepted, searches, and data for the reconciliation."""

from __future__ import annotations

from typing import ClassVar

from adapters.soap.profile_adapter import ProfileAdapter, manifest_of
from gateway.contract import Manifest
from message_formats import profiles

PROFILE = profiles.get("prefecture_server")


class PrefectureServerAdapter(ProfileAdapter):
    """Every operation of its profile; all answer with receipts, but searches."""

    profile = PROFILE
    manifest: ClassVar[Manifest] = manifest_of(PROFILE, calls=8)
