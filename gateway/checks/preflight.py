"""``renkei check``: everything that the gateway needs, looked at before it is needed. Changes nothing and sends no message.

Each look gives findings; one look that fails stops no other. A finding that is not well says what to do.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from shutil import disk_usage
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from certs.errors import CertificateError
from certs.files import require_private
from certs.path import PathCheck, Purpose, WhenUnknown, load_certificates, load_crls
from certs.tls import client_context, server_context
from gateway.checks.backup import look_at_backups
from gateway.checks.broker import look_at_broker
from gateway.checks.feeds import look_at_feeds
from gateway.checks.flows import look_at_flows
from gateway.checks.operators import look_at_accounts
from gateway.checks.parties import look_at_parties
from gateway.checks.policy import look_at_policy
from gateway.checks.signing import in_force, signing
from gateway.config import Config
from gateway.contract import Finding
from gateway.errors import GatewayError
from gateway.startup import certificates_in_use

LATE_LIST = 0.1
"""Share of a revocation list's time that must be left."""
SKEW_S = 2.0
"""Difference of clocks between this machine and the ledger's that is worth a word: claims and liveness use the ledger's (R21)."""

_Look = Callable[[Config], Awaitable[Sequence[Finding]]]


async def examine(config: Config) -> list[Finding]:
    """All findings, in the order in which things depend on each other."""
    findings = [Finding(name="configuration", ok=True, detail=f"{config.file.name if config.file else 'given'} is valid")]
    for name, look in _LOOKS:
        try:
            findings += await look(config)
        except GatewayError as error:
            findings.append(Finding(name=name, ok=False, detail=error.safe_detail))
        except CertificateError as error:
            findings.append(Finding(name=name, ok=False, detail=error.safe_detail))
        except OSError as error:
            findings.append(Finding(name=name, ok=False, detail=error.strerror or type(error).__name__))
    return findings


async def look_at_certificates(config: Config) -> list[Finding]:
    """Every certificate that the configuration names: there, with its key, in force, and not about to end."""
    remedy = f"put NAME.pem and NAME.key into {config.certificates_directory} (renkei certs request and import; init: fictitious ones)"
    findings = []
    for name, uses in sorted(certificates_in_use(config).items()):
        certificate, key = config.certificate(name)
        label = f"certificate {name}"
        try:
            require_private(key)
            # As both sides would load it: a key that does not belong to it, or a missing authority, fails here.
            (server_context if Purpose.SERVER in uses else client_context)(certificate, key, config.ca_file, config.crl_file)
            chain = load_certificates(certificate)
        except CertificateError as error:
            findings.append(Finding(name=label, ok=False, detail=error.safe_detail, remedy=remedy))
            continue
        findings.append(in_force(label, chain[0].not_valid_before_utc, chain[0].not_valid_after_utc, config.certificates.warn_days))
        if findings[-1].ok and (problem := _path_of_our_own(config, chain)):
            findings.append(Finding(name=label, ok=False, detail=problem, remedy=f"renkei certs renew {name}"))
    findings += signing(config)
    findings += _revocation(config)
    return findings


async def look_at_keys(config: Config) -> list[Finding]:
    """The gateway's own keys: private, whole, in use; and the ledger has all that it needs."""
    from gateway.keyring import key_store, require_keys
    from gateway.security.day_keys import DayKeys
    from gateway.security.keys import Kind

    folder, ledger = config.keys_directory, sqlite_file(config)
    remedy = f"bring {folder} back as it was; keys that are lost cannot be made again"
    if not folder.exists():
        if ledger is not None and ledger.exists() and await asyncio.to_thread(_has_keys, config):
            detail = f"{folder.name}/ is gone, but the ledger is there: what is in it cannot be opened"
            return [Finding(name="keys", ok=False, detail=detail, remedy=f"bring back {folder}")]
        return [Finding(name="keys", ok=True, detail="none yet; the first start makes them")]
    loose = [file.name for file in sorted(folder.rglob("*")) if file.is_file() and file.stat().st_mode & 0o077]
    if loose or folder.stat().st_mode & 0o077:
        detail = f"others may touch {', '.join(loose) or folder.name + '/'}"
        return [Finding(name="keys", ok=False, detail=detail, remedy=f"chmod -R go-rwx {folder}")]
    try:
        store = key_store(config)
        await asyncio.to_thread(store.check)
        if config.day_keys_directory.exists():
            await asyncio.to_thread(DayKeys(config.day_keys_directory).ensure)
        if ledger is None or ledger.exists():
            await asyncio.to_thread(_with_ledger, config, lambda conn: require_keys(conn, store))
    except GatewayError as error:
        if error.code != "ledger-schema":  # a ledger that was never used needs no key
            return [Finding(name="keys", ok=False, detail=error.safe_detail, remedy=remedy)]
    if strays := store.strays():
        detail = f"no longer in use, but still there: {', '.join(strays)} (a destruction was interrupted)"
        return [Finding(name="keys", ok=False, detail=detail, remedy=f"destroy them: shred -u in {folder}")]
    ages = [f"{kind.value} {(dt.datetime.now().timestamp() - store.since(store.ids(kind)[-1])) / 86_400:.0f} days" for kind in Kind]
    return [Finding(name="keys", ok=True, detail=f"private, and they work; current since: {', '.join(ages)}")]


