"""The Immigration Bureau's rules for address notices: its codes, its form, no date to come, and never an Individual Number."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from lxml import etree

from certs.peer import Authority
from simulators.mailbox import MailboxParty

NOTICE = "urn:renkei:format:residence-address-notice:1"
REASONS = frozenset({"A1", "A2", "A3", "A4", "A9", "C1", "C9", "D1", "D2", "D3", "D4", "D9"})
"""The Bureau's codes of reasons."""
_CARD = re.compile(r"[A-Z]{2}[0-9]{8}[A-Z]{2}")
_TWELVE = re.compile(r"(?<!\d)\d{12}(?!\d)")
_WEIGHTS = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


class Immigration(MailboxParty):
    """The simulated system."""

    name: ClassVar[str] = "residence-card-issuance-system"
    title_en: ClassVar[str] = "Residence card issuing system (Immigration)"
    title_ja: ClassVar[str] = "在留カード等発行システム"
    prefix: ClassVar[str] = "/mailbox"

    def __init__(self, *, salt: str, caller: str, authority: Authority, seed: int = 0, day_offset: int = 0) -> None:
        """``day_offset``: its calendar is so many days ahead."""
        super().__init__(salt=salt, caller=caller, authority=authority, seed=seed)
        self._day_offset = day_offset

    def judge(self, element: etree._Element) -> tuple[str, str]:
        card = element.findtext(f"{{{NOTICE}}}residence_card_number") or ""
        reference = self.references.of(card)
        if element.tag != f"{{{NOTICE}}}ResidenceAddressNotice" or not _CARD.fullmatch(card):
            return reference, "N101"
        if any(_is_number(str(text)) for text in element.itertext()):
            return reference, "N900"
        change = element.find(f"{{{NOTICE}}}address_change")
        if change is None:
            return reference, ""
        if change.findtext(f"{{{NOTICE}}}change_reason") not in REASONS:
            return reference, "N102"
        today = (datetime.now(UTC) + timedelta(hours=9, days=self._day_offset)).strftime("%Y%m%d")
        return reference, "N103" if (change.findtext(f"{{{NOTICE}}}changed_on") or "") > today else ""

    def effect(self, element: etree._Element) -> dict[str, Any]:
        return {
            "reason": element.findtext(f"{{{NOTICE}}}address_change/{{{NOTICE}}}change_reason"),
            "changed_on": element.findtext(f"{{{NOTICE}}}address_change/{{{NOTICE}}}changed_on"),
        }


def _is_number(text: str) -> bool:
    """It holds twelve digits whose check digit is that of an Individual Number (総務省令第85号 第5条)."""
    for found in _TWELVE.findall(text):
        rest = sum(int(digit) * weight for digit, weight in zip(found[:11], _WEIGHTS, strict=True)) % 11
        if int(found[11]) == (0 if rest <= 1 else 11 - rest):
            return True
    return False
