"""The adapter of the resident record system: its manifest. How it is reached: :mod:`adapters.in_house.queue`."""

from __future__ import annotations

from typing import ClassVar

from adapters.in_house import InHouseAdapter
from gateway.contract import DropsDuplicates, Limits, Manifest, Remembers


class CoreRegisterAdapter(InHouseAdapter):
    """Brings messages of the parties to the register."""

    manifest: ClassVar[Manifest] = Manifest(
        name="core_register",
        party="resident-record-system",
        description_en="Resident record system: messages from the parties, by queue",
        description_ja="住民記録システム：各機関からの受信電文（キュー）",
        message_types=(
            "administrative-column-update",
            "application-record",
            "card-management-update",
            "code-acquisition-number-pair",
            "copy-reconciliation-result",
            "core-cs-reconciliation-result",
            "family-register-supplement-internal",
            "identity-update-result",
            "individual-number-notice",
            "move-in-notice",
            "move-out-certificate-data",
            "replica-check-list",
            "replica-export-data",
            "residence-status-notice",
            "resident-code-allocation",
        ),
        # the register's guide demands it: by the id of the delivery, for as long as the record of it is kept
        duplicates=DropsDuplicates(key="delivery-id", remembers=Remembers.EFFECTS, memory_s=366 * 86400.0),
        queue=True,
        settle_s=1.0,
        limits=Limits(calls=32, records_per_call=1, call_s=15.0),
    )
