from __future__ import annotations

from pathlib import Path

import pytest

from tests.intake.kit import House, house
from tests.support.broker import authority, broker_node, declared, endpoint, names

__all__ = ["authority", "broker_node", "declared", "endpoint", "names"]


@pytest.fixture
def home(tmp_path: Path) -> House:
    return house(tmp_path)
