"""What an anomaly means and what to do: cause and next step, in both languages. For people; no personal data."""

from __future__ import annotations

from gateway.feeds import judging

_KINDS = {
    judging.LATE: ("has not come in time", "所定の時刻に届いていません"),
    judging.MISSING: ("has not come at all for more than one period", "1周期以上届いていません"),
    judging.EMPTY: ("came, but empty", "届きましたが空でした"),
    judging.LAG: ("updates are not completed", "更新が完了していません"),
    judging.UNRECONCILED: ("applications are on the list of the portal, and were not here", "申請一覧にあり、未取得の申請があります"),
}
_STEPS = {
    "did-not-come": (
        "ask whoever sends it whether it ran; when it comes, this clears by itself",
        "送信側の処理が実行されたか確認してください。届けば自動で解除されます",
    ),
    "nothing-in-it": ("ask the party whether that is right", "相手先に内容が正しいか確認してください"),
    "paused": ("deliveries are paused: renkei resume PARTY", "配送を停止中です：renkei resume 相手先"),
    "held": ("renkei held: something waits for a person", "renkei held：確認待ちの配送があります"),
    "slow": ("renkei status: is the party slow, are there enough workers?", "renkei status：相手先の応答とワーカー数を確認してください"),
    "fetched-now": ("they are fetched now; see that renkei fetched shows them", "取得を行います。renkei fetched で確認してください"),
    "other-municipality": (
        "the answer was for another body: tell the operator of the party at once (C-1-2-22)",
        "他団体宛の応答です。至急、相手先の運用者に連絡してください（C-1-2-22）",
    ),
}
_ELSE = ("renkei check, then the party's operator", "renkei check を実行し、相手先の運用者に確認してください")


def meaning(kind: str, language: str) -> str:
    """What kind of anomaly it is."""
    return _KINDS.get(kind, (kind, kind))[language == "ja"]


def next_step(cause: str, language: str) -> str:
    """What a person does about it."""
    return _STEPS.get(cause, _ELSE)[language == "ja"]
