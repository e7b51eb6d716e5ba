"""``python -m certs init DIR``: the certificates for development and tests. ``python -m certs list DIR``: what is there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import CertificateError
from certs.path import load_certificates
from certs.peer import identity_of
from certs.setup import ensure


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code (0 done, 1 refused)."""
    parser = argparse.ArgumentParser(prog="python -m certs", description="certificates of a test authority: never for real peers")
    parser.add_argument("command", choices=["init", "list"])
    parser.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "init":
            ensure(options.directory)
        for path in sorted(options.directory.glob("*.pem")):
            certificate = load_certificates(path)[0]
            identity = identity_of(certificate.public_bytes(Encoding.DER))
            sys.stdout.write(f"{path.stem:28} until {identity.not_after:%Y-%m-%d}  {identity.fingerprint_sha256[:16]}\n")
    except CertificateError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
