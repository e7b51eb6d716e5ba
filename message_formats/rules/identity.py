"""Rules of ``identity-information-update`` and its result (評価書 別添1, 別添2)."""

from __future__ import annotations

import functools

from message_formats import codes, dates, identity, kana
from message_formats.errors import FormatError
from message_formats.repertoire import gaiji_count
from message_formats.rules.registry import Context, rule


@functools.cache
def _reasons() -> dict[str, str]:
    return {entry.code: entry.symbol for entry in codes.table("change_reason").codes.values()}


@rule("identity-gaiji-counts")
def gaiji_counts(context: Context) -> None:
    """Each 外字数 is the number of 外字 of its text, and stands exactly where its text stands."""
    items = context.items
    for text_id, count_id in identity.GAIJI_COUNTS:
        text, count = items[text_id], items[count_id]
        if text is None:
            if count is not None:
                raise FormatError(
                    "item-unexpected", context.place(count_id), "identity-gaiji-counts", "a count without the text that it counts"
                )
        elif count is None:
            raise FormatError(
                "item-missing", context.place(count_id), "identity-gaiji-counts", "the count of a text that is there is missing"
            )
        elif gaiji_count(text, context.repertoire) != int(count):
            raise FormatError("count-wrong", context.place(count_id), "identity-gaiji-counts", "the count does not agree with its text")


@rule("identity-gaiji-flag")
def gaiji_flag(context: Context) -> None:
    """外字フラグ is 1 exactly where one of the counts is above 0."""
    items = context.items
    wanted = any(items[count] not in (None, "0") for _, count in identity.GAIJI_COUNTS)
    if (items["gaiji_flag"] == "1") is not wanted:
        raise FormatError("flag-wrong", context.place("gaiji_flag"), "identity-gaiji-flag", "the flag does not agree with the counts")


_NOTIFIED = frozenset({"IN_DOM", "IN_ABR", "MOVE", "OUT_DOM", "OUT_ABR", "BIRTH", "DEATH"})
_REQUIRED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_NOTIFIED, ("notified_on",)),
    "IN_DOM": ("notified_on", "previous_municipality_code", "previous_address"),
    "CODE_REQ": ("former_resident_record_code", "resident_record_code_used_from"),
    "NUM_REQ": ("individual_number",),
    "NUM_AMEND": ("individual_number",),
    "NUM_ADD": ("individual_number",),
}
_ONLY_WITH: dict[str, frozenset[str]] = {
    "previous_municipality_code": frozenset({"IN_DOM"}),
    "previous_address": frozenset({"IN_DOM", "IN_ABR"}),
    "former_resident_record_code": frozenset({"CODE_REQ", "CODE_ADD"}),
}


@rule("identity-reason-items")
def reason_items(context: Context) -> None:
    """Items that the reason for change requires, and items that belong to certain reasons only (17, 18, 24: "move-in only")."""
    items = context.items
    reason = _reasons().get(items["change_reason"] or "", "")
    for item in _REQUIRED.get(reason, ()):
        if items[item] is None:
            raise FormatError("item-missing", context.place(item), "identity-reason-items", "the reason for change requires this item")
    for item, reasons in _ONLY_WITH.items():
        if items[item] is not None and reason not in reasons:
            raise FormatError(
                "item-unexpected", context.place(item), "identity-reason-items", "the reason for change does not have this item"
            )


@rule("identity-kana-normalised")
def kana_normalised(context: Context) -> None:
    """清音化かな氏名 has neither voicing marks nor small kana."""
    if not kana.is_normalised(context.items["name_kana_normalised"] or ""):
        place = context.place("name_kana_normalised")
        raise FormatError("rule-violated", place, "identity-kana-normalised", "voicing marks or small kana in the normalised name")


@rule("identity-dates")
def identity_dates(context: Context) -> None:
    """The date of a change is a day of the calendar, except for birth and death (標準仕様書 1.1.8)."""
    items = context.items
    if items.get("change_date@text") is None and dates.is_calendar_day(items["change_date"] or ""):
        return
    if _reasons().get(items["change_reason"] or "") not in {"BIRTH", "DEATH"}:
        place = context.place("change_date")
        raise FormatError("date-invalid", place, "identity-dates", "only births and deaths may have a date of change outside the calendar")


@rule("identity-sequence")
def sequence(context: Context) -> None:
    """更新順番号 and 異常時更新順番号 count from 1."""
    for item in ("update_sequence_number", "abnormal_update_sequence_number"):
        if context.items[item] == "0":
            raise FormatError("number-range", context.place(item), "identity-sequence", "the number counts from 1")


@rule("result-error-code")
def result_error_code(context: Context) -> None:
    """A refusal names its error; an acceptance has none."""
    refused = context.items["outcome"] == "rejected"
    if refused is not (context.items["error_code"] is not None):
        code = "item-missing" if refused else "item-unexpected"
        raise FormatError(code, context.place("error_code"), "result-error-code", "a refusal, and only a refusal, names its error")
