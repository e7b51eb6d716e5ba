"""J-LIS as far as numbers go: an Individual Number for each resident record code, changes of both, and codes designated beforehand.

What was decided is what the city CS journalled; :meth:`NumberAuthority.learn` makes the state of it. A number is never given out twice,
and a request that is repeated gets the number that is there (F3-1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from message_formats.identifiers import IndividualNumber, ResidentRecordCode
from simulators.world.people import CHANGED_NUMBERS, POOL, Serials

ADDED = "generated_number"
"""Beside the items of a request that was taken: the number that was given."""


class NumberAuthority:
    """State of the number authority. ``known``: the number that somebody had from the beginning, by code."""

    def __init__(self, serials: Serials, known: Callable[[str], str | None]) -> None:
        self._serials = serials
        self._known = known
        self._numbers: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        """Code by number."""
        self._moved: dict[str, str] = {}
        """New code by former one."""
        self._former_numbers: set[str] = set()
        self._changes = 0
        self.pairs: dict[str, str] = {}
        """Code by processing number."""
        self.allocated = 0

    def forget(self) -> None:
        """Back to the beginning."""
        for each in (self._numbers, self._codes, self._moved, self._former_numbers, self.pairs):
            each.clear()
        self._changes = self.allocated = 0

    def state(self) -> dict[str, int]:
        """Counts."""
        return {
            "numbers_given": len(self._numbers),
            "numbers_changed": self._changes,
            "codes_changed": len(self._moved),
            "codes_allocated": self.allocated,
            "code_pairs": len(self.pairs),
        }

    # ---- questions -------------------------------------------------------------------------------------------------------------

    def current(self, code: str) -> str:
        """The code that somebody has now."""
        while code in self._moved:
            code = self._moved[code]
        return code

    def given(self, code: str) -> str | None:
        """The number that was given here; None: none was."""
        return self._numbers.get(self.current(code))

    def number(self, code: str) -> str | None:
        """Somebody's number; None: has none."""
        code = self.current(code)
        return self._numbers.get(code) or self._known(code)

    def code(self, number: str) -> str | None:
        """Who has this number now; None: nobody, or it was changed."""
        if number in self._former_numbers:
            return None
        if number in self._codes:
            return self.current(self._codes[number])
        natural = self._natural_code(number)
        return self.current(natural) if natural is not None and self._known(natural) == number else None

    def _natural_code(self, number: str) -> str | None:
        base = f"999{number[4:11]}"
        return base + ResidentRecordCode.check_digit(base) if IndividualNumber.check(number) and number.startswith("9999") else None

    def generated(self, code: str) -> str:
        """The number of a code, which is a new one if there was none."""
        existing = self.number(code)
        if existing is not None:
            return existing
        base = f"9999{code[3:10]}"
        return base + IndividualNumber.check_digit(base)

    def replacement(self) -> str:
        """The next number for a change."""
        return self._serials.number(CHANGED_NUMBERS + self._changes)

    def refuses_change(self, code: str, number: str) -> str | None:
        """Why a number is not changed."""
        if self.number(code) is None:
            return "number-not-generated"
        return None if self.number(code) == number else "number-not-current"

    def refuses_move(self, former: str, new: str) -> str | None:
        """Why a code is not changed."""
        if self.current(former) != former:
            return None if self.current(former) == self.current(new) else "code-not-current"
        return "code-in-use" if self.number(new) is not None else None

    def pool(self, count: int) -> list[str]:
        """Codes that nobody was given."""
        return [self._serials.code(POOL + self.allocated + each) for each in range(count)]

    # ---- what was decided ------------------------------------------------------------------------------------------------------

    def learn(self, operation: str, items: Mapping[str, str]) -> None:
        """Take over what the city CS journalled."""
        match operation:
            case "RequestIndividualNumber":
                self._give(items["resident_record_code"], items[ADDED])
            case "RequestIndividualNumberChange":
                self._former_numbers.add(items["individual_number"])
                self._changes += 1
                self._give(items["resident_record_code"], items[ADDED])
            case "NotifyResidentCodeChange":
                former, new = items["former_resident_record_code"], items["new_resident_record_code"]
                if self.current(new) == former:  # back to an earlier code would be a circle
                    return
                number = self.number(former)
                self._moved[former] = new
                if number is not None:
                    self._give(new, number)
            case "SendCodeAcquisitionPair":
                code = self.code(items["individual_number"])
                if code is not None:
                    self.pairs.setdefault(items["processing_number"], code)

    def _give(self, code: str, number: str) -> None:
        code = self.current(code)
        self._numbers[code] = number
        self._codes[number] = code
