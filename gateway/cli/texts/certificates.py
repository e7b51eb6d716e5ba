"""`renkei certs`."""

from __future__ import annotations

TEXT: dict[str, tuple[str, str]] = {
    "certs.name": ("Name of certificate and key: NAME.pem, NAME.key.", "証明書と鍵の名前（NAME.pem、NAME.key）。"),
    "certs.trust": (
        "Authority of the configuration (certificates.trust); default: certificates.ca.",
        "設定の認証局（certificates.trust の名前）。既定は certificates.ca。",
    ),
    "certs.dns": ("DNS name; may be repeated.", "DNS 名（複数指定可）。"),
    "certs.ip": ("IP address; may be repeated.", "IP アドレス（複数指定可）。"),
    "certs.uri": ("URI that names the peer.", "相手を表す URI。"),
    "certs.network": ("Network of the test authority.", "試験用認証局のネットワーク。"),
    "certs.profile": ("What the certificate may be used for.", "証明書の用途。"),
    "certs.organisation": ("Organisation in the subject.", "主体者の組織名。"),
    "certs.key": ("Kind of the new key.", "新しい鍵の種類。"),
    "certs.later": (
        "Keep it beside the one in use until import NAME --switch: the party learns it meanwhile.",
        "import NAME --switch まで併存させます（相手先への周知期間）。",
    ),
    "certs.switch": ("Put in use what was imported with --later.", "--later で取り込んだ証明書に切り替えます。"),
    "certs.partner": (
        "It is a party's certificate for messages: it counts beside those in the file already.",
        "相手先のメッセージ用証明書として取り込みます。すでにある証明書と併せて有効です。",
    ),
    "certs.only": ("With --partner or ca: it counts instead of them.", "--partner または ca と併用：これまでの証明書を無効にします。"),
    "certs.taken.partner": ("{count} certificates of {name} count now", "{name} の証明書は現在 {count} 件が有効です"),
    "certs.password_file": ("File with the password of PKCS#12.", "PKCS#12 のパスワードを書いたファイル。"),
    "certs.interval": ("Seconds between looks.", "確認の間隔（秒）。"),
    "certs.init": (
        "Make fictitious authorities of three networks (own, Juki-net-like, LGWAN-like) with certificates for tests and demo.",
        "試験・デモ用に架空の認証局（庁内・住基ネット風・LGWAN 風）と証明書を作ります。",
    ),
    "certs.issue": ("Issue a certificate from a test authority.", "試験用認証局で証明書を発行します。"),
    "certs.request": (
        "Make a key and a certification request (PKCS#10) for a real authority.",
        "実在の認証局への申請用に鍵と証明書署名要求（PKCS#10）を作ります。",
    ),
    "certs.import": (
        "Take in an authority's answer; also `import crl FILE` and `import ca FILE`.",
        "認証局の回答を取り込みます（`import crl FILE`、`import ca FILE` も可）。",
    ),
    "certs.import.name": (
        "Name, or crl for revocation lists, or ca for trusted authorities.",
        "名前。失効リストは crl、信頼する認証局は ca。",
    ),
    "certs.import.files": (
        "PEM, DER, PKCS#7 or PKCS#12, in any order; a missing chain is put together.",
        "PEM・DER・PKCS#7・PKCS#12（順不同）。不足する証明書チェーンは補います。",
    ),
    "certs.list": ("What is there, until when, with fingerprints.", "証明書の一覧（期限・指紋）。"),
    "certs.check": (
        "Expiry, keys, paths, age of revocation lists; with the remedy.",
        "期限・鍵・パス・失効リストの鮮度を点検し、対処を示します。",
    ),
    "certs.renew": (
        "A new one with the same names: from the test authority, or as a request to the real one.",
        "同じ名前で更新します（試験用は発行、実在の認証局へは申請を作成）。",
    ),
    "certs.revoke": (
        "Revoke a certificate of a test authority and publish its list.",
        "試験用認証局の証明書を失効させ、失効リストを発行します。",
    ),
    "certs.watch": ("Say what changes in the directory until Ctrl-C.", "フォルダーの変化を表示し続けます（Ctrl-C で終了）。"),
    "certs.fictitious": (
        "Fictitious: for tests and demo only. Their keys lie beside them.",
        "架空のものです。試験とデモ専用で、認証局の鍵も同じ場所にあります。",
    ),
    "certs.requested": (
        "Request: {file}. Send it to the authority, then: renkei certs import {name} ANSWER",
        "申請書：{file}。認証局へ送り、回答を renkei certs import {name} 回答ファイル で取り込んでください",
    ),
    "certs.revoked": ("{name} is revoked; list: {file}", "{name} を失効させました。失効リスト：{file}"),
    "certs.taken.crl": ("{count} newer revocation lists taken in", "新しい失効リストを {count} 件取り込みました"),
    "certs.taken.ca": ("{count} new trusted authorities taken in", "信頼する認証局を {count} 件追加しました"),
    "certs.pending": ("{name}: requested, not answered yet", "{name}：申請中（回答待ち）"),
    "certs.state.in-use": ("in use", "使用中"),
    "certs.state.next": ("next", "切替待ち"),
    "certs.state.no-key": ("no key", "鍵なし"),
    "certs.column.name": ("name", "名前"),
    "certs.column.state": ("state", "状態"),
    "certs.column.until": ("until", "期限"),
    "certs.until": ("until {date}", "{date} まで"),
    "certs.watch.there": ("there", "あります"),
    "certs.watch.changed": ("changed: new connections use it", "変わりました。新しい接続から使われます"),
    "certs.watch.gone": ("gone: what was loaded stays in force", "なくなりました。読み込み済みのものが有効です"),
    "certs.no_authority": (
        "there is no test authority of the network {network} here; renkei certs init makes one",
        "ネットワーク {network} の試験用認証局がありません。renkei certs init で作れます",
    ),
    "certs.no_trust": ("there is no {name} below certificates.trust ({known})", "certificates.trust に {name} はありません（{known}）"),
    "certs.malformed": ("a name or address is malformed", "名前またはアドレスの形式が誤っています"),
}
