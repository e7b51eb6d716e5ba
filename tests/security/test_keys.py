"""The key store: private files, rotation and destruction that other processes follow, and no key in any text."""

from __future__ import annotations

import stat
import traceback
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.security import keys as module
from gateway.security.keys import KeyStore, Kind


@pytest.fixture(autouse=True)
def _follow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLLOW_S", 0.0)


@pytest.mark.invariant("I5")
def test_all_files_are_private_and_ensure_changes_nothing_the_second_time(keys: KeyStore) -> None:
    files = {path: path.read_bytes() for path in keys.directory.glob("*.key")}
    assert len(files) == len(Kind)
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*files, keys.directory / "index.json"]} == {0o600}
    assert stat.S_IMODE(keys.directory.stat().st_mode) == 0o700
    KeyStore(keys.directory).ensure()
    assert {path: path.read_bytes() for path in keys.directory.glob("*.key")} == files


@pytest.mark.invariant("I5")
def test_looser_permissions_are_refused_by_name_and_remedy(keys: KeyStore) -> None:
    path = next(keys.directory.glob("kek-*.key"))
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"key-file-permissions.*chmod 600") as caught:
        KeyStore(keys.directory).ensure()
    assert path.read_text().strip() not in "".join(traceback.format_exception(caught.value))
    path.chmod(0o600)
    keys.directory.chmod(0o750)
    with pytest.raises(ConfigurationError, match="key-directory-permissions"):
        KeyStore(keys.directory).ensure()


@pytest.mark.invariant("I5")
def test_no_key_in_an_error_or_a_repr(keys: KeyStore) -> None:
    path = next(keys.directory.glob("blind-*.key"))
    path.write_text("00ff not a key but nearly a secret")
    with pytest.raises(ConfigurationError, match="key-malformed") as caught:
        KeyStore(keys.directory).ensure()
    assert "nearly" not in "".join(traceback.format_exception(caught.value))
    key = keys.current(Kind.KEK)
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_rotation_and_destruction_are_followed_by_another_process(keys: KeyStore) -> None:
    other = KeyStore(keys.directory)
    old = other.current(Kind.KEK)
    new = keys.get(Kind.KEK, keys.rotate(Kind.KEK))
    assert other.current(Kind.KEK) == new
    assert other.get(Kind.KEK, old.id) == old, "what was wrapped before still opens"
    keys.destroy(Kind.KEK, old.id)
    with pytest.raises(ConfigurationError, match="key-unknown"):
        other.get(Kind.KEK, old.id)
    assert not list(keys.directory.glob(f"*{old.id}*"))


def test_a_new_id_is_found_before_the_next_look(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = KeyStore(keys.directory)
    other.ids(Kind.KEK)
    monkeypatch.setattr(module, "FOLLOW_S", 3600.0)
    made = keys.get(Kind.KEK, keys.rotate(Kind.KEK))
    assert other.get(Kind.KEK, made.id) == made


def test_current_key_cannot_be_destroyed(keys: KeyStore) -> None:
    with pytest.raises(ConfigurationError, match="key-current"):
        keys.destroy(Kind.JWE, keys.current(Kind.JWE).id)


@pytest.mark.parametrize("key_id", ["../../etc/passwd", "", "no-such", "x" * 300])
def test_unknown_ids(keys: KeyStore, key_id: str) -> None:
    with pytest.raises(ConfigurationError, match="key-unknown"):
        keys.get(Kind.KEK, key_id)


def test_directory_without_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="key-index-missing"):
        KeyStore(tmp_path).current(Kind.KEK)
