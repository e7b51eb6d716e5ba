"""Who holds a card: people by number, made so that they are easily mistaken for one another. Fictitious, the same for every simulator.

All of them share five names and three birth dates. Every tenth has an old Resident Register Card (identification number) instead of an
Individual Number Card (serial number of the certificate). Names and addresses hold variant characters (異体字, by variation selectors).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from message_formats import samples
from simulators.convenience.family import HERE

NAMES = ("見本　葛󠄂子", "見本　葛󠄀子", "例示　辻󠄂太", "例示　辻󠄁太", "架空　邉󠄂花")
BIRTHS = ("19800229", "19800301", "19991231")


@dataclass(frozen=True, slots=True)
class Holder:
    """One holder of a card."""

    number: int

    @property
    def atena(self) -> str:
        """Atena number (宛名番号)."""
        return samples.atena_number(self.number)

    @property
    def name(self) -> str:
        """Shared with many."""
        return NAMES[self.number % len(NAMES)]

    @property
    def birth(self) -> str:
        """Shared with many."""
        return BIRTHS[self.number % len(BIRTHS)]

    @property
    def old_card(self) -> bool:
        """A Resident Register Card."""
        return self.number % 10 == 0

    @property
    def card(self) -> str:
        """Number of the card."""
        return f"SAMPLE-CARD-{self.number:08d}" if self.old_card else samples.certificate_serial(self.number)

    @property
    def here(self) -> bool:
        """Whose family register is in this city."""
        return self.number % 7 != 0

    def key(self, card: str | None = None) -> dict[str, str | None]:
        """The card as the two items of a message."""
        card = card or self.card
        old = not card.isdigit()
        return {"certificate_serial_number": None if old else card, "identification_number": card if old else None}

    def card_change(self, *, card: str | None = None, validity: str | None = None) -> dict[str, str | None]:
        """A ``card-identifier-change``."""
        key = self.key(card)
        pin = f"{self.number % 10_000:04d}" if key["identification_number"] else None
        return {**key, "pin": pin, "atena_number": self.atena, "card_validity": validity}

    def data_change(self, *, stop: bool = False, address: str | None = None) -> dict[str, str | None]:
        """A ``certificate-data-change``."""
        made = samples.items("certificate-data-change", self.number)
        group = "resident_record_copy_data"
        domicile = f"{HERE}例示町{self.number}番地" if self.here else f"虚構県別天市例示町{self.number}番地"
        made |= {f"{group}/name": self.name, f"{group}/birth_date": self.birth, f"{group}/domicile": domicile}
        made |= {
            f"{group}/register_head": self.name,
            f"{group}/head_name": self.name,
            f"{group}/certificate_stop": "1" if stop else "0",
            "atena_number": self.atena,
        }
        made |= {"seal_certificate_data/name": self.name, "seal_certificate_data/birth_date": self.birth}
        if address is not None:
            made[f"{group}/address"] = address
        return made

    def tax_change(self) -> dict[str, str | None]:
        """A ``tax-certificate-change``."""
        return {**samples.items("tax-certificate-change", self.number), "atena_number": self.atena}


def holders(count: int) -> Iterator[Holder]:
    """The first ``count``."""
    return (Holder(number) for number in range(1, count + 1))
