"""The adapter of the intermediate server: requests for codes, registrations of integrated atena numbers, updates of the replica.

All three answer with receipts. A processing number (処理通番) comes later, as a message of the server's own at our listener. There is no
operation by which this business could inquire of another body: it acquires nothing over the network (C-M-6-1).
"""

from __future__ import annotations

from typing import ClassVar

from adapters.soap.profile_adapter import ProfileAdapter, manifest_of
from gateway.contract import Manifest
from message_formats import profiles

PROFILE = profiles.get("intermediate_server")


class IntermediateServerAdapter(ProfileAdapter):
    """Every outbound operation of its profile."""

    profile = PROFILE
    manifest: ClassVar[Manifest] = manifest_of(PROFILE, calls=8)
