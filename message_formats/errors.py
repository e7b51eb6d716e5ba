"""The one error that reading, writing and checking formats raise.

It never holds a value of the message: codes, places and rules are drawn from closed lists, names of elements only from the schemas.
So it may be logged, stored and sent back as it is.
"""

from __future__ import annotations


class FormatError(Exception):
    """A message or file that is refused.

    :ivar code: stable, safe to match on; the list is :data:`CODES`.
    :ivar place: where: ``/Root/item``, ``/Root/group[2]/item``, ``line 3 column 7``, ``record 12 field birth_date``, or ``-``.
    :ivar rule: which rule refuses it: ``xsd:…``, ``check-digit:individual-number``, or the id of a rule of the catalogue.
    :ivar safe_detail: one English sentence without any value.
    """

    def __init__(self, code: str, place: str, rule: str, safe_detail: str) -> None:
        self.code = code
        self.place = place
        self.rule = rule
        self.safe_detail = safe_detail
        super().__init__(f"{code}: {safe_detail} (at {place}, rule {rule})")

    def __reduce__(self) -> tuple[type[FormatError], tuple[str, str, str, str]]:
        return (type(self), (self.code, self.place, self.rule, self.safe_detail))


CODES: dict[str, tuple[str, str]] = {
    "too-large": ("The message is longer than the limit.", "上限を超える大きさ"),
    "encoding": (
        "The bytes are not what their declared encoding allows, or the encoding is not accepted.",
        "宣言した文字コードと異なるバイト列、又は受け付けない文字コード",
    ),
    "not-xml": ("Not well-formed XML.", "整形式のXMLではない"),
    "dtd-forbidden": ("A document type declaration or entity declaration.", "文書型宣言又は実体宣言がある"),
    "comment-forbidden": ("A comment: it can split text.", "コメントがある（文字列が分断されるおそれ）"),
    "instruction-forbidden": ("A processing instruction: it can split text.", "処理命令がある（文字列が分断されるおそれ）"),
    "too-deep": ("Elements nested deeper than the limit.", "要素の入れ子が上限を超える"),
    "too-many-elements": ("More elements than the limit.", "要素数が上限を超える"),
    "too-many-attributes": ("More attributes than the limit.", "属性数が上限を超える"),
    "unknown-type": ("The root element is none of the catalogue's message types.", "カタログにないメッセージ種別"),
    "unexpected-type": ("Another message type than the one announced.", "指定と異なるメッセージ種別"),
    "item-missing": ("A required item is missing.", "必須項目がない"),
    "item-unexpected": ("An item that this place does not allow.", "ここに置けない項目がある"),
    "attribute-unexpected": ("An attribute that this place does not allow.", "ここに置けない属性がある"),
    "value-empty": ("An item without content; leave out what does not apply.", "値が空（該当しない項目は省略する）"),
    "value-pattern": ("The value does not have the form of its type.", "値の形式の誤り"),
    "value-length": ("The value is longer or shorter than its type allows.", "桁数の誤り"),
    "check-digit": ("The check digit does not fit.", "検査数字の誤り"),
    "code-unknown": ("The code is not in its table.", "コード表にない値"),
    "date-invalid": ("Not a date of the calendar, where one is required.", "暦にない日付"),
    "date-text": ("The text of an unknown date is missing, or does not agree with its value.", "不詳表記がない、又は値と一致しない"),
    "number-range": ("The number is outside its range.", "数値が範囲外"),
    "count-wrong": ("A count does not agree with the content that it counts.", "件数・文字数が内容と一致しない"),
    "flag-wrong": ("A flag does not agree with the content that it describes.", "フラグが内容と一致しない"),
    "rule-violated": ("A rule of the message type is broken; the rule is named.", "種別の規則に反する"),
    "number-suspected": (
        "Text that passes for an Individual Number where none may stand; a person must look.",
        "個人番号を持てない箇所に個人番号とみられる文字列がある（人の確認が必要）",
    ),
    "character-forbidden": (
        "A character that may not appear, or a sequence that would be changed on the way.",
        "使用できない文字、又は経路上で変化する文字列",
    ),
    "lossy": (
        "The target cannot hold a character, and substitution was not asked for.",
        "変換先の文字コードにない文字がある（代替は指定時のみ）",
    ),
    "layout": ("The record does not have the shape of its layout.", "レイアウトと一致しない、又はレイアウトの誤り"),
}
"""Every code with its meaning in English and Japanese."""
