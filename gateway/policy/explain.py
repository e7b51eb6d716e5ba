"""Decisions in words, in Japanese and English, with the article: for operators, auditors and the sender of what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from gateway.policy.decision import Decision, Permit, Refuse, Request
from gateway.policy.items import leaves
from gateway.policy.model import Article, Policy
from message_formats import catalogue

Language = Literal["en", "ja"]

REASONS: Mapping[str, tuple[str, str]] = {
    "no-connection": (
        "no permission of the policy is for this way: what is not permitted is refused",
        "この経路を許可する定めがありません（許可のないものは拒否します）",
    ),
    "work-missing": (
        "this way serves several works: the work (事務) must be named",
        "この経路は複数の事務に用いるため、事務の指定が必要です",
    ),
    "work-wrong": ("this way does not serve the work that is claimed", "申告された事務はこの経路の対象ではありません"),
    "work-inactive": ("the work is defined but not active", "この事務は定義されていますが、有効ではありません"),
    "not-carried": (
        "this is not handed over by the gateway: over the network the intermediate server answers, and paper is outside",
        "ゲートウェイは提供しません（情報提供ネットワークは中間サーバーが回答し、紙は対象外です）",
    ),
    "not-approved": (
        "the resident-register administrator has approved no items for this work",
        "住民基本台帳の管理者がこの事務に承認した項目がありません",
    ),
    "outside-period": ("the day is outside the period of the permission", "許可の有効期間外の日です"),
    "basis-wrong": ("the claimed legal basis is not that of this way", "申告された根拠法令はこの経路のものではありません"),
    "basis-not-in-force": ("the legal basis is not in force on that day", "根拠法令はその日に効力がありません"),
    "deceased": ("destination information of a deceased person is not handed over", "死亡者の送付先情報は提供しません"),
    "protected": (
        "the resident is under support measures: this is not handed over",
        "支援措置の対象者であるため提供しません",
    ),
    "item-not-permitted": ("these items are not permitted for this recipient", "この提供先に許可されていない項目です"),
}
"""Code of a refusal → what it says, English and Japanese."""


def reason(code: str, language: Language) -> str:
    """Why, in one sentence."""
    return REASONS[code][1 if language == "ja" else 0]


def sentence(refusal: Refuse) -> str:
    """For the sender and the record: one line in English that names the rule and what it is about; no values."""
    names = f" ({', '.join(refusal.names)})" if refusal.names else ""
    return f"{reason(refusal.code, 'en')}{names}"


def lines(policy: Policy, request: Request, decision: Decision, language: Language) -> list[tuple[str, str]]:
    """Label and text, for people."""
    ja = language == "ja"
    rows = [
        ("電文" if ja else "message", _type(request.message_type, ja)),
        ("提供元" if ja else "from", _system(policy, request.producer, ja)),
        ("提供先" if ja else "to", _system(policy, request.consumer, ja)),
        ("日" if ja else "on", request.on.isoformat()),
        ("版" if ja else "policy", f"{policy.version} ({policy.name}, {policy.digest[:12]})"),
    ]
    work_id = decision.work if isinstance(decision, Permit) else request.work
    if work_id is not None:
        rows.append(("事務" if ja else "work", _work(policy, work_id, ja)))
    if isinstance(decision, Refuse):
        rows += [
            ("判断" if ja else "decision", "拒否" if ja else "refused"),
            ("理由" if ja else "why", reason(decision.code, language) + (f" [{decision.code}]")),
            ("規定" if ja else "rule", decision.rule),
        ]
        if decision.names:
            rows.append(("対象" if ja else "about", _named(request.message_type, decision.names, ja)))
        return rows
    rows += [
        ("判断" if ja else "decision", "許可" if ja else "permitted"),
        ("根拠" if ja else "legal basis", "、".join(cite(a) for a in decision.basis) or ("記載なし" if ja else "none printed")),
        ("期間" if ja else "period", str(decision.permission.period)),
        ("項目" if ja else "items", _named(request.message_type, sorted(decision.items), ja)),
    ]
    if decision.withheld:
        rows.append(
            ("除外（支援措置）" if ja else "left out (support measures)", _named(request.message_type, sorted(decision.withheld), ja))
        )
    return rows


def cite(article: Article) -> str:
    """An article; ~ where the assessment does not tie it to the work."""
    return article.cite if article.tied else f"~{article.cite}"


def _type(name: str, ja: bool) -> str:
    if name not in catalogue.names():
        return name
    kind = catalogue.get(name)
    return f"{name}  {kind.name_ja if ja else kind.name_en}"


def _system(policy: Policy, key: str, ja: bool) -> str:
    system = policy.systems.get(key)
    return key if system is None else f"{key}  {system.ja if ja else system.en}"


def _work(policy: Policy, key: str, ja: bool) -> str:
    work = policy.works.get(key)
    if work is None:
        return key
    more = f"（{work.law}）" if work.law else ""
    to = f" → {'、'.join(work.recipients)}" if work.recipients else ""
    return f"{key}  {work.ja if ja or not work.en else work.en}{more}{to}"


def _named(message_type: str, names: Iterable[str], ja: bool) -> str:
    known = leaves(message_type) if message_type in catalogue.names() else {}
    return ", ".join(f"{name}（{known[name].name_ja}）" if ja and name in known else name for name in names)
