"""Commands on the ledger as a book: ``renkei tally``, and ``renkei clock`` for a test ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json
from gateway.cli.support import load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

DAY_S = 86_400.0


def tally(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """All messages and deliveries in numbers."""
    with AdminClient(load_config(config), operator, timeout_s=120.0) as client:
        found = client.get("tally")
    if as_json:
        show_json(found)
        return
    names = [t(f"label.{name}") for name in ("tally.from", "tally.type", "tally.count")]
    show_table(names, [[each["system"], each["type"], each["count"]] for each in found["messages"]])
    say("")
    names = [t(f"label.{name}") for name in ("party", "tally.type", "tally.state", "tally.count")]
    rows = [
        [each["party"], each["type"], each["state"] + (" *" if each["replaced"] else ""), each["count"]] for each in found["deliveries"]
    ]
    show_table(names, rows)


def clock(
    days: Annotated[float, typer.Option("--days", metavar="N", help=t("clock.days"))],
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Business time of a test ledger is so many days ahead of real time."""
    with AdminClient(load_config(config), operator) as client:
        found = client.post("business-clock", body={"offset_s": days * DAY_S})
    if as_json:
        show_json(found)
    else:
        say(t("clock.shifted", at=local_time(found["now"])))
