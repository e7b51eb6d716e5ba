"""References to residents which let two records be compared without telling who somebody is, and the sealing of what must be kept.

The register's record and a party's journal name a resident by a keyed hash of the resident record code (住民票コード), under a salt that
belongs to one run and is known to both. The party's journal must also hold the complete items, or a restart could not rebuild them;
they are sealed (AES-256-GCM) under a key derived from the same salt, so that a journal that lies about tells nobody anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

REFERENCE_BYTES = 12
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def subject_code(items: Mapping[str, str | None]) -> str:
    """The resident record code under which both sides of a record name its resident: the old one where the record changes the code."""
    return items.get("former_resident_record_code") or items["resident_record_code"] or ""


class References:
    """Makes the references of one run."""

    def __init__(self, salt: str) -> None:
        if not salt:
            raise ValueError("the salt of the run is empty")
        self._key = hashlib.sha256(b"renkei simulators resident reference\x00" + salt.encode()).digest()

    def of(self, resident_record_code: str) -> str:
        """The reference of a resident: 24 hexadecimal digits, the same in every process of the run."""
        return hashlib.blake2b(resident_record_code.encode(), key=self._key, digest_size=REFERENCE_BYTES).hexdigest()


class Vault:
    """Seals JSON values for a journal. A value is bound to the ``context`` under which it was sealed."""

    def __init__(self, salt: str) -> None:
        key = hmac.new(salt.encode(), b"renkei simulators journal", hashlib.sha256).digest()
        self._cipher = AESGCM(key)

    def seal(self, value: Any, context: str) -> str:
        """Seal a JSON value; returns ASCII text."""
        nonce = os.urandom(12)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, _encode(value).encode(), context.encode())).decode()

    def unseal(self, sealed: str, context: str) -> Any:
        """Undo :meth:`seal`.

        :raises cryptography.exceptions.InvalidTag: another salt, another context, or altered text.
        """
        raw = base64.b64decode(sealed)
        return json.loads(self._cipher.decrypt(raw[:12], raw[12:], context.encode()))
