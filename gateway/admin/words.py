"""State in words: why a delivery is where it is, and what happens next, when. English and Japanese, from the same facts."""

from __future__ import annotations

from typing import Literal

from gateway.admin.service import DeliveryView, Hold, State

Language = Literal["en", "ja"]
DAY = "day-of-effect"
MANUAL = "party-manual"
"""Reason of what waits because its party's work is done by hand."""

_WHY: dict[State, tuple[str, str]] = {
    State.RECEIVED: ("accepted and on disk", "受け付け、ディスクに記録しました"),
    State.QUEUED: ("ready to be sent", "送信できる状態です"),
    State.SENDING: ("a worker is sending it", "ワーカーが送信中です"),
    State.AWAITING_REPLY: ("the party took it and will answer later", "相手先が受け取り、回答を待っています"),
    State.BACKING_OFF: ("a passing failure", "一時的な失敗"),
    State.WAITING_BEHIND: ("an earlier message of the same resident is not finished", "同じ住民の先の電文が終わっていません"),
    State.WAITING_FOR: ("another delivery must succeed first", "先に成功すべき別の配送を待っています"),
    State.HELD: ("it holds its resident's later messages back", "この住民の後続の電文を止めています"),
    State.UNKNOWN: (
        "it was sent and no answer came: nobody can say yet whether it took effect",
        "送信しましたが回答がなく、反映されたかどうか分かりません",
    ),
    State.DELIVERED: ("the party confirmed it", "相手先が反映を確認しました"),
    State.REJECTED: ("the party refused it for good", "相手先が拒否しました"),
    State.SKIPPED: ("passed over on purpose", "承認のうえ読み飛ばしました"),
    State.EXPIRED: ("its time was over before it could be sent", "期限までに送信できませんでした"),
}

_HELD: dict[Hold, tuple[str, str]] = {
    Hold.REJECTED: ("the party refused it", "相手先が拒否しました"),
    Hold.UNKNOWN: (
        "nobody can say whether it took effect, and the party cannot be asked",
        "反映の有無が分からず、相手先に照会もできません",
    ),
    Hold.BUDGET: ("its retry budget is spent", "再送回数の上限に達しました"),
    Hold.CRASHES: ("three processes ended while sending it", "送信中のプロセスが三度停止しました"),
    Hold.APPROVAL: ("it may leave only when a second person has approved", "別の担当者の承認があるまで送信できません"),
}

_REMEDY: dict[Hold, tuple[str, str]] = {
    Hold.REJECTED: ("retry, correct or skip it", "再送・訂正・読み飛ばしのいずれかを行ってください"),
    Hold.UNKNOWN: ("ask the party, then settle it", "相手先に確認し、結果を確定（settle）してください"),
    Hold.BUDGET: ("retry it when the cause is gone", "原因を除いてから再送してください"),
    Hold.CRASHES: ("look at the log of the workers, then retry", "ワーカーのログを確認してから再送してください"),
    Hold.APPROVAL: (
        "ask for its release (renkei release), or for the whole bulk output (renkei bulk)",
        "送信の許可（renkei release）または一括提供の許可（renkei bulk）を申請してください",
    ),
}


def why(view: DeliveryView, language: Language) -> str:
    """One plain sentence: why it is where it is, with the stable code."""
    if view.state is State.WAITING_FOR and view.reason == DAY:
        return f"{_pick(('its day of effect has not come', '効力発生日を待っています'), language)} ({DAY})"
    pair = _HELD[view.hold] if _waits_for_a_person(view) and view.hold is not None else _WHY[view.state]
    code = view.reason or view.outcome_code
    return f"{_pick(pair, language)} ({code})" if code else _pick(pair, language)


def what_next(view: DeliveryView, language: Language) -> str:
    """One plain sentence: what happens next by itself, or who must act. The time stands in ``next_at``."""
    if view.state.final:
        return _pick(("nothing: this is final", "これで完了です"), language)
    if view.waiting:
        what = ", ".join(f"{each.command.value} ({each.request_id})" for each in view.waiting)
        pair = (f"a second person decides on what was asked for: {what}", f"申請の承認を待っています：{what}")
        return _pick(pair, language)
    if _waits_for_a_person(view):
        if view.hold is Hold.REJECTED and view.bears_update_number:
            pair = (
                "the register sends a replacement (異常時更新順番号) that corrects it; it cannot be skipped (R4)",
                "住民記録システムから訂正電文（異常時更新順番号）を送ってください。読み飛ばしはできません（R4）",
            )
        else:
            pair = _REMEDY[view.hold] if view.hold is not None else ("an operator decides", "担当者の判断を待っています")
        return _pick(pair, language)
    if view.state is State.WAITING_BEHIND:
        return _pick((f"it follows when {view.blocked_by} is finished", f"{view.blocked_by} が終わり次第送ります"), language)
    if view.state is State.WAITING_FOR and view.reason == DAY:
        return _pick(("it takes its place in the order on that day, and is sent", "その日に順番に加わり、送信します"), language)
    if view.state is State.WAITING_FOR:
        return _pick((f"it follows when {view.blocked_by} is delivered", f"{view.blocked_by} が配送され次第送ります"), language)
    if view.reason == MANUAL and view.state is not State.SENDING:
        return _pick(
            (
                "its party is worked by hand: mark it as done (renkei party done), or it is sent when the party is automatic again",
                "相手先は手作業中です。端末で処理したものは完了（renkei party done）とし、残りは自動に戻した後に送ります",
            ),
            language,
        )
    if view.party_down and view.state is not State.SENDING:
        return _pick(
            (
                "it is sent when the party is usable again (paused, or its breaker is open)",
                "相手先が使えるようになり次第送ります（停止中または遮断中）",
            ),
            language,
        )
    return _pick(_NEXT[view.state], language)


_NEXT: dict[State, tuple[str, str]] = {
    State.RECEIVED: ("it is put into its party's queue", "相手先のキューに入ります"),
    State.QUEUED: ("the next free worker sends it", "空いたワーカーが送ります"),
    State.SENDING: ("the party's answer, or its time limit", "相手先の回答か、時間切れを待ちます"),
    State.AWAITING_REPLY: ("the party's answer, or its deadline", "相手先の回答か、期限を待ちます"),
    State.BACKING_OFF: ("it is sent again", "再送します"),
    State.UNKNOWN: (
        "when the attempt has settled, the party is asked, or it is sent again under the same id",
        "送信の決着を待ち、照会するか、同じIDで再送します",
    ),
}


def _waits_for_a_person(view: DeliveryView) -> bool:
    return view.state is State.HELD or (view.state is State.UNKNOWN and view.hold is not None)


def _pick(pair: tuple[str, str], language: Language) -> str:
    return pair[1] if language == "ja" else pair[0]
