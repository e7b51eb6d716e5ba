"""Which business flows a replay goes through, seen from its books, and why the others stay out. Ids as in the specification."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from simulators.replay.accounts import Books
from simulators.replay.terminals import CONFIRM, ELSEWHERE, INQUIRE, SEARCH, WIDE_AREA
from simulators.replay.ways import (
    CARD_CHANGE,
    CITY_CS,
    CODE_REQUEST,
    COLUMN,
    COPY,
    DATA_CHANGE,
    DESTINATION,
    FEED,
    GENERATION,
    LINKAGE,
    MASTER,
    NOTICE,
    PAIR,
    PROCESSING,
    REGISTRATION,
    REPLICA,
    RESULT,
    SUPPLEMENT_IN,
    TAX_CHANGE,
    UPDATE,
)  # fmt: skip

CHANGE = "resident-change-notification"
MOVE_IN, MOVE_OUT, MOVE_OUT_ASKED = "move-in-notice", "move-out-certificate-data", "move-out-certificate-request"
NUMBER, CARD = "individual-number-notice", "card-management-update"

DRIVEN: Mapping[str, tuple[str, ...]] = {
    "F1-1": (UPDATE, RESULT, NOTICE, CHANGE, DATA_CHANGE, "family-register-supplement-notice", MOVE_IN),
    "F1-2": (MOVE_IN, CHANGE, DATA_CHANGE),
    "F1-3": (f"{CITY_CS} {MOVE_OUT}",),
    "F1-4": (MOVE_OUT_ASKED, MOVE_OUT),
    "F1-5": (CHANGE, DATA_CHANGE),
    "F1-6": ("residence-status-notice",),
    "F1-10": (CHANGE, DATA_CHANGE, UPDATE),
    "F1-11": (GENERATION, NUMBER),
    "F2-1": (UPDATE, RESULT, NOTICE),
    "F2-3": (MOVE_OUT_ASKED, MOVE_OUT, "card-continuation-request"),
    "F2-7": (DESTINATION,),
    "F2-8": (CARD,),
    "F3-1": (GENERATION, NUMBER),
    "F4-1": (DESTINATION, CARD),
    "F6-1": (CODE_REQUEST, PROCESSING, PAIR),
    "FS1-7": (CARD_CHANGE,),
    "FS1-8b": (COLUMN,),
    "FS1-11": (SUPPLEMENT_IN,),
    "FS2-12": (SUPPLEMENT_IN,),
    "FS3-2": (DATA_CHANGE,),
    "FS3-3": (TAX_CHANGE,),
    "FS5-4": (LINKAGE,),
    "FS6-4": (CHANGE, REGISTRATION, REPLICA),
    "FS7-2": ("residence-address-notice",),
    "FS10-1": ("application-record",),
    "FS10-2": (FEED, "application-record"),
    "FS10-3": ("application-record",),
    "FX-1": ("resident-code-allocation",),
    "FR-2": (MASTER, COPY, "replica-check-list"),
    "FM-1": ("operating-status-notice",),
}
"""The types that carry a flow, where it matters after whom they are for; a flow counts the messages that took effect."""
BY_CERTIFICATE: Mapping[str, tuple[str, ...]] = {"F5-1": ("1", "2", "3"), "F5-2": ("4",)}
"""Kinds of certificates that were printed."""
BY_QUESTION: Mapping[str, str] = {"F1-8": WIDE_AREA, "F2-2": CONFIRM, "F2-4": SEARCH, "F2-5": INQUIRE, "FS2-11": ELSEWHERE}
"""Questions that were answered while somebody waited."""
OUTSIDE: Mapping[str, tuple[str, str]] = {
    "F1-7": ("at the counter, on paper: nothing is exchanged", "窓口・紙での手続。システム間の連携なし"),
    "F1-9": ("inspection at the counter: nothing is exchanged", "窓口での閲覧。システム間の連携なし"),
    "F4-2": ("between J-LIS and its call centre", "J-LIS とコールセンターの間"),
}
LEFT_OUT: Mapping[str, tuple[str, str]] = {
    "F2-6": ("about once a year, of the whole register: renkei reconcile", "年1回程度・全件：renkei reconcile"),
    "F3-2": ("on application, rare; the synthetic city has no such event", "申請による稀な手続。架空の市の異動にはない"),
    "F3-3": ("on request, rare; the synthetic city has no such event", "請求による稀な手続。架空の市の異動にはない"),
    "FR-1": ("of the whole register: renkei reconcile", "全件：renkei reconcile"),
    "FS1-8a": ("needs the city's own permissions for each work (policy)", "事務ごとの許可（ポリシー）が必要"),
}
"""Why a flow that the gateway carries has no part in a replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow. ``messages``: how many took effect; ``reason``: why it has none."""

    id: str
    messages: int
    reason: str | None = None


def flows_of(books: Books, *, inquiries: int) -> tuple[Flow, ...]:
    """All flows, in order. ``inquiries``: those that other bodies made (F6-2)."""
    effects: dict[str, int] = {}
    for line in books.lines:
        for key in (line.type, f"{line.party} {line.type}"):
            effects[key] = effects.get(key, 0) + line.effects
    found = {name: sum(effects.get(kind, 0) for kind in types) for name, types in DRIVEN.items()}
    if books.kiosks is not None:
        found |= {name: sum(books.kiosks.kinds[kind] for kind in kinds) for name, kinds in BY_CERTIFICATE.items()}
    if books.dialogues is not None:
        found |= {name: books.dialogues.answered.get(kind, 0) for name, kind in BY_QUESTION.items()}
    if inquiries:
        found["F6-2"] = inquiries
    japanese = os.environ.get("RENKEI_LANG", os.environ.get("LANG", "")).startswith("ja")
    missing = {name: reason[japanese] for name, reason in {**OUTSIDE, **LEFT_OUT}.items()}
    nobody = ("none came up in these days, or nobody of it takes part", "この期間に発生なし、又は関係する相手先が不参加")[japanese]
    names = {*found, *missing, *BY_CERTIFICATE, *BY_QUESTION, "F6-2"}
    return tuple(
        Flow(id=name, messages=found.get(name, 0), reason=None if found.get(name) else missing.get(name, nobody))
        for name in sorted(names, key=_order)
    )


def _order(name: str) -> tuple[int, str, int]:
    head, _, tail = name.partition("-")
    digits = "".join(each for each in tail if each.isdigit())
    return len(head), head, int(digits or 0)
