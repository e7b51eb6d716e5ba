"""Settings of the simulated application management system, and how it is put together."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from certs.peer import Authority
from simulators.applications.party import ApplicationManagement
from simulators.settings import PartySettings


class ApplicationsSettings(PartySettings):
    """Settings of the simulator."""

    municipality: str = Field(pattern=r"^[0-9]{6}$")
    """The tenant that its callers must be, and that its answers name."""
    applicants: Path | None = None
    """Folder with certificates and keys of fictitious citizens."""


def build(settings: ApplicationsSettings) -> ApplicationManagement:
    """The party, not yet on the network."""
    return ApplicationManagement(
        salt=settings.the_salt(),
        caller=settings.caller,
        authority=Authority(settings.ca, settings.crl),
        municipality=settings.municipality,
        applicants=settings.applicants,
        seed=settings.seed,
    )
