"""Errors of the simulators and of the harness. None carries personal data; each says what to do."""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of the errors that a simulator or the harness raises on purpose. ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class JournalDamaged(SimulatorError):
    """A line inside a journal cannot be read, or the numbering has a hole: the journal is no evidence any more."""


class JournalBusy(SimulatorError):
    """Another process holds the journal."""


class BadFault(SimulatorError):
    """A fault was described wrongly."""


class BadSettings(SimulatorError):
    """Settings of a simulator are missing or contradict each other."""


class ProcessFailed(SimulatorError):
    """A child process ended, or did not become ready in time."""


class DoorRefused(SimulatorError):
    """The gateway cannot be used by the register as configured (certificate, credentials, keys)."""
