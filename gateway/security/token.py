"""A PKCS#11 token (HSM, smart card, SoftHSM2): one logged-in session for each process, taken up again when it is lost.

Theory of operation. Everything that is done in the token goes through :meth:`Token.run`, one thing at a time (a session of PKCS#11 is not
for several threads). A session may be lost at any moment: the network to the HSM, a restart of its daemon, a card that was pulled. What
fails for such a reason is done once more in a new session, the second time with the library set up anew; then it is
:class:`TokenUnavailable`, which is passing and nobody's fault but ours. A PIN that the token refused is never tried again by this process:
three tries lock most tokens.

python-pkcs11 is loaded when a token is used, not before.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from pkcs11 import Session

T = TypeVar("T")
TRIES = 3


class TokenUnavailable(Unavailable):
    """The token does not answer, or not as it should; trying again later can help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Which token, and how to log in."""

    library: Path
    """The vendor's PKCS#11 library (a shared object)."""
    label: str
    """Label of the token."""
    pin: Callable[[], str] = field(repr=False)
    """Reads the PIN of the user, each time that a session is opened; it is not kept here."""


class Token:
    """See the module's text. Any thread."""

    def __init__(self, settings: TokenSettings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._refused_pin: str | None = None
        self.opened = 0
        """How many sessions were opened: handles of objects are good within one session only."""

    def run(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` in the session and return what it returns.

        :raises TokenUnavailable: ``token-unreachable``; nothing is known to have been done.
        :raises ConfigurationError: ``token-library``, ``token-missing`` or ``token-pin``: the configuration does not fit the token.
        """
        errors = _errors()
        lost = _lost(errors)
        with self._lock:
            for attempt in range(TRIES):
                try:
                    return work(self._open(anew=attempt == TRIES - 1))
                except lost as error:
                    self._drop()
                    if attempt == TRIES - 1:
                        raise TokenUnavailable(
                            "token-unreachable", f"the token {self.settings.label} does not answer ({type(error).__name__})"
                        ) from error
        raise AssertionError("unreachable")

    def alive(self) -> bool:
        """The token answers in the session that is open now: what it refused, it refused for good."""
        errors = _errors()
        with self._lock:
            try:
                return self._session is not None and len(self._session.generate_random(64)) > 0
            except errors.PKCS11Error:
                return False

    def close(self) -> None:
        """Log out."""
        with self._lock:
            self._drop()

    def _open(self, *, anew: bool) -> Session:
        if self._session is not None:
            return self._session
        errors = _errors()
        label = self.settings.label
        library = _library(self.settings.library)
        if anew:
            # other users of the library in this process lose their sessions and take them up again
            with contextlib.suppress(errors.PKCS11Error):
                library.reinitialize()
        try:
            token = library.get_token(token_label=label)
        except errors.NoSuchToken as error:
            if not anew and self.opened:
                raise  # it was there before: perhaps the library has to be set up anew
            raise TokenUnavailable("token-missing", f"there is no token {label}: is it plugged in, is its service running?") from error
        except errors.MultipleTokensReturned as error:
            raise ConfigurationError("token-ambiguous", f"several tokens are called {label}: give each its own label") from error
        self._session = self._log_in(token)
        self.opened += 1
        return self._session

    def _log_in(self, token: Any) -> Session:
        errors = _errors()
        label = self.settings.label
        pin = self.settings.pin()
        if pin == self._refused_pin:
            raise _pin_refused(label)
        try:
            session: Session = token.open(rw=True, user_pin=pin)
        except errors.UserAlreadyLoggedIn:
            session = token.open(rw=True)  # by another session of this process; logging in counts for all of them
        except (errors.PinIncorrect, errors.PinLenRange, errors.PinInvalid):
            self._refused_pin = pin
            raise _pin_refused(label) from None
        except (errors.PinLocked, errors.PinExpired, errors.UserPinNotInitialized) as error:
            raise ConfigurationError(
                "token-pin", f"the token {label} lets nobody in ({type(error).__name__}): its security officer must act"
            ) from None
        return session

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):  # it is given up, in whatever state it is
                session.close()


def _pin_refused(label: str) -> ConfigurationError:
    return ConfigurationError("token-pin", f"the token {label} refuses the PIN; it is not tried again, so that the token does not lock")


def _errors() -> Any:
    try:
        from pkcs11 import exceptions
    except ImportError as error:
        raise ConfigurationError("token-support", "python-pkcs11 is not installed, but a token is configured") from error
    return exceptions


_NOT_LOST = (
    "ArgumentsBad", "AttributeReadOnly", "AttributeSensitive", "AttributeTypeInvalid", "AttributeValueInvalid", "DataInvalid",
    "DataLenRange", "EncryptedDataInvalid", "EncryptedDataLenRange", "FunctionNotSupported", "KeyFunctionNotPermitted", "KeyNotWrappable",
    "KeySizeRange", "KeyTypeInconsistent", "KeyUnextractable", "MechanismInvalid", "MechanismParamInvalid", "MultipleObjectsReturned",
    "NoSuchKey", "SignatureInvalid", "SignatureLenRange", "TemplateIncomplete", "TemplateInconsistent", "WrappedKeyInvalid",
    "WrappedKeyLenRange", "PinIncorrect",
)  # fmt: skip


def _lost(errors: Any) -> tuple[type[Exception], ...]:
    """What may mean that the session or the token is gone: everything that says nothing about what was asked."""
    own = {getattr(errors, name) for name in _NOT_LOST if hasattr(errors, name)}
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.PKCS11Error)]
    return tuple(each for each in found if each not in own and each is not errors.PKCS11Error)


def _library(path: Path) -> Any:
    import pkcs11

    try:
        return pkcs11.lib(str(path))
    except (RuntimeError, OSError) as error:
        raise ConfigurationError("token-library", f"{path.name} cannot be loaded as a PKCS#11 library: see token.library") from error
