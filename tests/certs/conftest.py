"""A test authority of its own for each test, and a TLS handshake in memory."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from certs.authority import TestAuthority

Handshake = Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    made = TestAuthority(tmp_path / "certs")
    made.create()
    return made


@pytest.fixture
def handshake() -> Handshake:
    return shake_hands


def shake_hands(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, name: str = "city-cs", session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a finished handshake with one byte exchanged each way; raises what either end raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for end in (client, server):
            if end not in done:
                try:
                    end.do_handshake()
                    done.add(end)
                except ssl.SSLWantReadError:
                    continue
        if len(done) == 2:
            break
    client.write(b"?")
    assert server.read(1) == b"?"
    server.write(b"!")
    assert client.read(1) == b"!"
    return client, server
