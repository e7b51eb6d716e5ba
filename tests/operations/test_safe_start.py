"""Safe by default: without valid keys, certificates and permissions nothing starts, and it says why and what to do."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from certs.authority import TestAuthority
from certs.setup import ensure
from gateway.cli import main as cli
from gateway.config import Config, load
from gateway.errors import ConfigurationError
from gateway.startup import require_sound

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.invariant("I5")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("safe") / "certs"
    ensure(directory)
    return directory


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir(mode=0o700)
    shutil.copytree(made, tmp_path / "var" / "certs")
    return tmp_path


def configured(home: Path, text: str = "") -> Config:
    file = home / "config.yaml"
    file.write_text("instance: test\n" + text, encoding="utf-8")
    file.chmod(0o644)
    return load(file, environment={})


def certificate(home: Path, name: str = "gateway") -> Path:
    return home / "var" / "certs" / f"{name}.pem"


def dated(home: Path, begins: dt.timedelta, ends: dt.timedelta) -> None:
    """A gateway certificate of other dates, by the same authority."""
    now = dt.datetime.now(dt.UTC)
    TestAuthority(home / "var" / "certs").issue("gateway", not_before=now + begins, not_after=now + ends)


def expired(home: Path) -> None:
    dated(home, dt.timedelta(days=-9), dt.timedelta(days=-1))


def not_yet(home: Path) -> None:
    dated(home, dt.timedelta(days=1), dt.timedelta(days=9))


def no_certificate(home: Path) -> None:
    certificate(home).unlink()


def no_key(home: Path) -> None:
    certificate(home).with_suffix(".key").unlink()


def readable_key(home: Path) -> None:
    certificate(home).with_suffix(".key").chmod(0o644)


def foreign_key(home: Path) -> None:
    folder = home / "var" / "certs"
    shutil.copy(folder / "monitor.key", folder / "gateway.key")
    (folder / "gateway.key").chmod(0o600)


def not_for_servers(home: Path) -> None:
    folder = home / "var" / "certs"
    for suffix in (".pem", ".key"):
        shutil.copy(folder / f"monitor{suffix}", folder / f"gateway{suffix}")
    (folder / "gateway.key").chmod(0o600)


def revoked(home: Path) -> None:
    TestAuthority(home / "var" / "certs").revoke("gateway")


def no_revocation_list(home: Path) -> None:
    (home / "var" / "certs" / "ca.crl").unlink()


def no_authority(home: Path) -> None:
    (home / "var" / "certs" / "ca.pem").unlink()


def open_data(home: Path) -> None:
    (home / "var").chmod(0o777)


def open_certificates(home: Path) -> None:
    (home / "var" / "certs").chmod(0o775)


def open_keys(home: Path) -> None:
    (home / "var" / "keys").mkdir()
    (home / "var" / "keys").chmod(0o730)


CASES: list[tuple[Callable[[Path], None], str]] = [
    (expired, "ended on"),
    (not_yet, "begins only on"),
    (no_certificate, "certificate gateway"),
    (no_key, "gateway.key cannot be read"),
    (readable_key, "chmod 600 gateway.key"),
    (foreign_key, "certificate gateway"),
    (not_for_servers, "not for use as server"),
    (revoked, "it was revoked"),
    (no_revocation_list, "ca.crl cannot be read"),
    (no_authority, "ca.pem"),
    (open_data, "chmod go-w var"),
    (open_certificates, "chmod go-w certs"),
    (open_keys, "chmod go-w keys"),
]


def test_what_is_in_order_starts(home: Path) -> None:
    require_sound(configured(home))


@pytest.mark.parametrize(("spoil", "said"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
def test_does_not_start(home: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(home)
    with pytest.raises(ConfigurationError, match="not-safe-to-start") as caught:
        require_sound(configured(home))
    assert said in caught.value.safe_detail, caught.value.safe_detail


def test_a_configuration_that_others_may_write_is_refused(home: Path) -> None:
    config = configured(home)
    (home / "config.yaml").chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"chmod o-w config\.yaml"):
        require_sound(config)


@pytest.mark.parametrize("what", ["ledger", "broker", "token"])
def test_a_secret_that_others_may_read_is_refused(home: Path, what: str) -> None:
    secret = home / "secret"
    secret.write_text("fictitious-secret\n")
    text = {
        "ledger": "ledger: {url: 'postgresql://renkei@localhost/x', password_file: secret}\n",
        "broker": "broker: {mode: external, external: {hosts: [localhost], password_file: secret}}\n",
        "token": "token: {library: library.so, label: renkei, pin_file: secret}\n",
    }[what]
    (home / "library.so").touch(mode=0o644)
    secret.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600 secret") as caught:
        require_sound(configured(home, text))
    assert "fictitious-secret" not in str(caught.value)
    secret.chmod(0o600)
    require_sound(configured(home, text))


@pytest.mark.parametrize(("mode", "said"), [(None, "is not there"), (0o666, "others may write library.so")])
def test_a_token_library_that_others_may_write_is_refused(home: Path, mode: int | None, said: str) -> None:
    (home / "pin").touch(mode=0o600)
    if mode is not None:
        (home / "library.so").touch()
        (home / "library.so").chmod(mode)
    with pytest.raises(ConfigurationError, match=said):
        require_sound(configured(home, "token: {library: library.so, label: renkei, pin_file: pin}\n"))


def test_all_that_is_wrong_is_said_at_once(home: Path) -> None:
    for spoil in (readable_key, no_revocation_list, open_data):
        spoil(home)
    with pytest.raises(ConfigurationError) as caught:
        require_sound(configured(home))
    assert len(caught.value.safe_detail.splitlines()) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("role", ["all", "gateway", "worker"])
def test_the_command_ends_with_the_reason_and_leaves_nothing_behind(home: Path, role: str) -> None:
    readable_key(home)
    configured(home)
    command = [sys.executable, "-m", "gateway", "up", "--role", role, "--config", str(home / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "chmod 600 gateway.key" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "var" / "ledger").exists(), "nothing was opened"


# ---- secrets ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ledger: {url: 'postgresql://renkei:in-clear@localhost/x'}\n",
        "ledger: {url: 'postgresql://renkei@localhost/x', password: in-clear}\n",
        "broker: {mode: external, external: {hosts: [localhost], password: in-clear}}\n",
        "token: {library: /l.so, label: renkei, pin: in-clear}\n",
    ],
)
def test_no_secret_stands_in_the_configuration(home: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured(home, text)
    assert "in-clear" not in str(caught.value)


def test_no_secret_has_a_default() -> None:
    from gateway import config as module

    def fields(section: type) -> list[tuple[str, object]]:
        found = []
        for name, each in section.model_fields.items():  # type: ignore[attr-defined]
            found.append((f"{section.__name__}.{name}", each.default))
        return found

    sections = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, module.Section)]
    secret = [
        (name, default)
        for each in sections
        for name, default in fields(each)
        if name.endswith((".password", ".password_file", ".pin", ".pin_file"))
    ]
    assert len(secret) >= 6
    assert all(default is None for _, default in secret), secret


def test_config_show_prints_no_secret(home: Path, capsys: pytest.CaptureFixture[str]) -> None:

    text = (
        "ledger: {url: 'postgresql://renkei@localhost/x', password: '${A_PASSWORD}'}\n"
        "broker: {mode: external, external: {hosts: [localhost], password: '${B_PASSWORD}'}}\n"
        "token: {library: /l.so, label: renkei, pin: '${C_PIN}'}\n"
    )
    (home / "config.yaml").write_text(text)
    import os

    os.environ.update(A_PASSWORD="alpha-secret", B_PASSWORD="beta-secret", C_PIN="gamma-secret")
    try:
        for how in ((), ("--json",)):
            assert cli.run(["config", "show", "--config", str(home / "config.yaml"), *how]) == 0
    finally:
        for name in ("A_PASSWORD", "B_PASSWORD", "C_PIN"):
            del os.environ[name]
    shown = capsys.readouterr()
    assert "renkei" in shown.out
    assert "-secret" not in shown.out + shown.err
    assert "**********" in shown.out


SIGNED = """parties:
  city-cs:
    adapter: juki_cs
    url: https://127.0.0.1:9
    peer: city-cs
    signatures: {partner: city-cs-signing}
"""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "gateway-signing.key").unlink(), "gateway-signing.key cannot be read"),
        (lambda folder: (folder / "gateway-signing.key").chmod(0o640), "chmod 600 gateway-signing.key"),
        (lambda folder: shutil.copy(folder / "monitor.pem", folder / "gateway-signing.pem"), "does not belong"),
    ],
)
def test_without_its_key_for_messages_it_does_not_start(home: Path, spoil: Callable[[Path], object], said: str) -> None:
    require_sound(configured(home, SIGNED))
    spoil(home / "var" / "certs")
    with pytest.raises(ConfigurationError, match="not-safe-to-start") as caught:
        require_sound(configured(home, SIGNED))
    assert said in caught.value.safe_detail


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    signatures: {partner: city-cs-signing, token_key: signs}\n", "token"),
        ("    encryption: {partner: city-cs-encryption}\n", "encryption needs signatures"),
    ],
)
def test_half_a_configuration_for_messages_is_refused(home: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="configuration-invalid") as caught:
        configured(home, SIGNED.rpartition("    signatures")[0] + more)
    assert said in caught.value.safe_detail
