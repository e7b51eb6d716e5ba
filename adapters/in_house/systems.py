"""Our own systems, one adapter each, made from one table (``data/systems.yaml``): they differ in what they have, not in how.

The entry points of the distribution name the classes below. Several accounts of one system (``parties.*.system``) share its adapter.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from typing import Any

import yaml

from adapters.in_house.queue import InHouseAdapter
from gateway.contract import DropsDuplicates, Limits, Manifest, Remembers


@functools.cache
def systems() -> Mapping[str, Mapping[str, Any]]:
    """The table, by name of the adapter."""
    text = importlib.resources.files("adapters.in_house").joinpath("data", "systems.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return found


def adapter(name: str) -> type[InHouseAdapter]:
    """The adapter class of one system of the table."""
    row = systems()[name]
    manifest = Manifest(
        name=name,
        party=row["party"],
        description_en=row["en"],
        description_ja=row["ja"],
        message_types=tuple(row["types"]),
        # the guide for our systems demands it: by the id of the delivery, for as long as the record of it is kept
        duplicates=DropsDuplicates(key="delivery-id", remembers=Remembers.EFFECTS, memory_s=366 * 86400.0),
        queue=True,
        settle_s=1.0,
        limits=Limits(calls=32, records_per_call=1, call_s=15.0),
    )
    title = "".join(part.title() for part in name.split("_"))
    return type(f"{title}Adapter", (InHouseAdapter,), {"manifest": manifest, "__doc__": row["en"], "__module__": __name__})


InternalLinkAdapter = adapter("internal_link")
CertificateIssuanceAdapter = adapter("certificate_issuance")
FamilyRegisterAdapter = adapter("family_register")
TaxAdapter = adapter("tax")
AtenaAdapter = adapter("atena")
EducationBoardAdapter = adapter("education_board")
BusinessSystemsAdapter = adapter("business_systems")
OperatorsAdapter = adapter("operators")
