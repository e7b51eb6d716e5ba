"""What sealing costs: seal and unseal of 4 KB with keys in files, and in a token where SoftHSM2 is installed. CPU time of this thread."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from gateway.security.kek import TokenKeks
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from gateway.security.token import Token, TokenSettings
from tests.support.token import LIBRARY, PIN, make_token

SIZE = 4096
PLACE = {"message_id": "0" * 32, "message_type": "identity-information-update", "party": "city-cs"}


def measure(folder: Path) -> dict[str, float]:
    """Microseconds of CPU for each operation."""
    found = _costs("file", Sealer(KeyStore(folder / "keys").ensure()), rounds=2000)
    if LIBRARY.exists():
        os.environ["SOFTHSM2_CONF"] = str(make_token(folder / "softhsm", "bench"))
        token = Token(TokenSettings(library=LIBRARY, label="bench", pin=lambda: PIN))
        store = KeyStore(folder / "token-keys", token=TokenKeks(token), kek_in_token=True).ensure()
        found |= _costs("token (SoftHSM2)", Sealer(store), rounds=50)
        token.close()
    return found


def _costs(name: str, sealer: Sealer, *, rounds: int) -> dict[str, float]:
    text = os.urandom(SIZE)
    sealed = sealer.seal(text, **PLACE)

    def unseal() -> None:
        sealer.unseal(sealed.sealed, wrapped=sealed.wrapped, kek_id=sealed.kek_id, **PLACE)

    return {f"seal 4 KB, {name}": _cost(lambda: sealer.seal(text, **PLACE), rounds), f"unseal 4 KB, {name}": _cost(unseal, rounds)}


def _cost(work: Callable[[], object], rounds: int) -> float:
    """The median of nine runs."""
    runs = []
    for _ in range(9):
        started = time.thread_time()
        for _ in range(rounds):
            work()
        runs.append((time.thread_time() - started) / rounds * 1e6)
    return statistics.median(runs)
