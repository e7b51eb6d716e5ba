"""The adapter of the family register system: its manifest. How it is reached: :mod:`adapters.in_house.queue`."""

from __future__ import annotations

from typing import ClassVar

from adapters.in_house import InHouseAdapter
from gateway.contract import DropsDuplicates, Limits, Manifest, Remembers


class FamilyRegisterAdapter(InHouseAdapter):
    """Brings messages to the family register system; its dialogues are with the gateway process."""

    manifest: ClassVar[Manifest] = Manifest(
        name="family_register",
        party="family-register-system",
        description_en="Family register system, by queue",
        description_ja="戸籍システム（キュー）",
        message_types=(),
        duplicates=DropsDuplicates(key="delivery-id", remembers=Remembers.EFFECTS, memory_s=366 * 86400.0),
        queue=True,
        settle_s=1.0,
        limits=Limits(calls=8, records_per_call=1, call_s=15.0),
    )
