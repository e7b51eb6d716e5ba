"""Identifiers of persons, places and bodies: value types that validate when made and hide themselves when shown.

``str()``, ``repr()``, ``format()`` and JSON errors show a mask; only :attr:`Identifier.value` gives the text, so that whoever puts one in
a log does it knowingly. Two identifiers of different kinds are never equal, also where their digits are.

Check digits: Individual Number, 総務省令85号 (2014) art. 5; resident record code, 平成14年総務省告示436号 (text not public: the
rule fits the public specimens); municipality code, 全国地方公共団体コード; corporate number, 法人番号省令; atena and household
number, 住民記録システム標準仕様書 1.1.13.
"""

from __future__ import annotations

import enum
import re
from typing import ClassVar, Self

from message_formats.errors import FormatError

_DIGITS = re.compile(r"[0-9]+\Z")


def _mod11(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % 11


class Identifier:
    """Base of all identifiers: immutable, hashable, masked.

    :raises FormatError: ``value-pattern`` or ``check-digit``, without the value.
    """

    __slots__ = ("value",)
    kind: ClassVar[str] = ""
    name_ja: ClassVar[str] = ""
    pattern: ClassVar[re.Pattern[str]]
    visible: ClassVar[int] = 0
    """How many of the last characters a mask shows: none, unless the identifier says nothing about a person."""

    value: str

    def __init__(self, value: str) -> None:
        if not self.pattern.match(value):
            raise FormatError("value-pattern", "-", f"form:{self.kind}", f"not the form of a {self.kind}")
        if not self.check(value):
            raise FormatError("check-digit", "-", f"check-digit:{self.kind}", f"the check digit of a {self.kind} does not fit")
        object.__setattr__(self, "value", value)

    @classmethod
    def check(cls, value: str) -> bool:
        """Whether the check digit of ``value`` (already of the right form) fits; kinds without one say yes."""
        return True

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("identifiers do not change")

    def masked(self) -> str:
        """The mask that stands for the value wherever it is shown."""
        hidden = len(self.value) - self.visible
        return "*" * hidden + self.value[hidden:]

    def __str__(self) -> str:
        return self.masked()

    def __format__(self, spec: str) -> str:
        return format(self.masked(), spec)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.masked()!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return hash((self.kind, self.value))

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return (type(self), (self.value,))


class IndividualNumber(Identifier):
    """個人番号 (My Number): 11 digits and a check digit."""

    __slots__ = ()
    kind = "individual-number"
    name_ja = "個人番号"
    pattern = re.compile(r"[0-9]{12}\Z")

    @staticmethod
    def check_digit(base: str) -> str:
        """The check digit of 11 digits."""
        remainder = _mod11(base, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
        return "0" if remainder <= 1 else str(11 - remainder)

    @classmethod
    def check(cls, value: str) -> bool:
        a, b, c, d, e, f, g, h, i, j, k, last = map(int, value)
        remainder = (6 * (a + g) + 5 * (b + h) + 4 * (c + i) + 3 * (d + j) + 2 * (e + k) + 7 * f) % 11
        return last == (0 if remainder <= 1 else 11 - remainder)


class ResidentRecordCode(Identifier):
    """住民票コード: 10 digits and a check digit."""

    __slots__ = ()
    kind = "resident-record-code"
    name_ja = "住民票コード"
    pattern = re.compile(r"[0-9]{11}\Z")

    @staticmethod
    def check_digit(base: str) -> str:
        """The check digit of 10 digits (weights confirmed on public specimens, the branch for remainders 0 and 1 is assumed)."""
        remainder = _mod11(base, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
        return "0" if remainder <= 1 else str(11 - remainder)

    @classmethod
    def check(cls, value: str) -> bool:
        a, b, c, d, e, f, g, h, i, j, last = map(int, value)
        remainder = (5 * (a + g) + 4 * (b + h) + 3 * (c + i) + 2 * (d + j) + 7 * e + 6 * f) % 11
        return last == (0 if remainder <= 1 else 11 - remainder)


class MunicipalityCode(Identifier):
    """全国地方公共団体コード: 5 digits and a check digit. Not personal: shown in full."""

    __slots__ = ()
    kind = "municipality-code"
    name_ja = "市町村コード"
    pattern = re.compile(r"[0-9]{6}\Z")
    visible = 6

    @staticmethod
    def check_digit(base: str) -> str:
        """The check digit of 5 digits: the last digit of 11 less the remainder."""
        return str((11 - _mod11(base, (6, 5, 4, 3, 2))) % 10)

    @classmethod
    def check(cls, value: str) -> bool:
        a, b, c, d, e, last = map(int, value)
        return last == (11 - (6 * a + 5 * b + 4 * c + 3 * d + 2 * e) % 11) % 10


class CorporateNumber(Identifier):
    """法人番号: the check digit first (1 to 9), then 12 digits. Public: shown in full."""

    __slots__ = ()
    kind = "corporate-number"
    name_ja = "法人番号"
    pattern = re.compile(r"[1-9][0-9]{12}\Z")
    visible = 13

    @staticmethod
    def check_digit(base: str) -> str:
        """The check digit of 12 digits: from the lowest, times 1, 2, 1, 2…; 9 less the remainder of 9."""
        total = sum(int(digit) * (1 if place % 2 == 0 else 2) for place, digit in enumerate(reversed(base)))
        return str(9 - total % 9)

    @classmethod
    def check(cls, value: str) -> bool:
        return value[0] == cls.check_digit(value[1:])


class RemainderOne(enum.Enum):
    """What a remainder of 1 means for atena and household numbers; the standard does not say."""

    ZERO = "zero"
    """The check digit is 0."""
    NOT_ISSUED = "not-issued"
    """Such numbers are never issued: refused."""


class AtenaNumber(Identifier):
    """宛名番号: serial and check digit (modulus 11, weights 2 to 7 repeating from the lowest digit).

    The check holds for newly issued numbers only: legacy numbers may fail it (住民記録システム標準仕様書 1.1.13), so making one
    checks the form, and :meth:`issued` also the digit.
    """

    __slots__ = ()
    kind = "atena-number"
    name_ja = "宛名番号"
    pattern = re.compile(r"[0-9]{2,15}\Z")

    @staticmethod
    def check_digit(base: str, remainder_one: RemainderOne = RemainderOne.ZERO) -> str | None:
        """The check digit of a serial; None where the policy never issues such a number."""
        total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(base)))
        remainder = total % 11
        if remainder == 1 and remainder_one is RemainderOne.NOT_ISSUED:
            return None
        return "0" if remainder <= 1 else str(11 - remainder)

    @classmethod
    def issued(cls, value: str, remainder_one: RemainderOne = RemainderOne.ZERO) -> Self:
        """A number that was issued under the present rule.

        :raises FormatError: ``check-digit`` where it does not fit.
        """
        number = cls(value)
        if cls.check_digit(value[:-1], remainder_one) != value[-1]:
            raise FormatError("check-digit", "-", f"check-digit:{cls.kind}", f"the check digit of a newly issued {cls.kind} does not fit")
        return number


class HouseholdNumber(AtenaNumber):
    """世帯番号: as the atena number."""

    __slots__ = ()
    kind = "household-number"
    name_ja = "世帯番号"


class IntegratedAtenaNumber(Identifier):
    """団体内統合宛名番号: one for each person in a body; opaque digits."""

    __slots__ = ()
    kind = "integrated-atena-number"
    name_ja = "団体内統合宛名番号"
    pattern = re.compile(r"[0-9]{5,20}\Z")


class ResidenceCardNumber(Identifier):
    """在留カード等の番号: two letters, eight digits, two letters; no check rule is known."""

    __slots__ = ()
    kind = "residence-card-number"
    name_ja = "在留カード等の番号"
    pattern = re.compile(r"[A-Z]{2}[0-9]{8}[A-Z]{2}\Z")


class PostalCode(Identifier):
    """郵便番号: seven digits. Never derive an address from it alone. Not personal by itself: shown in full."""

    __slots__ = ()
    kind = "postal-code"
    name_ja = "郵便番号"
    pattern = re.compile(r"[0-9]{7}\Z")
    visible = 7


class CertificateSerial(Identifier):
    """利用者証明用電子証明書のシリアル番号: a positive integer of at most 20 octets, kept as canonical decimal text, never as a number."""

    __slots__ = ()
    kind = "certificate-serial"
    name_ja = "シリアル番号"
    pattern = re.compile(r"[1-9][0-9]{0,48}\Z")

    @classmethod
    def check(cls, value: str) -> bool:
        return int(value).bit_length() <= 159  # 20 octets of a positive DER integer leave 159 bits


class LinkageCode(Identifier):
    """符号 (個人番号対応符号): opaque."""

    __slots__ = ()
    kind = "linkage-code"
    name_ja = "符号"
    pattern = re.compile(r"[0-9A-Za-z]{1,64}\Z")


class ProcessingNumber(Identifier):
    """処理通番: opaque, single use."""

    __slots__ = ()
    kind = "processing-number"
    name_ja = "処理通番"
    pattern = re.compile(r"[0-9A-Za-z]{1,64}\Z")


class CardIdentifier(Identifier):
    """識別番号 and カードの識別情報: opaque."""

    __slots__ = ()
    kind = "card-identifier"
    name_ja = "識別番号"
    pattern = re.compile(r"[0-9A-Za-z-]{1,32}\Z")


KINDS: dict[str, type[Identifier]] = {
    cls.kind: cls
    for cls in (
        IndividualNumber,
        ResidentRecordCode,
        MunicipalityCode,
        CorporateNumber,
        AtenaNumber,
        HouseholdNumber,
        IntegratedAtenaNumber,
        ResidenceCardNumber,
        PostalCode,
        CertificateSerial,
        LinkageCode,
        ProcessingNumber,
        CardIdentifier,
    )
}
"""Every kind of identifier by its name."""
