"""A software token (SoftHSM2) for tests: ``soft_token`` gives its settings; everything in it is gone with the test run.

SoftHSM2 reads where its tokens are from the environment when the library is set up, once for each process.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.security.token import Token, TokenSettings

__all__ = ["LIBRARY", "PIN", "make_token", "soft_token", "token_settings"]

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "8451-fictitious"
LABEL = "renkei-test"


def make_token(folder: Path, label: str = LABEL) -> Path:
    """A token of its own in ``folder``; returns the file that ``SOFTHSM2_CONF`` must name."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n")
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "officer-fictitious", "--pin", PIN]
    subprocess.run(command, env={**os.environ, "SOFTHSM2_CONF": str(configuration)}, check=True, capture_output=True, timeout=30)
    return configuration


@functools.cache
def _shared() -> TokenSettings:
    """One for this process, however many folders of tests ask: the library looks once where its tokens are."""
    folder = tempfile.TemporaryDirectory(prefix="renkei-softhsm-")
    atexit.register(folder.cleanup)
    os.environ["SOFTHSM2_CONF"] = str(make_token(Path(folder.name)))
    return TokenSettings(library=LIBRARY, label=LABEL, pin=lambda: PIN)


@pytest.fixture(scope="session")
def token_settings() -> TokenSettings:
    return _shared()


@pytest.fixture
def soft_token(token_settings: TokenSettings) -> Iterator[Token]:
    token = Token(token_settings)
    yield token
    token.close()
