"""What the supervisor does before it starts anything."""

from __future__ import annotations

import functools
from pathlib import Path

from gateway.config import load
from gateway.ledger.ledger import Ledger
from gateway.ledger.lookup import party_row
from gateway.supervisor import Supervisor

CONFIG = """
data_dir: .
parties:
  city-cs: { adapter: juki_cs, url: https://localhost:1, peer: city-cs, paused: true }
  other-party: { adapter: juki_cs, url: https://localhost:1, peer: other-party }
"""


async def test_a_party_that_is_paused_in_the_configuration_is_paused_once_for_each_start(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    try:
        supervisor = Supervisor(load(file), ledger)
        await supervisor.pause_parties()
        paused = {name: (await ledger.read(functools.partial(party_row, party=name))).paused_by for name in ("city-cs", "other-party")}
        assert paused == {"city-cs": "configuration", "other-party": None}
        await ledger.pause("city-cs", "CN=operator-a", "back", paused=False)
        assert (await ledger.read(functools.partial(party_row, party="city-cs"))).paused_by is None
    finally:
        await ledger.close()
