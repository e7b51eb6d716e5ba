"""The adapter of the certificate issuance system: its manifest. How it is reached: :mod:`adapters.in_house.queue`."""

from __future__ import annotations

from typing import ClassVar

from adapters.in_house import InHouseAdapter
from gateway.contract import DropsDuplicates, Limits, Manifest, Remembers


class CertificateIssuanceAdapter(InHouseAdapter):
    """Brings changes of certificate data, cards and tax certificates (FS3-2, FS1-7, FS3-3)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="certificate_issuance",
        party="certificate-issuance-system",
        description_en="Certificate issuance system: certificate data, card identifiers and tax certificates, by queue",
        description_ja="証明発行システム：証明書データ、カード識別情報、課税証明書の異動情報（キュー）",
        message_types=("card-identifier-change", "certificate-data-change", "tax-certificate-change"),
        duplicates=DropsDuplicates(key="delivery-id", remembers=Remembers.EFFECTS, memory_s=366 * 86400.0),
        queue=True,
        settle_s=1.0,
        limits=Limits(calls=32, records_per_call=1, call_s=15.0),
    )
