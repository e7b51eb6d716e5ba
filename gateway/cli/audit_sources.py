"""What ``renkei audit`` verifies: the ledger or an export, against checkpoints, keys and time stamps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli import wording
from gateway.errors import ConfigurationError, InputRefused

if TYPE_CHECKING:
    from gateway.audit.export import Stamped
    from gateway.audit.verify import Given, Report, Source
    from gateway.config import Config
    from gateway.ledger.engine import LedgerEngine

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def in_both(en: str, ja: str) -> str:
    """The text in the language of this terminal."""
    return ja if wording.language() == "ja" else en


def outside(files: Sequence[Path]) -> list[Given]:
    """The checkpoints of files that were kept outside."""
    from gateway.audit.outside import read_file
    from gateway.audit.verify import Given

    return [Given(signed=each, origin="outside") for file in files for each in read_file(file)]


def verify_ledger(config: Config, outside: Sequence[Given], trusted: Sequence[str], tsa: Path | None) -> Report:
    """The chain in the ledger of this configuration, against its own checkpoints and those ``outside``."""
    from gateway.audit import queries
    from gateway.audit.export import stamped
    from gateway.audit.sources import LedgerSource
    from gateway.audit.verify import Given

    engine = read_ledger(config)
    try:
        found = stamped(engine.read_here(queries.checkpoints))
        given = [Given(signed=each.signed, origin="ledger") for each in found]
        return verify_source(LedgerSource(engine.read_here), [*given, *outside], trusted, found, tsa)
    finally:
        engine.close_here()


def read_ledger(config: Config) -> LedgerEngine:
    """The ledger, to be read. It is not made where there is none."""
    from gateway.ledger.engine import open_engine
    from gateway.ledger.migrate import check_schema

    url = config.ledger_url()
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:///")).exists():
        raise ConfigurationError("ledger-missing", in_both("there is no ledger yet", "台帳がまだありません"))
    engine = open_engine(url, readers=1)
    try:
        check_schema(engine)
    except BaseException:
        engine.close_here()
        raise
    return engine


def verify_source(source: Source, given: Sequence[Given], trusted: Sequence[str], found: Sequence[Stamped], tsa: Path | None) -> Report:
    """A chain against ``given`` checkpoints, and the time stamps of those ``found``."""
    from gateway.audit.errors import AuditError
    from gateway.audit.verify import verify as verify_chain

    report = verify_chain(source, given, trusted=trusted)
    if tsa is not None:
        from gateway.audit import timestamp

        roots = timestamp.load_roots(tsa)
        for each in found:
            number = each.signed.read().number
            if each.token is not None:
                try:
                    timestamp.verify(each.token, each.signed.signature, roots)
                except AuditError as error:
                    report.add(error.code, error.safe_detail, checkpoint=number)
                else:
                    report.stamped_to = max(report.stamped_to, number)
    return report


def own_keys(config: Config) -> list[str]:
    """Of the gateway's own key directory, where this is run beside it."""
    from gateway.audit.checkpoint import Signer, fingerprint
    from gateway.security.keys import KeyStore, Kind

    if not (config.keys_directory / "index.json").exists():
        return []
    keys = KeyStore(config.keys_directory)
    return [fingerprint(Signer(key_id, keys.get(Kind.AUDIT, key_id).secret).public) for key_id in keys.ids(Kind.AUDIT)]


def fingerprint_of(given: str) -> str:
    """Of a key that was given by fingerprint or file.

    :raises InputRefused: ``audit-key``.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from gateway.audit.checkpoint import fingerprint, public_text

    text = given.strip().lower().replace(":", "")
    if _FINGERPRINT.fullmatch(text):
        return text
    try:
        key = load_pem_public_key(Path(given).read_bytes())
    except (OSError, ValueError) as error:
        detail = in_both("--key is 64 hexadecimal digits, or a file with a public key", "--key は 16 進 64 桁、または公開鍵のファイルです")
        raise InputRefused("audit-key", detail) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputRefused("audit-key", in_both("the file holds no P-256 key", "P-256 の鍵ではありません"))
    return fingerprint(public_text(key))
