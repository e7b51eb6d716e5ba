"""A key store of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.security.keys import KeyStore


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys").ensure()
