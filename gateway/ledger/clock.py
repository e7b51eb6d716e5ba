"""Two clocks (R21), and a third for "how long ago".

*Ledger time* is real time as the ledger's database has it: claims, liveness, back-off. *Business time* is ledger time plus an offset kept
in the ledger: days, hours of service, retention, deadlines of flows. Only a ledger that was made for tests accepts an offset; ``/readyz``
shows it. *Boot time* counts seconds since the machine started, also while it was suspended; it is compared only within one machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, select, update

from gateway.errors import CommandRefused, ConfigurationError
from gateway.ledger.tables import meta

Profile = Literal["production", "test"]

OFFSET: Final = "business_offset_s"
PROFILE: Final = "profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessClock:
    """What the ledger says about business time."""

    offset_s: float
    profile: str

    def at(self, ledger_time: float) -> float:
        """Business time at a moment of ledger time; both in seconds since 1970 UTC."""
        return ledger_time + self.offset_s


def boot_time() -> float:
    """Seconds since the machine started, suspension included: a process that was frozen or suspended notices it (R5)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ledger_time(connection: Connection) -> float:
    """Now, in seconds since 1970 UTC, by the clock that the ledger's writer uses."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one())


def business_clock(connection: Connection) -> BusinessClock:
    """Read offset and profile. Raises ConfigurationError where the ledger was not set up by the migration."""
    rows = connection.execute(select(meta.c.name, meta.c.value).where(meta.c.name.in_([OFFSET, PROFILE])))
    facts: dict[str, str] = {row.name: row.value for row in rows}
    try:
        return BusinessClock(offset_s=float(facts[OFFSET]), profile=facts[PROFILE])
    except (KeyError, ValueError) as error:
        raise ConfigurationError("ledger-clock", "the ledger does not say what its business clock is: run the migration") from error


def set_business_offset(connection: Connection, offset_s: float) -> None:
    """Shift business time, within a writing transaction. Raises CommandRefused for a ledger that is not of a test profile."""
    if business_clock(connection).profile != "test":
        raise CommandRefused("business-clock-real", "the business clock of this ledger is real time: only a test profile may shift it")
    connection.execute(update(meta).where(meta.c.name == OFFSET).values(value=repr(float(offset_s))))
