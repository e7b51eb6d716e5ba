"""The files of an embedded node: its folder, its configuration, its users.

::

    <directory>/            0700
      node.json             what wrote this folder (format and RabbitMQ version), name, AMQP port
      node.lock             held by whoever runs the node, and by the node itself
      users.json            0600: the broker's users and their generated passwords
      definitions.json      0600: users (hashes), virtual host and permissions, imported at every start
      .erlang.cookie        0600, generated
      rabbitmq.conf         written at every start; edits are lost
      data/  log/
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from certs.path import load_certificates, load_crls
from gateway.broker.installation import Version, parse_version, version_text
from gateway.broker.topology import GATEWAY_PERMISSIONS, Permissions, system_permissions
from gateway.errors import ConfigurationError

FORMAT = 1
GATEWAY_USER = "gateway"
_NOTHING = Permissions(configure="^$", write="^$", read="^$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsListener:
    """A TLS port for systems on other machines; a client certificate is required and its CN is the user (EXTERNAL).

    :param host: address to listen on; the only thing of the node that may be beyond loopback.
    """

    port: int
    certificate: Path
    key: Path
    ca: Path
    crl: Path | None = None
    """Revocation lists: with them every certificate of a client's path must be covered by one that is in force."""
    host: str = "127.0.0.1"
    tls12: bool = False
    """Allow TLS 1.2 beside 1.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What goes into ``rabbitmq.conf``."""

    port: int
    tls: TlsListener | None = None
    memory_bytes: int = 1 << 30
    """Above it the broker has a memory alarm and blocks publishers."""
    disk_free_bytes: int = 512 << 20
    """Below it the broker has a disk alarm."""
    message_bytes: int = 16 << 20
    prometheus_port: int | None = None
    management_port: int | None = None
    peers: tuple[str, ...] = ()
    """All node names of the cluster; empty for a single node."""

    def plugins(self) -> list[str]:
        wanted = {
            "rabbitmq_auth_mechanism_ssl": self.tls is not None,
            "rabbitmq_management": self.management_port is not None,
            "rabbitmq_prometheus": self.prometheus_port is not None,
        }
        return [name for name, on in wanted.items() if on]


