"""``renkei certs``: certificates of this gateway, from a test authority or from real ones.

Works on the files that the configuration names; nothing has to run for it, and what runs takes over what it changes.
"""

from __future__ import annotations

import datetime as dt
import enum
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import NETWORKS, Profile, TestAuthority
from certs.errors import CertificateError
from certs.path import PathCheck, load_certificates
from certs.setup import ensure_networks
from certs.store import CertificateStore, take_authorities, take_list, take_partner
from gateway.cli.options import ConfigFile, Json
from gateway.cli.support import ExitCode, load_config, say, show_json, show_table
from gateway.cli.wording import t
from gateway.config import Config, Trust, read_secret
from gateway.errors import ConfigurationError

app = typer.Typer(help=t("command.certs"), no_args_is_help=True)

Name = Annotated[str, typer.Argument(help=t("certs.name"))]
TrustName = Annotated[str | None, typer.Option("--trust", help=t("certs.trust"))]
Dns = Annotated[list[str] | None, typer.Option("--dns", help=t("certs.dns"))]
Ips = Annotated[list[str] | None, typer.Option("--ip", help=t("certs.ip"))]
Uri = Annotated[str | None, typer.Option("--uri", help=t("certs.uri"))]


class NetworkName(enum.StrEnum):
    """Networks of :data:`certs.authority.NETWORKS`."""

    IN_HOUSE = "in-house"
    JUKI_NET = "juki-net"
    LGWAN = "lgwan"


class KeyType(enum.StrEnum):
    """Kinds of :data:`certs.store.KEY_TYPES`."""

    P256 = "p256"
    P384 = "p384"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


NetworkOption = Annotated[NetworkName, typer.Option("--network", help=t("certs.network"))]


def _said(error: CertificateError) -> ConfigurationError:
    return ConfigurationError(error.code, error.safe_detail)


@app.command("init", help=t("certs.init"))
def init(config: ConfigFile = None, as_json: Json = False) -> None:
    settings = load_config(config)
    try:
        authorities = ensure_networks(settings.certificates_directory)
    except CertificateError as error:
        raise _said(error) from error
    if as_json:
        show_json({"authorities": {name: str(authority.ca) for name, authority in authorities.items()}})
        return
    for name, authority in authorities.items():
        say(f"✓ {name}: {authority.ca}")
    say(t("certs.fictitious"))


