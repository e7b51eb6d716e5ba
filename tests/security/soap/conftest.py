"""Both directions of signed messages, with certificates of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from certs.authority import TestAuthority
from certs.setup import ensure
from tests.security.soap.kit import Direction, encrypted, encrypted_leg, other_signers, to_gateway, to_party


@pytest.fixture(scope="session")
def soap_authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return ensure(tmp_path_factory.mktemp("soap") / "certs")


@pytest.fixture(scope="session")
def directions(soap_authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Direction]:
    others = other_signers(soap_authority)
    folder: Path = tmp_path_factory.mktemp("party")
    ways = (to_gateway(soap_authority, others), to_party(soap_authority, others, folder), encrypted(encrypted_leg(soap_authority), others))
    return {way.name: way for way in ways}
