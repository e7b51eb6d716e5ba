"""Rules of ``destination-information`` (送付先情報, 61 items; 評価書 別添2): lengths, counts, persons, substitutes; meaning inferred."""

from __future__ import annotations

import functools
import re

from message_formats import catalogue
from message_formats.repertoire import gaiji_count
from message_formats.rules.registry import Context, rule

_POSITIONS = re.compile(r"[1-9][0-9]*(?:,[1-9][0-9]*)*\Z")


@functools.cache
def _pairs(suffix: str) -> tuple[tuple[str, str, bool], ...]:
    """(text, describing item, inside the person block) for every item whose name ends in ``suffix``."""
    message_type = catalogue.get("destination-information")
    found: list[tuple[str, str, bool]] = []
    for item in message_type.items:
        for inner in item.items or (item,):
            if inner.id.endswith(suffix):
                found.append((inner.id.removesuffix(suffix), inner.id, bool(item.items)))
    return tuple(found)


def _persons(context: Context) -> list[str]:
    keys = {key.partition("/")[0] for key in context.items if key.startswith("person[")}
    return sorted(keys, key=lambda key: int(key[7:-1]))


def _everywhere(context: Context, suffix: str) -> list[tuple[str, str]]:
    persons = _persons(context)
    pairs: list[tuple[str, str]] = []
    for text, described, inside in _pairs(suffix):
        pairs += [(f"{person}/{text}", f"{person}/{described}") for person in persons] if inside else [(text, described)]
    return pairs


@rule("destination-lengths")
def lengths(context: Context) -> None:
    """Each 項目長 equals the length of the item that it describes, in code points, and stands exactly where that stands."""
    for text_id, length_id in _everywhere(context, "_length"):
        text, length = context.get(text_id), context.get(length_id)
        if (text is None) is not (length is None):
            code, item = ("item-missing", length_id) if length is None else ("item-unexpected", length_id)
            raise context.error(code, item, "destination-lengths", "a length and the text that it describes stand together")
        if text is not None and length is not None and len(text) != int(length):
            raise context.error("count-wrong", length_id, "destination-lengths", "the length does not agree with its text")


@rule("destination-gaiji-counts")
def counts(context: Context) -> None:
    """Each 外字数 is the number of 外字 of its text, and stands exactly where its text stands."""
    for text_id, count_id in _everywhere(context, "_gaiji_count"):
        text, count = context.get(text_id), context.get(count_id)
        if (text is None) is not (count is None):
            code = "item-missing" if count is None else "item-unexpected"
            raise context.error(code, count_id, "destination-gaiji-counts", "a count and the text that it counts stand together")
        if text is not None and count is not None and gaiji_count(text, context.repertoire) != int(count):
            raise context.error("count-wrong", count_id, "destination-gaiji-counts", "the count does not agree with its text")
    for person in _persons(context):
        name, address = context.get(f"{person}/name_kanji_gaiji_count") != "0", context.get(f"{person}/address_gaiji_count") != "0"
        if (context.get(f"{person}/gaiji_flag") == "1") is not (name or address):
            raise context.error("flag-wrong", f"{person}/gaiji_flag", "destination-gaiji-counts", "the flag does not agree with the counts")
        pattern = context.get(f"{person}/gaiji_pattern")
        if pattern is not None and pattern != f"0{name + 2 * address}":
            raise context.error(
                "flag-wrong", f"{person}/gaiji_pattern", "destination-gaiji-counts", "the pattern does not agree with the counts"
            )


@rule("destination-person-count")
def person_count(context: Context) -> None:
    """対象となる人数 is the number of person blocks."""
    if int(context.get("person_count") or 0) != len(_persons(context)):
        raise context.error("count-wrong", "person_count", "destination-person-count", "the count does not agree with the persons")


@rule("destination-substitutes")
def substitutes(context: Context) -> None:
    """代替文字: a substituted text comes with its positions, both exactly where the result says that characters were substituted."""
    for person in _persons(context):
        result = context.get(f"{person}/substitute_character_result")
        there = False
        for kind in ("name", "address"):
            text, positions_id = context.get(f"{person}/substitute_{kind}"), f"{person}/substitute_{kind}_positions"
            positions = context.get(positions_id)
            there = there or text is not None
            if (text is None) is not (positions is None):
                code = "item-missing" if positions is None else "item-unexpected"
                raise context.error(code, positions_id, "destination-substitutes", "a substituted text and its positions stand together")
            if text is not None and positions is not None:
                numbers = [int(number) for number in positions.split(",")] if _POSITIONS.match(positions) else [0]
                if numbers != sorted(set(numbers)) or numbers[0] < 1 or numbers[-1] > len(text):
                    raise context.error(
                        "rule-violated", positions_id, "destination-substitutes", "positions are rising and inside the text"
                    )
        if (result == "1") is not there:
            item = f"{person}/substitute_character_result"
            raise context.error("flag-wrong", item, "destination-substitutes", "the result does not agree with the substitutes")


@rule("destination-foreign-items")
def foreign_items(context: Context) -> None:
    """The end of a period of stay belongs to a foreign resident."""
    for person in _persons(context):
        if context.has(f"{person}/period_of_stay_expiry") and not context.has(f"{person}/article_30_45_category"):
            item = f"{person}/period_of_stay_expiry"
            raise context.error("item-unexpected", item, "destination-foreign-items", "an end of the period of stay for a Japanese citizen")
