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


CODES: dict[str, str] = {
    "too-large": "The message is longer than the limit.",
    "encoding": "The bytes are not what their declared encoding allows, or the encoding is not accepted.",
    "not-xml": "Not well-formed XML.",
    "dtd-forbidden": "A document type declaration or entity declaration.",
    "comment-forbidden": "A comment: it can split text.",
    "instruction-forbidden": "A processing instruction: it can split text.",
    "too-deep": "Elements nested deeper than the limit.",
    "too-many-elements": "More elements than the limit.",
    "too-many-attributes": "More attributes than the limit.",
    "unknown-type": "The root element is none of the catalogue's message types.",
    "unexpected-type": "Another message type than the one announced.",
    "item-missing": "A required item is missing.",
    "item-unexpected": "An item that this place does not allow.",
    "attribute-unexpected": "An attribute that this place does not allow.",
    "value-empty": "An item without content; leave out what does not apply.",
    "value-pattern": "The value does not have the form of its type.",
    "value-length": "The value is longer or shorter than its type allows.",
    "check-digit": "The check digit does not fit.",
    "code-unknown": "The code is not in its table.",
    "date-invalid": "Not a date of the calendar, where one is required.",
    "date-text": "The text of an unknown date is missing, or does not agree with its value.",
    "number-range": "The number is outside its range.",
    "count-wrong": "A count does not agree with the content that it counts.",
    "flag-wrong": "A flag does not agree with the content that it describes.",
    "rule-violated": "A rule of the message type is broken; the rule is named.",
    "number-suspected": "Text that passes for an Individual Number where none may stand; a person must look.",
    "character-forbidden": "A character that may not appear, or a sequence that would be changed on the way.",
    "lossy": "The target cannot hold a character, and substitution was not asked for.",
    "layout": "The record does not have the shape of its layout.",
}
"""Every code with its meaning."""
