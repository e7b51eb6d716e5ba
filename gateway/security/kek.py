"""Key-encryption keys, behind one small protocol: in files of the key directory (0600), or in a PKCS#11 token, where they stay.

Both wrap with RFC 3394 (AES key wrap). Which key is current is said by the index of the key directory for both, and the id of a key says
where it is; so moving to a token is a rotation like any other: what was wrapped under a file stays readable until it is wrapped anew.

In the token a key can wrap and unwrap and nothing else (``CKA_WRAP``, ``CKA_UNWRAP``): one that could also decrypt would give away what it
wraps. It is not extractable; whoever wants a backup of it uses the means of the token.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.errors import ConfigurationError
from gateway.security.token import Token, TokenUnavailable

LABEL = "renkei-kek"
"""Label of key-encryption keys in a token; their ``CKA_ID`` is their id here."""


class WrappingBroken(Exception):
    """A wrapped key does not unwrap under this key-encryption key: damaged, or wrapped under another."""


class KekProvider(Protocol):
    """Where key-encryption keys live. Any thread."""

    prefix: ClassVar[str]
    """Ids of its keys begin with it."""

    def make(self, key_id: str) -> None:
        """A new key."""
        ...

    def check(self, key_id: str) -> None:
        """The key is there and works.

        :raises ConfigurationError: it is not, or cannot be used, and why.
        """
        ...

    def wrap(self, key_id: str, secret: bytes) -> bytes:
        """``secret`` (a multiple of 8 bytes) wrapped: 8 bytes longer."""
        ...

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """What was wrapped.

        :raises WrappingBroken: it is not what was wrapped under this key.
        """
        ...

    def destroy(self, key_id: str) -> None:
        """Destroy the key: what is wrapped under it can never be read again."""
        ...


class FileKeks:
    """In files. About 2 µs for each operation."""

    prefix: ClassVar[str] = ""

    def __init__(self, read: Callable[[str], bytes], write: Callable[[str, bytes], None], destroy: Callable[[str], None]) -> None:
        """By the key directory's own means (:class:`~gateway.security.keys.KeyStore`), which keeps what it has read."""
        self._read = read
        self._write = write
        self._destroy = destroy

    def make(self, key_id: str) -> None:
        self._write(key_id, os.urandom(32))

    def check(self, key_id: str) -> None:
        self._read(key_id)

    def wrap(self, key_id: str, secret: bytes) -> bytes:
        return aes_key_wrap(self._read(key_id), secret)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap(self._read(key_id), wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise WrappingBroken(key_id) from error

    def destroy(self, key_id: str) -> None:
        self._destroy(key_id)


class TokenKeks:
    """In a token, through which each data key passes: a millisecond with SoftHSM2, longer with an HSM on the network."""

    prefix: ClassVar[str] = "hsm-"

    def __init__(self, token: Token) -> None:
        self._token = token
        self._found: dict[str, Any] = {}
        self._found_in = 0

    def make(self, key_id: str) -> None:
        from pkcs11 import Attribute, KeyType, MechanismFlag

        def generate(session: Any) -> None:
            session.generate_key(
                KeyType.AES,
                256,
                label=LABEL,
                id=key_id.encode(),
                store=True,
                capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
                template={Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True},
            )

        self._token.run(generate)

    def check(self, key_id: str) -> None:
        secret = os.urandom(32)
        if self.unwrap(key_id, self.wrap(key_id, secret)) != secret:
            raise ConfigurationError("key-broken", f"the key {key_id} of the token does not unwrap what it wrapped")

    def wrap(self, key_id: str, secret: bytes) -> bytes:
        from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

        def work(session: Any) -> bytes:
            template = {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
                Attribute.VALUE: secret,
                Attribute.TOKEN: False,
                Attribute.EXTRACTABLE: True,
                Attribute.SENSITIVE: False,
            }
            kek = self._key(session, key_id)
            data_key = session.create_object(template)
            try:
                return bytes(kek.wrap_key(data_key, mechanism=Mechanism.AES_KEY_WRAP))
            finally:
                data_key.destroy()

        return self._token.run(work)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
        from pkcs11.exceptions import PKCS11Error

        def work(session: Any) -> bytes:
            kek = self._key(session, key_id)
            data_key = kek.unwrap_key(
                ObjectClass.SECRET_KEY,
                KeyType.GENERIC_SECRET,
                wrapped,
                mechanism=Mechanism.AES_KEY_WRAP,
                store=False,
                capabilities=MechanismFlag(0),
                template={Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False},
            )
            try:
                return bytes(data_key[Attribute.VALUE])
            finally:
                data_key.destroy()

        try:
            return self._token.run(work)
        except TokenUnavailable as error:
            # SoftHSM2 calls a damaged wrapping a general error: if the token answers, it was that
            if error.code == "token-unreachable" and self._answers(key_id):
                raise WrappingBroken(key_id) from error
            raise
        except PKCS11Error as error:
            raise WrappingBroken(key_id) from error

    def destroy(self, key_id: str) -> None:
        def work(session: Any) -> None:
            self._key(session, key_id).destroy()
            self._found.pop(key_id, None)

        self._token.run(work)

    def _answers(self, key_id: str) -> bool:
        try:
            return len(self.wrap(key_id, bytes(32))) == 40
        except TokenUnavailable:
            return False

    def _key(self, session: Any, key_id: str) -> Any:
        from pkcs11 import KeyType, ObjectClass
        from pkcs11.exceptions import NoSuchKey

        if self._found_in != self._token.opened:
            self._found.clear()
            self._found_in = self._token.opened
        key = self._found.get(key_id)
        if key is None:
            try:
                key = session.get_key(object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=LABEL, id=key_id.encode())
            except NoSuchKey as error:
                raise ConfigurationError("key-unknown", f"the token has no key-encryption key {key_id}") from error
            self._found[key_id] = key
        return key
