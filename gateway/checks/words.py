"""What ``renkei check`` finds, in Japanese. The English text is the key; ``{}`` stands for what differs from time to time.

Findings are made in English where the look is, also by adapters; here they are put into the language of whoever reads. What is not in the
table stays English: texts of errors, which name their stable code.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

JAPANESE: Mapping[str, str] = {
    # names
    "configuration": "設定",
    "certificates": "証明書",
    "certificate {}": "証明書 {}",
    "revocation list": "失効リスト",
    "keys": "鍵",
    "policy": "ポリシー",
    "operators": "操作者",
    "operators: review": "操作者：点検",
    "operators: ended": "操作者：期限切れ",
    "operators: approval": "操作者：承認",
    "operators: rights": "操作者：権限",
    "accounts": "操作者の登録",
    "disk": "ディスク",
    "broker": "ブローカー",
    "broker {}": "ブローカー {}",
    "broker topology": "ブローカーのキュー",
    "ledger": "台帳",
    "clock": "時計",
    "parties": "相手先",
    "party {}": "相手先 {}",
    "party {}: {}": "相手先 {}：{}",
    "audit chain": "証跡の連鎖",
    "audit checkpoints": "証跡のチェックポイント",
    "backup": "バックアップ",
    "flows": "業務フロー",
    "flows: overdue": "業務フロー：期限超過",
    "flows: behind": "業務フロー：遅延",
    "none": "なし",
    "cases that are overdue: {}": "期限を過ぎた案件：{}",
    "renkei flows overdue": "renkei flows overdue で確認してください",
    "they are {} blocks behind the record": "証跡より {} ブロック遅れています",
    "is a gateway process running? look for flows-stand": "ゲートウェイのプロセスは動いていますか。ログの flows-stand を確認してください",
    "none is made daily (backup.daily_at), and there is none yet": "日次バックアップの設定（backup.daily_at）がなく、まだ一つもありません",
    "there is none yet": "まだありません",
    "the newest is {} h old": "最新のものは {} 時間前",
    "renkei backup create; look for backup-failed in the log": "renkei backup create を実行し、ログの backup-failed を確認してください",
    "revocation list{}": "失効リスト{}",
    "revocation list of {}": "{} の失効リスト",
    "revocation list of {} ({})": "{} の失効リスト（{}）",
    "until {} UTC, {} h old": "{} UTC まで、発行から {} 時間",
    # details and remedies
    "bring back {}": "{} を元に戻してください",
    "bring {} back as it was; keys that are lost cannot be made again": "{} を元どおりに戻してください。失われた鍵は作り直せません",
    "destroy them: shred -u in {}": "破棄してください：{} で shred -u",
    "fetch the current one and: renkei certs import crl FILE{}; {}": "最新のものを取得し、renkei certs import crl FILE{} を実行してください。{}",
    "look for audit- in the log": "ログの audit- を確認してください",
    "no longer in use, but still there: {} (a destruction was interrupted)": "使われていないのに残っています：{}（破棄が中断されました）",
    "nothing on record yet": "まだ記録がありません",
    "private, and they work; current since: {}": "所有者だけが読め、機能しています。現行の鍵の開始：{}",
    "put NAME.pem and NAME.key into {} (renkei certs request and import; init: fictitious ones)": (
        "NAME.pem と NAME.key を {} に置いてください（renkei certs の request と import。init は架空のものを作ります）"
    ),
    "renkei audit verify says what; {} is the one to believe": "renkei audit verify が内容を示します。信じるべきは {} です",
    "renkei certs renew {}": "renkei certs renew {} を実行してください",
    "renkei up: what a crash left over is chained then": "renkei up：異常終了で残ったものはそのとき連鎖に入ります",
    "replace it before then: renkei certs renew NAME": "期限までに更新してください：renkei certs renew NAME",
    "replace it now: renkei certs renew NAME": "直ちに更新してください：renkei certs renew NAME",
    "until {} UTC, {}": "{} UTC まで、{}",
    "{} in {}, number {} is the last": "{} 件（{}）、最後は {} 番",
    "{}/ is gone, but the ledger is there: what is in it cannot be opened": "{}/ がありませんが台帳はあります。台帳の中身は開けません",
    "{} is valid": "{} は有効です",
    "put NAME.pem and NAME.key into {} (renkei demo makes fictitious ones)": "NAME.pem と NAME.key を {} に置いてください（renkei demo は架空のものを作ります）",
    "begins only on {} UTC": "有効期間の開始前です（{} UTC から）",
    "look at the clock of this machine": "この機器の時計を確認してください",
    "ended on {}": "{} に期限が切れました",
    "replace it now": "直ちに更新してください",
    "replace it before then": "期限までに更新してください",
    "until {} ({} days)": "{} まで有効（残り {} 日）",
    "fetch it from the authority: without it no peer is accepted": "認証局から取得してください。ないと相手を一切受け入れません",
    "until {} UTC": "{} UTC まで有効",
    "names no end": "有効期限の記載がありません",
    "fetch the current one: no peer is accepted": "最新のものを取得してください。相手を一切受け入れていません",
    "none yet; the first start makes them": "まだありません。最初の起動時に作られます",
    "others may touch {}": "所有者以外が触れられます：{}",
    "readable by their owner only": "所有者だけが読めます",
    "chmod -R go-rwx {}": "chmod -R go-rwx {} を実行してください",
    "{} known, {} may approve": "登録 {} 名、承認できる者 {} 名",
    "give the role operator to one person and approver to another (admin.operators)": (
        "operator と approver の役割を別々の人に与えてください（admin.operators）"
    ),
    "the yearly review is overdue: {}": "年次点検の期限を過ぎています：{}",
    "renkei operators review NAME, by another person": "別の担当者が renkei operators review NAME を実行してください",
    "the rights have ended: {}": "権限の期限が切れています：{}",
    "breaks a rule that no policy may break: {}": "破ってはならない規則に反しています：{}",
    "renkei policy check, then renkei policy apply": "renkei policy check で確認し、renkei policy apply で改めてください",
    "the approvals that count are the sample": "適用中の承認は見本です",
    "apply the city's own approvals: renkei policy apply": "市の承認を renkei policy apply で適用してください",
    "nothing is late, nothing lags": "遅延・滞留はありません",
    "has not come in time ({})": "所定の時刻に届いていません（{}）",
    "has not come at all for more than one period ({})": "1周期以上届いていません（{}）",
    "came, but empty ({})": "届きましたが空でした（{}）",
    "updates are not completed ({})": "更新が完了していません（{}）",
    "applications are on the list of the portal, and were not here ({})": "申請一覧にあり、未取得の申請があります（{}）",
    "ask whoever sends it whether it ran; when it comes, this clears by itself": (
        "送信側の処理が実行されたか確認してください。届けば自動で解除されます"
    ),
    "ask the party whether that is right": "相手先に内容が正しいか確認してください",
    "deliveries are paused: renkei resume PARTY": "配送を停止中です：renkei resume 相手先",
    "renkei held: something waits for a person": "renkei held：確認待ちの配送があります",
    "renkei status: is the party slow, are there enough workers?": "renkei status：相手先の応答とワーカー数を確認してください",
    "they are fetched now; see that renkei fetched shows them": "取得を行います。renkei fetched で確認してください",
    "the answer was for another body: tell the operator of the party at once (C-1-2-22)": (
        "他団体宛の応答です。至急、相手先の運用者に連絡してください（C-1-2-22）"
    ),
    "renkei check, then the party's operator": "renkei check を実行し、相手先の運用者に確認してください",
    "make the folder of the setting spool, mode 0700": "設定 spool のフォルダーを作成し、権限を 0700 にしてください",
    "chmod 0700 the folder of the setting spool": "設定 spool のフォルダーに chmod 0700 を実行してください",
    "temporary operation: files from the LGWAN terminal are imported": "臨時運用中：LGWAN 接続端末のファイルを取り込みます",
    "see that {} can be reached, that url and peer are right, and that each side trusts the other's certificate": (
        "{} に到達できるか、url と peer が正しいか、双方が相手の証明書を信頼しているか確認してください"
    ),
    "version {} counts: {}": "第 {} 版が有効です：{}",
    "take them out of admin.operators": "admin.operators から削除してください",
    "not approved by a second person yet: {}": "別の担当者の承認がまだありません：{}",
    "renkei operators grant NAME, then an approval": "renkei operators grant NAME で申請し、承認を受けてください",
    "approved, in force and reviewed": "承認済み・有効・点検済みです",
    "RabbitMQ {} is installed; a node answers on port {}": "RabbitMQ {} を導入済み。ポート {} で応答があります",
    "RabbitMQ {} is installed; not running now": "RabbitMQ {} を導入済み。現在は停止しています",
    "set broker.embedded.port to a free port, or end what listens there": "broker.embedded.port を空きポートにするか、使用中のものを止めてください",
    "port {} is taken by something that is not ours": "ポート {} は別のものが使用しています",
    "{} is not there yet; the first start makes it": "{} はまだありません。最初の起動時に作られます",
    "{}, schema {}": "{}、スキーマ {}",
    "none is configured": "設定されていません",
    "add one below parties: in the configuration": "設定の parties: に追加してください",
    "make room, or put data_dir onto a larger disk: the doors close before the disk is full": (
        "空きを作るか data_dir を大きいディスクに移してください。満杯になる前に受付を止めます"
    ),
    "{} MiB free where data_dir is, {} MiB wanted": "data_dir の空き {} MiB、必要 {} MiB",
    "does it run, is a firewall between, does its certificate bear broker.external.peer?": (
        "起動しているか、間にファイアウォールがないか、証明書が broker.external.peer の名前を持つか確認してください"
    ),
    "answers over TLS": "TLS で応答しました",
    "does not answer over TLS": "TLS で応答しません",
    "restart the gateway: it declares them": "ゲートウェイを再起動すると作られます",
    "missing: {}": "不足：{}",
    "{} queues are there": "キュー {} 個を確認しました",
    "put its certificate in order": "証明書を確認してください",
    "its queue is consumed, its key can be used": "キューは受信されており、鍵も使用できます",
    "give files.layout": "files.layout を指定してください",
    "it fetches what is for it": "相手側が取りに来ます",
    "its folder can be written to": "フォルダーに書き込めます",
    "its folder cannot be used": "フォルダーを使用できません",
    "make its folder, writable for the gateway": "フォルダーを作り、ゲートウェイが書き込めるようにしてください",
    "nobody consumes its queue": "キューを受信するものがありません",
    "see that it runs and consumes its queue": "起動してキューを受信しているか確認してください",
    "look at its queue and the file of its keys": "キューと鍵のファイルを確認してください",
    "set both clocks by the same time server": "両方の時計を同じ時刻サーバーに合わせてください",
    "{} s from the ledger's": "台帳の時計との差 {} 秒",
    "put NAME.pem and NAME.key of a signing certificate into {}": "署名用証明書の NAME.pem と NAME.key を {} に置いてください",
    "get the party's signing certificate and put it into {}": "相手先の署名用証明書を入手し {} に置いてください",
    "put NAME.pem into {}, and see that its key is in the token under that label": "NAME.pem を {} に置き、その鍵がそのラベルでトークンにあることを確認してください",
    # of the adapters
    "signatures": "署名",
    "reachable, certificates accepted": "到達可能、証明書も受け入れられました",
    "our signing key and the party's certificate can be used": "当方の署名鍵と相手先の証明書は使用できます",
    "our keys and the party's certificates for signing and encryption can be used": "署名用と暗号化用の当方の鍵・相手先の証明書は使用できます",
    "look at parties.*.signatures and parties.*.encryption, and at the files below certificates.directory": "parties.*.signatures、parties.*.encryption と certificates.directory のファイルを確認してください",
}


def japanese(text: str) -> str:
    """``text`` in Japanese, where the table has it; part by part for names that are put together with a colon."""
    if text in JAPANESE:
        return JAPANESE[text]
    for pattern, template in _patterns():
        match = pattern.fullmatch(text)
        if match is not None:
            return template.format(*(JAPANESE.get(each, each) for each in match.groups()))
    return text


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The more is fixed, the sooner it is tried."""
    wanted = sorted((key for key in JAPANESE if "{}" in key), key=lambda key: -len(key.replace("{}", "")))
    return tuple((re.compile("(.+?)".join(re.escape(part) for part in key.split("{}")), re.DOTALL), JAPANESE[key]) for key in wanted)