def sqlite_file(config: Config) -> Path | None:
    """The file of an SQLite ledger; None: it is on PostgreSQL."""
    url = config.ledger_url()
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None


def _with_ledger(config: Config, look: Callable[[Any], Any]) -> Any:
    from gateway.ledger.engine import open_engine

    engine = open_engine(config.ledger_url(), readers=1)
    try:
        return engine.read_here(look)
    finally:
        engine.close_here()


def _has_keys(config: Config) -> bool:
    from gateway.ledger.keys import key_paths

    return bool(_with_ledger(config, key_paths))


async def look_at_operators(config: Config) -> list[Finding]:
    """Four eyes need two persons: one who may ask, another who may approve."""
    operators = config.admin.operators
    approvers = [name for name, operator in operators.items() if "approver" in operator.roles]
    askers = [name for name, operator in operators.items() if "operator" in operator.roles]
    able = any(asker != approver for asker in askers for approver in approvers)
    detail = f"{len(operators)} known, {len(approvers)} may approve"
    remedy = "" if able else "give the role operator to one person and approver to another (admin.operators)"
    return [Finding(name="operators", ok=able, detail=detail, remedy=remedy)]


async def look_at_ledger(config: Config) -> list[Finding]:
    """It opens, its schema is one that this version knows, and its clock agrees with ours."""
    from gateway.ledger.engine import open_engine
    from gateway.ledger.migrate import check_schema

    url = config.ledger_url()
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
    if file is not None and not file.exists():
        return [Finding(name="ledger", ok=True, detail=f"{file.name} is not there yet; the first start makes it")]
    engine = open_engine(url, readers=1)
    try:
        revision = await asyncio.to_thread(check_schema, engine)
        findings = [Finding(name="ledger", ok=True, detail=f"{engine.dialect}, schema {revision}")]
        if engine.dialect == "postgresql":
            findings.append(await asyncio.to_thread(engine.read_here, _clock))
    finally:
        await engine.close()
    return findings


async def look_at_audit(config: Config) -> list[Finding]:
    """Audit entries are chained while the gateway runs, and the checkpoints outside the ledger are those of the ledger (R22)."""
    from gateway.audit import queries
    from gateway.audit.chainer import BEHIND_S
    from gateway.audit.outside import read_file
    from gateway.audit.verify import Given, agree
    from gateway.ledger.engine import open_engine

    url = config.ledger_url()
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
    if file is not None and not file.exists():
        return [Finding(name="audit chain", ok=True, detail="nothing on record yet")]
    outside = await asyncio.to_thread(read_file, config.checkpoints_file)
    engine = open_engine(url, readers=1)
    try:
        state = await asyncio.to_thread(engine.read_here, queries.chain_state)
        known = await asyncio.to_thread(engine.read_here, queries.checkpoints)
    finally:
        await engine.close()
    running = state.holder is not None
    behind = state.age_s > BEHIND_S
    blocks = state.head.number if state.head is not None else 0
    detail = f"{blocks} blocks" + (f"; the oldest entry that is not chained has waited {state.age_s:.0f} s" if behind else "")
    remedy = "look for audit- in the log" if running else "renkei up: what a crash left over is chained then"
    findings = [Finding(name="audit chain", ok=not behind, detail=detail, remedy=remedy if behind else "")]
    given = [Given(signed=each, origin="outside") for each in outside]
    apart = agree(given, [each.text for each in known], blocks)
    last = known[-1].number if known else 0
    remedy = f"renkei audit verify says what; {config.checkpoints_file.name} is the one to believe" if apart else ""
    detail = apart or f"{len(outside)} in {config.checkpoints_file.name}, number {last} is the last"
    return [*findings, Finding(name="audit checkpoints", ok=not apart, detail=detail, remedy=remedy)]


