"""The sample in Java makes what the gateway opens, and hands in what the gateway accepts.

Where a JDK is on the machine the program itself runs. Where there is none, a token that it made before stands for it, together with
the digest of the program: who changes the program must record it again (``python -m tests.intake.test_java_sample``). The key of that
token is derived from a public text, so that it is nobody's secret and no key lies in the repository.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificates

from gateway.errors import InputRefused, LedgerUnavailable
from gateway.security.jwe import JweKeys
from gateway.security.keys import KeyStore
from tests.intake.kit import REGISTER, TYPE, xml
from tests.intake.web import Web

JAVA = shutil.which("java")
PROGRAM = Path(__file__).resolve().parents[2] / "docs" / "samples" / "java" / "RenkeiSender.java"
RECORDED = Path(__file__).parent / "data" / "java-token.json"
KID = "recorded-sample"
SAMPLES = [b"", "架空の見本".encode(), xml(), bytes(range(256)) * 300]


def public_key_of_nobody(directory: Path) -> JweKeys:
    """A key store whose current JWE key everybody can derive: fit for this test and for nothing else."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    number = int.from_bytes(hashlib.sha256(b"not a secret: the key of the recorded sample token").digest()) % order
    pem = ec.derive_private_key(number, ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    store = KeyStore(directory).ensure()
    index = json.loads((store.directory / "index.json").read_text())
    (store.directory / f"jwe-{KID}.key").touch(mode=0o600)
    (store.directory / f"jwe-{KID}.key").write_bytes(pem)
    index["keys"]["jwe"].append(KID)
    (store.directory / "index.json").write_text(json.dumps(index))
    return JweKeys(KeyStore(directory))


async def run(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    assert JAVA is not None
    process = await asyncio.create_subprocess_exec(
        JAVA,
        "-XX:TieredStopAtLevel=1",
        str(PROGRAM),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out, err


async def made_by_java(keys: JweKeys, directory: Path, data: bytes) -> bytes:
    path = directory / "keys.jwks"
    path.write_text(json.dumps(keys.public_jwks()))
    code, out, err = await run("encrypt", str(path), stdin=data)
    assert code == 0, err.decode()
    return out


def digest_of_program() -> str:
    return hashlib.sha256(PROGRAM.read_bytes()).hexdigest()


def test_the_recorded_token_was_made_by_this_program_and_opens(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert recorded["program_sha256"] == digest_of_program(), "the program has changed: python -m tests.intake.test_java_sample"
    data, kid = public_key_of_nobody(tmp_path / "keys").decrypt(recorded["token"])
    assert (data, kid) == (recorded["text"].encode(), KID)


def test_the_program_needs_no_library() -> None:
    imports = [line.split()[1] for line in PROGRAM.read_text(encoding="utf-8").splitlines() if line.startswith("import ")]
    assert imports
    assert all(each.startswith(("java.", "javax.")) for each in imports)


async def tokens(keys: JweKeys, directory: Path) -> list[tuple[bytes, bytes]]:
    """Token and plaintext: fresh from the program, or as recorded."""
    if JAVA is None:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        return [(recorded["token"].encode(), recorded["text"].encode())]
    return [(await made_by_java(keys, directory, data), data) for data in SAMPLES]


@pytest.mark.slow
async def test_the_gateway_opens_what_the_program_encrypts(tmp_path: Path) -> None:
    keys = public_key_of_nobody(tmp_path / "keys")
    seen: set[bytes] = set()
    for token, data in await tokens(keys, tmp_path):
        assert keys.decrypt(token) == (data, KID)
        head = token.split(b".")[0]
        assert head not in seen, "a new ephemeral key for every message"
        seen.add(head)
        altered = token[:-30] + (b"A" if token[-30:-29] != b"A" else b"B") + token[-29:]
        with pytest.raises(InputRefused):
            keys.decrypt(altered)


if JAVA is not None:

    @pytest.mark.slow
    async def test_the_program_hands_in_by_https_and_tells_what_came_of_it(web: Web, tmp_path: Path) -> None:
        files = web.people.files(REGISTER)
        key = load_pem_private_key(files.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        leaf, *others = load_pem_x509_certificates(files.certificate.read_bytes())
        store, password = tmp_path / "client.p12", tmp_path / "password"
        store.write_bytes(pkcs12.serialize_key_and_certificates(b"client", key, leaf, others, BestAvailableEncryption(b"fictitious")))
        password.write_text("fictitious\n")
        access = (web.url, str(store), str(password), str(web.people.ca))

        code, out, err = await run("keys", *access)
        assert (code, json.loads(out)) == (0, JweKeys(web.house.keys).public_jwks()), err.decode()

        sent = str(uuid.uuid4())
        code, out, err = await run("post", *access, TYPE, "/register", sent, stdin=xml())
        assert code == 0, err.decode()
        assert (json.loads(out)["id"], json.loads(out)["status"]) == (sent, "accepted")
        code, again, _ = await run("post", *access, TYPE, "/register", sent, stdin=xml())
        assert (code, again) == (0, out)

        code, out, err = await run("post", *access, TYPE, "/register", sent, stdin=xml(sex="1"))
        assert (code, out) == (1, b"")
        assert b"same-id-other-content" in err

        failures = iter([LedgerUnavailable("ledger-locked", "the database is locked")])

        def once() -> None:
            if (error := next(failures, None)) is not None:
                raise error

        web.house.ledger.before = once
        code, out, err = await run("post", *access, TYPE, "/register", stdin=xml(2))
        assert (code, json.loads(out)["status"]) == (0, "accepted"), "what was not accepted now is sent again, with the same id"
        assert b"ledger-locked" in err
        assert json.loads(out)["id"].encode() in err


def record() -> None:
    """Let the program make the recorded token anew."""
    with tempfile.TemporaryDirectory() as name:
        keys = public_key_of_nobody(Path(name) / "keys")
        text = xml().decode()
        token = asyncio.run(made_by_java(keys, Path(name), text.encode())).decode()
    recorded = {"program_sha256": digest_of_program(), "text": text, "token": token}
    RECORDED.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
