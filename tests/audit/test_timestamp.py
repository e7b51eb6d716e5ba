"""RFC 3161 time stamps over checkpoints, from an authority that ``openssl ts`` plays (R22)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.audit import queries, timestamp
from gateway.audit.errors import AuditError
from gateway.audit.timestamp import TimeStamper
from gateway.errors import ConfigurationError, Unavailable
from tests.audit.kit import Record

pytestmark = [pytest.mark.rule("R22"), pytest.mark.invariant("I8")]

CONFIG = """
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[service]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class Tsa:
    """An authority: an HTTP server in front of ``openssl ts -reply``. Its certificates are fictitious."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.asked = 0
        self.broken: bytes | None = None

    def set_up(self) -> None:
        folder = self.folder
        folder.mkdir()
        (folder / "serial").write_text("01")
        (folder / "cnf").write_text(CONFIG.format(folder=folder))

        def openssl(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

        for name in ("ca", "tsa"):
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
            openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/O=Fictitious/CN={name}", "-out", f"{name}.csr")
        common = ("-days", "30", "-extfile", "cnf")
        openssl("x509", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-extensions", "ca", "-out", "ca.pem", *common)
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", "tsa.csr", *signing, "-extensions", "tsa", "-out", "tsa.pem", *common)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        assert request.content_type == "application/timestamp-query"
        body = await request.read()
        if self.broken is not None:
            return web.Response(body=self.broken, content_type="application/timestamp-reply")
        return web.Response(body=await asyncio.to_thread(self._reply, body), content_type="application/timestamp-reply")

    def _reply(self, body: bytes) -> bytes:
        (self.folder / "query").write_bytes(body)
        flags = ("-config", "cnf", "-section", "service", "-queryfile", "query", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply")
        subprocess.run(["openssl", "ts", "-reply", *flags], check=True, capture_output=True, cwd=self.folder)
        return (self.folder / "reply").read_bytes()


@pytest.fixture
async def tsa(tmp_path: Path) -> AsyncIterator[Tsa]:
    found = Tsa(tmp_path / "tsa")
    found.set_up()
    app = web.Application()
    app.router.add_post("/", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.fixture
async def stamped(tsa: Tsa, tmp_path: Path) -> AsyncIterator[Record]:
    stamper = TimeStamper(tsa.url, tsa.folder / "ca.pem", 10.0)
    found = await Record.open(f"sqlite:///{tmp_path}/ledger/ledger.db", tmp_path, stamper=stamper)
    yield found
    await found.close()


async def settled(record: Record) -> list[queries.Checkpointed]:
    if record.chainer._stamping is not None:
        await record.chainer._stamping
    return await record.ledger.read(queries.checkpoints)


async def test_a_checkpoint_is_stamped_and_openssl_agrees(tsa: Tsa, stamped: Record, tmp_path: Path) -> None:
    await stamped.fill(1)
    [found] = await settled(stamped)
    assert found.token is not None
    roots = timestamp.load_roots(tsa.folder / "ca.pem")
    assert timestamp.verify(found.token, found.signature, roots).endswith("Z")
    (tmp_path / "signature").write_bytes(found.signature)
    (tmp_path / "reply").write_bytes(found.token)
    command = ["openssl", "ts", "-verify", "-data", "signature", "-in", "reply", "-CAfile", str(tsa.folder / "ca.pem")]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)


async def test_a_stamp_of_something_else_or_by_somebody_else_is_refused(tsa: Tsa, stamped: Record, tmp_path: Path) -> None:
    await stamped.fill(1)
    [found] = await settled(stamped)
    assert found.token is not None
    with pytest.raises(AuditError, match="audit-timestamp"):
        timestamp.verify(found.token, b"another signature", timestamp.load_roots(tsa.folder / "ca.pem"))
    other = Tsa(tmp_path / "other")
    other.set_up()
    with pytest.raises(AuditError, match="audit-timestamp"):
        timestamp.verify(found.token, found.signature, timestamp.load_roots(other.folder / "ca.pem"))
    with pytest.raises(AuditError, match="audit-timestamp"):
        timestamp.verify(found.token[:-20], found.signature, timestamp.load_roots(tsa.folder / "ca.pem"))


async def test_an_authority_that_fails_stops_nothing_and_is_caught_up(tsa: Tsa, stamped: Record) -> None:
    tsa.broken = b"not an answer"
    await stamped.fill(1)
    assert [each.token for each in await settled(stamped)] == [None]
    assert stamped.verify().ok
    tsa.broken = None
    await stamped.fill(1)
    assert all(each.token is not None for each in await settled(stamped))


async def test_an_old_answer_is_not_taken_for_a_new_one(tsa: Tsa, stamped: Record) -> None:
    stamper = TimeStamper(tsa.url, tsa.folder / "ca.pem", 10.0)
    tsa.broken = await stamper.stamp(b"a signature")
    with pytest.raises(Unavailable, match="another request"):
        await stamper.stamp(b"a signature")


def test_an_authority_without_certificates_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="audit-timestamp-ca"):
        TimeStamper("http://localhost:1/", tmp_path / "missing.pem", 1.0)
