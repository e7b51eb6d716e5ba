"""What the 36 items of identity information are to one another (評価書 別添1, 別添2), for rules, simulators and synthetic city."""

from __future__ import annotations

ADDRESS_ITEMS: frozenset[str] = frozenset(
    {
        "municipality_code",
        "town_code",
        "postal_code",
        "address",
        "address_gaiji_count",
        "address_since",
        "address_since@text",
    }
)
"""What an in-city move (転居) may change."""

METADATA_ITEMS: frozenset[str] = frozenset(
    {
        "notified_on",
        "previous_municipality_code",
        "previous_address",
        "previous_address_gaiji_count",
        "change_reason",
        "change_date",
        "change_date@text",
        "change_reason_detail",
        "request_control_number",
        "operating_site_id",
        "operating_terminal_id",
        "update_sequence_number",
        "abnormal_update_sequence_number",
        "update_prohibited_flag",
        "prospective_resident_flag",
        "exclusive_lock_flag",
        "gaiji_flag",
        "record_status_flag",
        "timestamp",
    }
)
"""What belongs to the update and not to the person: never compared by the logic checks. The previous address belongs to a move-in."""

GAIJI_COUNTS: tuple[tuple[str, str], ...] = (
    ("name_kanji", "name_gaiji_count"),
    ("address", "address_gaiji_count"),
    ("previous_address", "previous_address_gaiji_count"),
)
"""Texts of the record and the item that counts their 外字."""