@app.command("issue", help=t("certs.issue"))
def issue(
    name: Name,
    profile: Annotated[Profile, typer.Option("--profile", help=t("certs.profile"))] = Profile.CLIENT,
    network: NetworkOption = NetworkName.IN_HOUSE,
    dns: Dns = None,
    ip: Ips = None,
    uri: Uri = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    try:
        files = _authority(load_config(config), network).issue(name, profile, dns or (), ip or (), uri)
    except (CertificateError, ValueError) as error:
        raise _said(_certificate_error(error)) from error
    _show_file(files.certificate, as_json)


@app.command("request", help=t("certs.request"))
def request(
    name: Name,
    organisation: Annotated[str | None, typer.Option("--organisation", help=t("certs.organisation"))] = None,
    dns: Dns = None,
    ip: Ips = None,
    uri: Uri = None,
    key: Annotated[KeyType, typer.Option("--key", help=t("certs.key"))] = KeyType.P256,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    store = CertificateStore(load_config(config).certificates_directory)
    try:
        file = store.request(name, organisation=organisation, dns=dns or (), ips=ip or (), uri=uri, key_type=key.value)
    except (CertificateError, ValueError) as error:
        raise _said(_certificate_error(error)) from error
    show_json({"request": str(file)}) if as_json else say(t("certs.requested", file=file, name=name))


@app.command("import", help=t("certs.import"))
def import_(
    name: Annotated[str, typer.Argument(help=t("certs.import.name"))],
    files: Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False, help=t("certs.import.files"))] = None,
    trust: TrustName = None,
    later: Annotated[bool, typer.Option("--later", help=t("certs.later"))] = False,
    switch: Annotated[bool, typer.Option("--switch", help=t("certs.switch"))] = False,
    partner: Annotated[bool, typer.Option("--partner", help=t("certs.partner"))] = False,
    only: Annotated[bool, typer.Option("--only", help=t("certs.only"))] = False,
    password_file: Annotated[Path | None, typer.Option("--password-file", dir_okay=False, help=t("certs.password_file"))] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    settings = load_config(config)
    authority = _trust(settings, trust)
    store = CertificateStore(settings.certificates_directory)
    answers = [file.read_bytes() for file in files or ()]
    try:
        if name in ("crl", "ca"):
            count = sum(
                take_list(authority.crl, authority.ca, each)
                if name == "crl"
                else take_authorities(authority.ca, each, only=only and each is answers[0])
                for each in answers
            )
            show_json({"taken": count}) if as_json else say(t(f"certs.taken.{name}", count=count))
            return
        if partner:
            check = PathCheck(authority.ca, authority.crl if authority.crl.exists() else None)
            count = take_partner(settings.certificate(name)[0], answers, check, only=only)
            show_json({"taken": count}) if as_json else say(t("certs.taken.partner", name=name, count=count))
            return
        if switch:
            store.switch(name)
        else:
            password = read_secret(None, password_file)
            check = PathCheck(authority.ca, authority.crl if authority.crl.exists() else None)
            store.take(
                name, answers, check, load_certificates(authority.ca), later=later, password=None if password is None else password.encode()
            )
    except CertificateError as error:
        raise _said(error) from error
    _show_file(store.directory / (f"{name}.next.pem" if later else f"{name}.pem"), as_json)


@app.command("list", help=t("certs.list"))
def list_(config: ConfigFile = None, as_json: Json = False) -> None:
    store = CertificateStore(load_config(config).certificates_directory)
    try:
        entries, pending = store.entries(), store.pending()
    except CertificateError as error:
        raise _said(error) from error
    if as_json:
        show_json({"certificates": [_entry(each.name, each.state, each.identity) for each in entries], "pending": pending})
        return
    rows = [
        [each.name, t(f"certs.state.{each.state}"), f"{each.identity.not_after:%Y-%m-%d}", each.identity.fingerprint_sha256]
        for each in entries
    ]
    show_table([t("certs.column.name"), t("certs.column.state"), t("certs.column.until"), "SHA-256"], rows)
    for name in pending:
        say(t("certs.pending", name=name))


@app.command("check", help=t("certs.check"))
def check(config: ConfigFile = None, as_json: Json = False) -> int:
    import asyncio

    from gateway.checks.preflight import look_at_certificates

    findings = asyncio.run(look_at_certificates(load_config(config)))
    wrong = [each for each in findings if not each.ok]
    if as_json:
        names = ("name", "ok", "detail", "remedy")
        show_json({"ok": not wrong, "findings": [{name: getattr(each, name) for name in names} for each in findings]})
    else:
        for each in findings:
            say(f"{'✓' if each.ok else '✗'} {each.name}: {each.detail}" + (f"\n    → {each.remedy}" if not each.ok and each.remedy else ""))
        say(t("check.found", count=len(wrong)) if wrong else t("check.well"))
    return int(ExitCode.FINDINGS if wrong else ExitCode.OK)


@app.command("renew", help=t("certs.renew"))
def renew(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    settings = load_config(config)
    certificate, _ = settings.certificate(name)
    try:
        leaf = load_certificates(certificate)[0]
        for network in NETWORKS.values():
            authority = TestAuthority(settings.certificates_directory, network)
            if authority.exists and any(each.subject == leaf.issuer for each in load_certificates(authority.ca)):
                profile, dns, ips, uri = _as_issued(name, leaf)
                _show_file(authority.issue(name, profile, dns, ips, uri).certificate, as_json)
                return
        file = CertificateStore(settings.certificates_directory).request(name)
    except CertificateError as error:
        raise _said(error) from error
    show_json({"request": str(file)}) if as_json else say(t("certs.requested", file=file, name=name))


@app.command("revoke", help=t("certs.revoke"))
def revoke(name: Name, network: NetworkOption = NetworkName.IN_HOUSE, config: ConfigFile = None, as_json: Json = False) -> None:
    authority = _authority(load_config(config), network)
    try:
        authority.revoke(name)
    except CertificateError as error:
        raise _said(error) from error
    show_json({"revoked": name, "list": str(authority.crl)}) if as_json else say(t("certs.revoked", name=name, file=authority.crl))


@app.command("watch", help=t("certs.watch"))
def watch(
    interval_s: Annotated[float, typer.Option("--interval-s", min=0.05, help=t("certs.interval"))] = 1.0,
    rounds: Annotated[int, typer.Option("--rounds", hidden=True)] = 0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    settings = load_config(config)
    before: dict[str, tuple[Any, ...]] | None = None
    done = 0
    while True:
        now = _stamps(settings)
        changed = sorted(now if before is None else {name for name in {*now, *before} if now.get(name) != before.get(name)})
        for name in changed:
            _tell(settings, name, first=before is None, as_json=as_json)
        before, done = now, done + 1
        if rounds and done >= rounds:
            return
        time.sleep(interval_s)


# ---- helpers ------------------------------------------------------------------------------------------------------------------------


def _tell(settings: Config, name: str, *, first: bool, as_json: bool) -> None:
    file = settings.certificates_directory / name
    what = "there" if first else "changed" if file.exists() else "gone"
    until, problem = None, None
    try:
        if file.suffix == ".pem" and file.exists():
            until = load_certificates(file)[0].not_valid_after_utc
    except CertificateError as error:
        problem = error.safe_detail
    if as_json:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        show_json({"at": at, "file": name, "what": what, "until": until.isoformat() if until else None, "problem": problem})
    else:
        end = f"  {t('certs.until', date=f'{until:%Y-%m-%d}')}" if until else ""
        say(f"{dt.datetime.now().astimezone():%H:%M:%S} {name}: {t(f'certs.watch.{what}')}{end}{f'  ✗ {problem}' if problem else ''}")


def _stamps(settings: Config) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for file in settings.certificates_directory.iterdir():
        if file.suffix in (".pem", ".crl", ".key"):
            try:
                status = file.stat()
            except FileNotFoundError:
                continue  # just being replaced
            found[file.name] = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
    return found


def _authority(settings: Config, network: NetworkName) -> TestAuthority:
    authority = TestAuthority(settings.certificates_directory, NETWORKS[network.value])
    if not authority.exists:
        raise ConfigurationError("no-test-authority", t("certs.no_authority", network=network.value))
    return authority


def _trust(settings: Config, name: str | None) -> Trust:
    if name is not None and name not in settings.certificates.trust:
        raise ConfigurationError("trust-unknown", t("certs.no_trust", name=name, known=", ".join(settings.certificates.trust) or "–"))
    return settings.trust(name)


def _certificate_error(error: Exception) -> CertificateError:
    return error if isinstance(error, CertificateError) else CertificateError("name-malformed", t("certs.malformed"))


def _as_issued(name: str, leaf: x509.Certificate) -> tuple[Profile, list[str], list[str], str | None]:
    """Profile and names of a certificate that the test authority made."""
    try:
        usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = set()
    server, client = ExtendedKeyUsageOID.SERVER_AUTH in usages, ExtendedKeyUsageOID.CLIENT_AUTH in usages
    if server or client:
        profile = Profile.PEER if server and client else Profile.SERVER if server else Profile.CLIENT
    else:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        profile = Profile.ENCRYPTION if usage.key_encipherment else Profile.SIGNING
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    dns = [each for each in names.get_values_for_type(x509.DNSName) if each != name]
    return profile, dns, [str(each) for each in names.get_values_for_type(x509.IPAddress)], uris[0] if uris else None


def _show_file(file: Path, as_json: bool) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    from certs.peer import identity_of

    identity = identity_of(load_certificates(file)[0].public_bytes(Encoding.DER))
    if as_json:
        show_json(_entry(file.stem.removesuffix(".next"), "next" if file.stem.endswith(".next") else "in-use", identity))
    else:
        say(f"✓ {file}: {t('certs.until', date=f'{identity.not_after:%Y-%m-%d}')}, SHA-256 {identity.fingerprint_sha256}")


def _entry(name: str, state: str, identity: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "common_name": identity.common_name,
        "alternative_names": list(identity.sans),
        "issuer": identity.issuer,
        "serial": identity.serial,
        "not_after": identity.not_after.isoformat(),
        "sha256": identity.fingerprint_sha256,
        "key_sha256": identity.key_sha256,
    }