def write_private(path: Path, text: str) -> None:
    """Replace a file that nobody else may read, in one step."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class NodeFolder:
    """The folder of one node."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make what is missing: folders, cookie, users."""
        for folder in (self.directory, self.data, self.log, self.directory / "conf.d"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            self.write_cookie(secrets.token_hex(20))
        if GATEWAY_USER not in self.users():
            self.put_user(GATEWAY_USER, password=secrets.token_urlsafe(32))

    def write_cookie(self, cookie: str) -> None:
        path = self.directory / ".erlang.cookie"
        write_private(path, cookie)
        path.chmod(0o400)

    # --- lock

    @property
    def lock_fd(self) -> int | None:
        return self._lock

    def try_lock(self) -> bool:
        """Take the folder for this process; False if somebody else has it."""
        if self._lock is not None:
            return True
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- who wrote it

    def record(self) -> dict[str, Any]:
        try:
            found = json.loads((self.directory / "node.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ConfigurationError("broker-data-damaged", "node.json of the broker's folder cannot be read", place="node.json") from error
        return dict(found)

    def write_record(self, *, name: str, port: int, version: Version) -> None:
        text = json.dumps({"format": FORMAT, "rabbitmq": version_text(version), "name": name, "port": port}, indent=1)
        write_private(self.directory / "node.json", text)

    def check_version(self, version: Version, *, name: str) -> None:
        """:raises ConfigurationError: the folder was written by something newer, too old, or under another node name."""
        record = self.record()
        if not record:
            return
        if int(record["format"]) > FORMAT:
            raise ConfigurationError(
                "broker-data-newer",
                "the broker's folder was written by a newer release of the gateway; use that release",
                place="node.json",
            )
        if record["name"] != name:
            raise ConfigurationError(
                "broker-data-name", f"the broker's folder belongs to node {record['name']}, not {name}; RabbitMQ cannot rename a node",
                place="node.json",
            )  # fmt: skip
        wrote = parse_version(record["rabbitmq"])
        if wrote[:2] > version[:2]:
            raise ConfigurationError(
                "broker-data-newer",
                f"the broker's folder was written by RabbitMQ {version_text(wrote)}; {version_text(version)} cannot read it. Install "
                f"{version_text(wrote)} or newer",
                place="node.json",
            )
        if wrote[0] < version[0] and wrote[:2] < (3, 13):
            raise ConfigurationError(
                "broker-data-older",
                f"RabbitMQ {version_text(version)} cannot take over a folder of {version_text(wrote)} in one step. Let the queues run "
                "empty, stop, move the folder away and start: queues are declared anew, bells are rung from the ledger, and systems send "
                "again what has no receipt",
                place="node.json",
            )

    # --- users

    def users(self) -> dict[str, dict[str, Any]]:
        """Name → {``password`` (None: by certificate only), ``revoked``}."""
        path = self.directory / "users.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def put_user(self, name: str, *, password: str | None) -> None:
        users = self.users()
        users[name] = {"password": password, "revoked": False}
        self._write_users(users)

    def mark_revoked(self, name: str) -> None:
        users = self.users()
        users[name] = {"password": None, "revoked": True}
        self._write_users(users)

    def drop_user(self, name: str) -> None:
        users = self.users()
        users.pop(name, None)
        self._write_users(users)

    def _write_users(self, users: Mapping[str, Any]) -> None:
        write_private(self.directory / "users.json", json.dumps(users, indent=1))

    # --- configuration

    def write_configuration(self, settings: NodeSettings, *, vhost: str, version: Version) -> None:
        """Write ``rabbitmq.conf``, the plug-in list and the definitions."""
        definitions = self.directory / "definitions.json"
        write_private(definitions, json.dumps(self._definitions(vhost), indent=1))
        write_private(self.directory / "rabbitmq.conf", "\n".join(_configuration(settings, definitions, version)) + "\n")
        write_private(self.directory / "enabled_plugins", f"[{','.join(settings.plugins())}].\n")
        if settings.tls is not None and settings.tls.crl is not None:
            self.write_revocation(settings.tls.ca, settings.tls.crl)
            # rabbitmq.conf has no words for revocation lists
            write_private(self.directory / "advanced.config", _revocation_configuration(settings.tls, self.directory / "crls"))

    def write_revocation(self, ca: Path, crl: Path) -> None:
        """Put the revocation lists where Erlang looks for them: a file for each issuer, named by the hash of its name. They are read at
        every handshake.

        :raises CertificateError: a file cannot be read.
        """
        folder = self.directory / "crls"
        folder.mkdir(mode=0o700, exist_ok=True)
        wanted = {}
        for each in load_crls(crl):
            issuer = next((one for one in load_certificates(ca) if one.subject == each.issuer), None)
            if issuer is not None:
                number: Any = crypto.X509.from_cryptography(issuer).subject_name_hash()  # an int, whatever the published stubs say
                wanted[f"{number:08x}.r0"] = each
        for name, each in wanted.items():
            write_private(folder / name, each.public_bytes(Encoding.PEM).decode())
        for file in folder.iterdir():
            if file.name not in wanted:
                file.unlink()

    def _definitions(self, vhost: str) -> dict[str, Any]:
        users, permissions = [], []
        for name, entry in self.users().items():
            granted = _NOTHING if entry["revoked"] else user_permissions(name)
            # An empty hash means: no login with a password.
            users.append(
                {
                    "name": name,
                    "password_hash": password_hash(entry["password"]) if entry["password"] else "",
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": [],
                }
            )
            permissions.append({"user": name, "vhost": vhost, "configure": granted.configure, "write": granted.write, "read": granted.read})
        return {"users": users, "vhosts": [{"name": vhost}], "permissions": permissions}


def user_permissions(name: str) -> Permissions:
    """The gateway's own user may everything in the virtual host; any other is a system."""
    return GATEWAY_PERMISSIONS if name == GATEWAY_USER else system_permissions(name)


def password_hash(password: str) -> str:
    """RabbitMQ's salted SHA-256. The passwords are 256 random bits, so no slow hash is needed."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _configuration(settings: NodeSettings, definitions: Path, version: Version) -> list[str]:
    lines = [
        "# Written by the gateway at every start.",
        f"listeners.tcp.1 = 127.0.0.1:{settings.port}",
        "num_acceptors.tcp = 2",
        f"load_definitions = {definitions}",
        # the one with all rights is for our own processes on this machine: a certificate of that name from elsewhere is no login
        f"loopback_users.{GATEWAY_USER} = true",
        "heartbeat = 10",
        "channel_max = 128",
        f"max_message_size = {settings.message_bytes}",
        f"vm_memory_high_watermark.absolute = {settings.memory_bytes}",
        f"disk_free_limit.absolute = {settings.disk_free_bytes}",
        "consumer_timeout = 1800000",
        "raft.wal_max_size_bytes = 67108864",
        "log.console = false",
        "log.file = node.log",
        "log.file.level = info",
        "log.file.rotation.size = 10485760",
        "log.file.rotation.count = 5",
        "auth_mechanisms.1 = PLAIN",
    ]
    if settings.tls is not None:
        lines += _tls(settings.tls)
    if settings.management_port is not None:
        lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {settings.management_port}"]
    if settings.prometheus_port is not None:
        lines += ["prometheus.tcp.ip = 127.0.0.1", f"prometheus.tcp.port = {settings.prometheus_port}"]
    if settings.peers:
        lines.append("cluster_formation.peer_discovery_backend = classic_config")
        lines += [f"cluster_formation.classic_config.nodes.{i} = {name}" for i, name in enumerate(settings.peers, 1)]
        if version < (4, 3, 0):  # 4.3 knows Khepri only and no strategies
            lines.append("cluster_partition_handling = pause_minority")
    return lines


def _revocation_configuration(tls: TlsListener, folder: Path) -> str:
    """The whole of ``ssl_options``: this file replaces what the other one says of them."""
    versions = "'tlsv1.3','tlsv1.2'" if tls.tls12 else "'tlsv1.3'"
    options = [
        f"{{cacertfile,{_erlang(tls.ca)}}}",
        f"{{certfile,{_erlang(tls.certificate)}}}",
        f"{{keyfile,{_erlang(tls.key)}}}",
        "{verify,verify_peer}",
        "{fail_if_no_peer_cert,true}",
        "{depth,2}",
        f"{{versions,[{versions}]}}",
        "{crl_check,true}",
        f"{{crl_cache,{{ssl_crl_hash_dir,{{internal,[{{dir,{_erlang(folder)}}}]}}}}}}",
    ]
    return f"[{{rabbit,[{{ssl_options,[{','.join(options)}]}}]}}].\n"


def _erlang(path: Path) -> str:
    text = str(path.resolve())
    if not text.isascii() or any(character in text for character in '"\\'):
        raise ConfigurationError("broker-path", "the paths of the broker's certificates must be plain ASCII without quotes")
    return f'"{text}"'


def _tls(tls: TlsListener) -> Sequence[str]:
    return [
        "auth_mechanisms.2 = EXTERNAL",
        "ssl_cert_login_from = common_name",
        f"listeners.ssl.1 = {tls.host}:{tls.port}",
        "num_acceptors.ssl = 2",
        f"ssl_options.certfile = {tls.certificate.resolve()}",
        f"ssl_options.keyfile = {tls.key.resolve()}",
        f"ssl_options.cacertfile = {tls.ca.resolve()}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
        "ssl_options.depth = 2",
        "ssl_options.versions.1 = tlsv1.3",
        *(["ssl_options.versions.2 = tlsv1.2"] if tls.tls12 else []),
    ]