async def look_at_disk(config: Config) -> list[Finding]:
    """Room for the reserve of the doors and the limit of the broker, twice over."""
    folder = config.data_dir
    while not folder.exists():
        folder = folder.parent
    free = disk_usage(folder).free
    needed = 2 * (config.intake.limits.disk_reserve_bytes + config.broker.embedded.disk_free_bytes)
    remedy = "" if free > needed else "make room, or put data_dir onto a larger disk: the doors close before the disk is full"
    detail = f"{free // 2**20} MiB free where data_dir is, {needed // 2**20} MiB wanted"
    return [Finding(name="disk", ok=free > needed, detail=detail, remedy=remedy)]


_LOOKS: tuple[tuple[str, _Look], ...] = (
    ("certificates", look_at_certificates),
    ("keys", look_at_keys),
    ("operators", look_at_operators),
    ("accounts", look_at_accounts),
    ("flows", look_at_flows),
    ("disk", look_at_disk),
    ("broker", look_at_broker),
    ("ledger", look_at_ledger),
    ("policy", look_at_policy),
    ("feeds", look_at_feeds),
    ("audit", look_at_audit),
    ("backup", look_at_backups),
    ("parties", look_at_parties),
)


def _revocation(config: Config) -> Iterator[Finding]:
    now = dt.datetime.now(dt.UTC)
    for name, trust in {"": config.trust(), **config.certificates.trust}.items():
        option = f" --trust {name}" if name else ""
        label = f"revocation list{f' of {name}' if name else ''}"
        lenient = trust.unknown_revocation == "accept"
        lost = "revocations are not noticed" if lenient else "without it no peer is accepted"
        remedy = f"fetch the current one and: renkei certs import crl FILE{option}; {lost}"
        try:
            lists = load_crls(trust.crl)
            PathCheck(trust.ca)
        except CertificateError as error:
            yield Finding(name=label, ok=False, detail=error.safe_detail, remedy=remedy)
            continue
        for each in lists:
            end, left = each.next_update_utc, None
            if end is not None:
                left = (end - now) / (end - each.last_update_utc)
            # lists come more often than they end: one that has lived nine tenths of its time was not fetched in time
            fresh = left is not None and left > LATE_LIST
            age = f"{(now - each.last_update_utc).total_seconds() / 3600:.0f} h old"
            detail = f"until {end:%Y-%m-%d %H:%M} UTC, {age}" if end is not None else "names no end"
            issuer = each.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
            by = f"{label} ({issuer[0].value!s})" if len(lists) > 1 and issuer else label
            yield Finding(name=by, ok=fresh, detail=detail, remedy="" if fresh else remedy)


def _path_of_our_own(config: Config, chain: Sequence[x509.Certificate]) -> str:
    """Why no authority of the configuration vouches for a certificate of ours; empty: one does."""
    reason = ""
    for trust in (config.trust(), *config.certificates.trust.values()):
        try:
            PathCheck(trust.ca, trust.crl, unknown=WhenUnknown.ACCEPT).verify_path(chain[0], chain[1:])
        except CertificateError as error:
            if error.code != "issuer-unknown" or not reason:
                reason = error.safe_detail
        else:
            return ""
    return reason


def _clock(connection: object) -> Finding:
    from sqlalchemy import Connection, text

    assert isinstance(connection, Connection)
    before = dt.datetime.now(dt.UTC)
    theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    skew = abs((theirs - before).total_seconds())
    remedy = "" if skew <= SKEW_S else "set both clocks by the same time server"
    return Finding(name="clock", ok=skew <= SKEW_S, detail=f"{skew:.1f} s from the ledger's", remedy=remedy)
