"""A third person verifies an export with ``sha256sum`` and ``openssl`` alone: the script of the documentation, and nothing of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gateway.audit import queries
from gateway.audit.checkpoint import Signer, public_pem
from gateway.audit.export import CHAIN, CHECKPOINTS, block_text, stamped, write
from gateway.audit.sources import LedgerSource
from gateway.security.keys import Kind
from tests.audit.kit import Record

pytestmark = [pytest.mark.rule("R22"), pytest.mark.invariant("I8"), pytest.mark.thorough]


class Auditor:
    """Somebody with an export, the public key, and a shell; Python and this repository's code are not on the path."""

    def __init__(self, folder: Path, key: Path, outside: Path, script: Path) -> None:
        self.folder, self.key, self.outside, self.script = folder, key, outside, script

    def run(self, *more: str) -> tuple[int, str]:
        command = ["/bin/sh", str(self.script), str(self.folder), str(self.key), *more]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False, timeout=60)
        assert done.stderr == "", done.stderr
        return done.returncode, done.stdout

    def edit(self, old: str, new: str, file: str = CHAIN) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
async def auditor(small: Record, tmp_path: Path, repository: Path) -> Auditor:
    await small.fill(2)
    await small.write("受付", 住民="見本　花子の記録ではない", note='quotes " and \\ and a tab\t')
    await small.chainer.once(reason="test")
    small.keys.rotate(Kind.AUDIT)
    await small.fill(2)
    folder = tmp_path / "export"
    source = LedgerSource(small.ledger.engine.read_here)
    write(
        folder,
        (block_text(block, rows) for block, rows in source.blocks()),
        stamped(small.ledger.engine.read_here(queries.checkpoints)),
    )
    key = tmp_path / "given.pem"
    first = small.keys.get(Kind.AUDIT, small.keys.ids(Kind.AUDIT)[0])
    key.write_text(public_pem(Signer(first.id, first.secret).public), encoding="ascii")
    return Auditor(folder, key, small.outside, repository / "docs" / "verify-audit.sh")


def test_a_third_person_verifies_an_export_across_a_change_of_keys(auditor: Auditor) -> None:
    code, said = auditor.run("-o", str(auditor.outside))
    assert (code, said.splitlines()[-1]) == (0, "all is well"), said
    assert said.startswith("17 entries in 5 blocks; signed to block 5 (")
    assert os.access(auditor.script, os.R_OK)


@pytest.mark.parametrize(
    ("old", "new", "file", "said"),
    [
        ('"actor":"tester"', '"actor":"nobody"', CHAIN, "block 1 is not what block 2 names"),
        ("見本", "実在", CHAIN, "block 3 is not what block 4 names"),
        ("total 17", "total 71", CHAIN, "block 5 is not the one that checkpoint"),
        ("instance test", "instance best", CHECKPOINTS, "checkpoint 1: its signature is not valid"),
        ("signature M", "signature N", CHECKPOINTS, "checkpoint 1: its signature is not valid"),
    ],
)
def test_the_third_person_sees_what_was_touched(auditor: Auditor, old: str, new: str, file: str, said: str) -> None:
    auditor.edit(old, new, file)
    code, text = auditor.run()
    assert (code, said in text) == (1, True), text


def test_the_third_person_sees_what_was_cut_off(auditor: Auditor) -> None:
    text = (auditor.folder / CHAIN).read_text(encoding="utf-8")
    (auditor.folder / CHAIN).write_text(text[: text.index("block 4\n")], encoding="utf-8")
    code, said = auditor.run()
    assert (code, "the chain is cut off" in said) == (1, True), said
    stanzas = (auditor.folder / CHECKPOINTS).read_text(encoding="utf-8").split("\n\n")
    (auditor.folder / CHECKPOINTS).write_text("\n\n".join([*stanzas[:3], ""]), encoding="utf-8")
    assert auditor.run()[0] == 0, "which is why checkpoints are kept elsewhere, too"
    code, said = auditor.run("-o", str(auditor.outside))
    assert (code, "is missing in the export" in said, "the chain is cut off" in said) == (1, True, True), said


def test_the_third_person_trusts_the_given_key_only(auditor: Auditor, tmp_path: Path) -> None:
    made = str(tmp_path / "k")
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", made], check=True)
    subprocess.run(["openssl", "pkey", "-in", made, "-pubout", "-out", str(auditor.key)], check=True)
    code, said = auditor.run()
    assert (code, "neither given nor announced" in said) == (1, True), said
