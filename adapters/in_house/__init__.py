"""The adapters of our own systems: messages by queue, REST or files, final on the system's acknowledgement (R18)."""

from adapters.in_house.queue import InHouseAdapter
from adapters.in_house.systems import (
    AtenaAdapter,
    BusinessSystemsAdapter,
    CertificateIssuanceAdapter,
    EducationBoardAdapter,
    FamilyRegisterAdapter,
    InternalLinkAdapter,
    OperatorsAdapter,
    TaxAdapter,
)

__all__ = [
    "AtenaAdapter",
    "BusinessSystemsAdapter",
    "CertificateIssuanceAdapter",
    "EducationBoardAdapter",
    "FamilyRegisterAdapter",
    "InHouseAdapter",
    "InternalLinkAdapter",
    "OperatorsAdapter",
    "TaxAdapter",
]
