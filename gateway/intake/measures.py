"""What the doors count: a port, which ``gateway/operations/metrics.py`` fills. Labels are names of ours only: systems of the
configuration, doors, codes (I5)."""

from __future__ import annotations

from typing import Final, Protocol


class IntakeMeter(Protocol):
    """Told by the doors. Called on the event loop for every message: must be quick and must not raise."""

    def intake(self, system: str, door: str, result: str, seconds: float) -> None:
        """One message was answered: ``result`` is ``accepted``, ``duplicate`` or the code of its refusal; ``seconds`` since it came."""

    def intake_waits(self, system: str, code: str) -> None:
        """Intake by queue stands still for a passing reason, and will try again."""

    def intake_active(self, system: str) -> None:
        """A consumer of this process has become the active one of that queue."""


class Uncounted:
    """Counts nothing: for doors that nobody scrapes."""

    def intake(self, system: str, door: str, result: str, seconds: float) -> None:
        """See :class:`IntakeMeter`."""

    def intake_waits(self, system: str, code: str) -> None:
        """See :class:`IntakeMeter`."""

    def intake_active(self, system: str) -> None:
        """See :class:`IntakeMeter`."""


UNCOUNTED: Final[IntakeMeter] = Uncounted()


def result_of(duplicate: bool) -> str:
    """The word for an acceptance."""
    return "duplicate" if duplicate else "accepted"
