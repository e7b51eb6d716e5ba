"""Access tokens: good at every process of the gateway and after a restart, for their account, scopes and time only (RFC 9068, RFC 7662)."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import OctKey

from gateway.pull.tokens import ASSERTION_TYPE, Client, ClientRefused, Tokens, scope
from gateway.security.blind import ContentMac
from gateway.security.keys import KeyStore, Kind

pytestmark = pytest.mark.invariant("I6")
ISSUER = "https://gateway.invalid:18446"
CLIENT = Client(account="welfare", client_id="welfare", business_id="B08", secret="s" * 48, types=frozenset({"resident-info-transfer"}))
READ = scope("B08", "resident-info-transfer", "read")


class World:
    """Any number of gateway processes with one key store, one ledger and one clock."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyStore(folder / "keys").ensure()
        self.now = time.time()
        self._used: set[bytes] = set()

    async def _remember(self, account: str, digest: bytes, until: float) -> bool:
        first = digest not in self._used
        self._used.add(digest)
        return first

    def process(self, *clients: Client, issuer: str = ISSUER) -> Tokens:
        mac = ContentMac.following(self.keys)
        return Tokens(clients or (CLIENT,), issuer=issuer, mac=mac, remember=self._remember, token_s=300.0, clock=lambda: self.now)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_token_is_good_at_every_process_and_after_a_restart_of_all(world: World) -> None:
    text, token = world.process().issue(CLIENT, READ)
    for process in (world.process(), world.process()):
        found = process.introspect(text)
        assert found == token
        assert found is not None
        assert found.scopes == {READ}
    world.keys.rotate(Kind.CONTENT)
    assert world.process().introspect(text) == token, "a rotated key still proves what was issued under it"
    assert world.process().introspect(world.process().issue(CLIENT, "")[0]) is not None


def test_its_time_is_over_everywhere(world: World) -> None:
    text, _ = world.process().issue(CLIENT, "")
    world.now += 299
    assert world.process().introspect(text) is not None
    world.now += 2
    assert world.process().introspect(text) is None


def test_a_new_secret_and_fewer_rights_count_at_once(world: World) -> None:
    text, _ = world.process().issue(CLIENT, "")
    assert world.process(replace(CLIENT, secret="t" * 48)).introspect(text) is None
    fewer = world.process(replace(CLIENT, types=frozenset())).introspect(text)
    assert fewer is not None
    assert not fewer.scopes
    assert world.process(replace(CLIENT, client_id="other", account="other")).introspect(text) is None
    assert world.process(issuer="https://elsewhere.invalid").introspect(text) is None


def test_nobody_makes_a_token_of_their_own(world: World, tmp_path: Path) -> None:
    """Not with the client's own secret, not without a signature, not with another key store, not by changing one."""
    here = world.process()
    text, _ = here.issue(CLIENT, READ)
    claims: dict[str, Any] = jwt.decode(text, OctKey.import_key(_secret(world)), algorithms=["HS256"]).claims
    head, _, signature = text.split(".")
    wider = jws.serialize_compact({"alg": "HS256", "typ": "at+jwt"}, b"{}", OctKey.import_key("x" * 32), algorithms=["HS256"]).split(".")[1]
    forged = [
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, OctKey.import_key(CLIENT.secret), algorithms=["HS256"]),
        jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(_secret(world)), algorithms=["HS256"]),
        World(tmp_path / "other").process().issue(CLIENT, READ)[0],
        f"{head}.{wider}.{signature}",
        f"{text[:-4]}AAAA",
        f"{head.replace(head, 'eyJhbGciOiJub25lIn0')}.{text.split('.')[1]}.",
        secrets.token_urlsafe(32),
        "",
    ]
    assert here.introspect(text) is not None
    assert [here.introspect(each) for each in forged] == [None] * len(forged)


def _secret(world: World) -> bytes:
    return ContentMac.current(world.keys).of("oauth access token", CLIENT.client_id, CLIENT.secret)


async def test_an_assertion_is_used_once_at_whichever_process_and_a_token_is_none(world: World) -> None:
    now = int(world.now)
    claims = {"iss": "welfare", "sub": "welfare", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(16)}
    made = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT.secret), algorithms=["HS256"])
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": made}
    assert await world.process().authenticate(form) == CLIENT
    with pytest.raises(ClientRefused, match="assertion-replayed"):
        await world.process().authenticate(form)
    token, _ = world.process().issue(CLIENT, "")
    with pytest.raises(ClientRefused, match="assertion-signature"):
        await world.process().authenticate({**form, "client_assertion": token})
    with pytest.raises(ClientRefused, match="scope-not-granted"):
        world.process().issue(CLIENT, "B99:resident-info-transfer:read")
