"""Plants a pairing bug of 2023 in every process of a gateway: ``RENKEI_PLANTED_PAIRING`` names it. Not part of the product.

Python imports a module of this name at its start if it finds one on ``PYTHONPATH``. Each bug pairs answers with questions by what two of
them may share, and does not look at what the answer says of itself, as those systems did not.
"""

import asyncio
import itertools
import os
import sys
import time
from importlib.abc import Loader, MetaPathFinder

_BUG = os.environ.get("RENKEI_PLANTED_PAIRING")


def _nothing_is_compared(module):
    """The answer is not held against its question."""
    name = "require_same" if module.__name__.endswith("answers") else "confirm"
    assert callable(getattr(module, name))  # a bug that plants nothing convicts nothing
    setattr(module, name, lambda *both: None)


def _by_second(module):
    """The correlation is the second: the later of two questions in one second takes the place of the earlier one."""
    module.secrets.token_urlsafe = lambda size=24: f"{int(time.time())}"


def _by_latest(module):
    """An answer belongs to the question that was asked last, as the newest file in a folder does."""
    on_answer = module.Dialogues._on_answer

    def latest(self, delivery):
        if self._open and not (delivery.properties.headers or {}).get("cloudEvents:type"):
            delivery.properties.correlation_id = next(reversed(self._open))
        on_answer(self, delivery)

    module.Dialogues._on_answer = latest


def _by_kiosk(module):
    """What came for a kiosk is kept under its number, and whoever stands there gets it."""
    respond = module.Responder.respond
    kiosks, numbers = {}, itertools.count()

    async def kept(self, party, call):
        kiosk = next(numbers) % 20
        kiosks[kiosk] = await respond(self, party, call)
        await asyncio.sleep(0.02)
        return kiosks[kiosk]

    module.Responder.respond = kept


_CHECKS = {"gateway.inbound.answers": (_nothing_is_compared,), "gateway.ledger.currency": (_nothing_is_compared,)}
BUGS = {
    "second": {**_CHECKS, "gateway.inbound.dialogues": (_by_second,)},
    "latest": {**_CHECKS, "gateway.inbound.dialogues": (_by_latest,)},
    "kiosk": {**_CHECKS, "gateway.inbound.responder": (_by_kiosk,)},
    # one of the checks alone is not looked at, and an issuing system that answers wrongly does the rest
    "not-compared": _CHECKS,
}


class _Loader(Loader):
    def __init__(self, loader, patches):
        self._loader = loader
        self._patches = patches

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        for patch in self._patches:
            patch(module)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        patches = BUGS[_BUG].get(fullname)
        if patches is None:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)) is not None:
                spec.loader = _Loader(spec.loader, patches)
                return spec
        return None


if _BUG:
    sys.meta_path.insert(0, _Finder())
