"""The logic checks of the city CS: whether a record may take effect on the resident that it is about. Pure.

Sources: assessment, 本人確認情報ファイル, and flow F1-1 (move-in of an existing resident; in-city move that changes more than the address;
order by 更新順番号). The codes are those of ``message_formats/data/codes/juki_cs_error.yaml``; the sequence of the checks is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from message_formats import codes
from message_formats.identifiers import IndividualNumber, ResidentRecordCode

Items = Mapping[str, str]

BEYOND_ADDRESS = (
    "name_kanji",
    "name_gaiji_count",
    "name_furigana",
    "name_kana_normalised",
    "birth_date",
    "birth_date@text",
    "sex",
    "municipality_code",
    "individual_number",
    "resident_since",
    "relationship",
)
"""Items of identity that an in-city move (転居) must leave as they are; what only describes the change itself is free."""


class Refusal(StrEnum):
    """Error codes of the city CS."""

    FORMAT = "E001"
    CODE = "E002"
    CHECK_DIGIT = "E003"
    ALREADY_RESIDENT = "E101"
    MOVE_CHANGES_MORE = "E102"
    UNKNOWN_RESIDENT = "E103"
    SEQUENCE_GAP = "E201"
    SEQUENCE_USED = "E202"
    UPDATE_PROHIBITED = "E203"
    LOCKED = "E204"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A resident as the city CS holds one."""

    update: int
    """Last 更新順番号 that took effect; 0: none."""
    abnormal: int = 0
    """Last 異常時更新順番号 that took effect; 0: none."""
    present: bool = True
    """Lives here: the last change did not remove the record (消除)."""
    prohibited: bool = False
    """更新禁止フラグ is set."""
    locked: bool = False
    """排他フラグ is set."""
    load: Callable[[], Items] = field(repr=False)
    """All items of the last update; costs something, so it is called only where they are compared."""


def as_held(items: Items, *, update: int, abnormal: int) -> Resident:
    """The resident after an update with these items."""
    return Resident(
        update=update,
        abnormal=abnormal,
        present=group_of(items) != "remove",
        prohibited=items.get("update_prohibited_flag") == "1",
        locked=items.get("exclusive_lock_flag") == "1",
        load=lambda: items,
    )


def group_of(items: Items) -> str | None:
    """Group of the change reason (``add``, ``amend``, ``remove``); ``None``: the code is not in the table."""
    return _GROUPS.get(items["change_reason"])


_TABLE = codes.table("change_reason")
_GROUPS: Mapping[str, str] = {code: entry.more["group"] for code, entry in _TABLE.codes.items()}
_MOVE = _TABLE.of("MOVE").code
_LIFTING = frozenset({_TABLE.of("AMEND_OFF").code, _TABLE.of("AMEND_ERR").code})
"""Reasons under which an update may lift the prohibition of updates (ours)."""


def refusal_of(items: Items, resident: Resident | None, *, order: bool = True) -> Refusal | None:
    """Why a record may not take effect on ``resident`` (``None``: nobody known under its code); ``None``: it may.

    :param order: whether the order by 更新順番号 is looked at.
    """
    refusal = _malformed(items) or _out_of_place(items, resident)
    if refusal is None and order:
        refusal = _out_of_order(items, resident)
    return refusal or _illogical(items, resident)


def _malformed(items: Items) -> Refusal | None:
    """What the schema cannot see."""
    if int(items["update_sequence_number"]) < 1 or int(items.get("abnormal_update_sequence_number", "1")) < 1:
        return Refusal.FORMAT
    if items["change_reason"] not in _GROUPS:
        return Refusal.CODE
    former, number = items.get("former_resident_record_code"), items.get("individual_number")
    fits = ResidentRecordCode.check(items["resident_record_code"])
    if not fits or (former and not ResidentRecordCode.check(former)) or (number and not IndividualNumber.check(number)):
        return Refusal.CHECK_DIGIT
    return None


def _out_of_place(items: Items, resident: Resident | None) -> Refusal | None:
    """A move-in of somebody who lives here says more than that its number is used: it comes before the order."""
    if group_of(items) == "add" and resident is not None and resident.present:
        return Refusal.ALREADY_RESIDENT
    return None


def _out_of_order(items: Items, resident: Resident | None) -> Refusal | None:
    update = int(items["update_sequence_number"])
    last, last_abnormal = (resident.update, resident.abnormal) if resident is not None else (0, 0)
    if update <= last:
        return Refusal.SEQUENCE_USED
    if update > last + 1:
        return Refusal.SEQUENCE_GAP
    # A replacement takes the number of what it replaces, which had no effect. Refused replacements leave holes, so only rising counts.
    if "abnormal_update_sequence_number" in items and int(items["abnormal_update_sequence_number"]) <= last_abnormal:
        return Refusal.SEQUENCE_USED
    return None


def _illogical(items: Items, resident: Resident | None) -> Refusal | None:
    if group_of(items) == "add":
        return None
    if resident is None or not resident.present:
        return Refusal.UNKNOWN_RESIDENT
    if resident.prohibited and not (items["update_prohibited_flag"] == "0" and items["change_reason"] in _LIFTING):
        return Refusal.UPDATE_PROHIBITED
    if resident.locked and items["exclusive_lock_flag"] == "1":
        return Refusal.LOCKED
    if items["change_reason"] == _MOVE:
        held = resident.load()
        if any(items.get(item) != held.get(item) for item in BEYOND_ADDRESS):
            return Refusal.MOVE_CHANGES_MORE
    return None
