"""The proof of erasure for an instance: the places of its configuration."""

from __future__ import annotations

from pathlib import Path

from gateway.backup.looking import keys_in, place_of
from gateway.config import Config
from gateway.errors import ConfigurationError
from gateway.ledger import retention as lr
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.migrate import check_schema
from gateway.policy.routes import tables
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.policy import ROWS, load
from gateway.retention.proof import Finding, Places, prove
from gateway.security.day_keys import DayKeys


def prove_all(config: Config) -> list[Finding]:
    """Look everywhere. Blocks.

    :raises ConfigurationError: ``ledger-missing``; ``erasure-list-missing`` or ``-broken``.
    """
    url = config.ledger_url()
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:///")).exists():
        raise ConfigurationError("ledger-missing", "there is no ledger yet")
    engine = open_engine(url, readers=1)
    try:
        check_schema(engine)
        return prove(places_of(config, engine))
    finally:
        engine.close_here()


def places_of(config: Config, engine: LedgerEngine) -> Places:
    """Where data of this configuration lie."""
    policy = load(config.retention.policy, tables().ephemeral)
    [rule] = policy.of("backup")
    place = place_of(config, policy)
    days = rule.after.days if rule.after.days is not None else 366 * (rule.after.years or 1)
    clocks, calendar = engine.read_here(lr.clocks), BusinessCalendar.of_file(config.retention.holidays)
    yesterday, past = clocks.business - 86_400.0, clocks.ledger - 86_400.0  # the keeper comes every few minutes
    rows: dict[str, float] = {each.place: min(each.after.due_before(yesterday, calendar), past) for each in policy.of(*ROWS)}
    folders = {
        "broker": [config.broker_directory],
        "export": config.export_directories,
        "submit": [config.data_dir / "submit"],
        "log": [config.data_dir / "log"],
    }
    return Places(
        engine=engine,
        erasures=place.erasures,
        folders=folders,
        backups=lambda: keys_in(place, place.keys, days),
        day_keys=lambda: DayKeys(config.day_keys_directory).ids(),
        rows=rows,
        calendar=calendar,
        now=clocks.business,
    )
