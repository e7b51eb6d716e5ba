"""Ends a process of the gateway at one certain moment, once: where the file says so that ``RENKEI_DIE_AT`` names. Not part of the product.

Python imports a module of this name at its start if it finds one on ``PYTHONPATH``.
"""

import functools
import os
import sys
from importlib.abc import Loader, MetaPathFinder

_FILE = os.environ.get("RENKEI_DIE_AT")


def _die(moment):
    """SIGKILL to ourselves if this is the moment: the file is taken away first, so that it happens once."""
    try:
        with open(_FILE, encoding="ascii") as file:
            if file.read().strip() != moment:
                return
        os.rename(_FILE, _FILE + ".done")
    except OSError:
        return
    os.kill(os.getpid(), 9)


def _around(owner, name, moment, *, about=lambda *args, **kwargs: True):
    """Die before and after a coroutine method: ``before <moment>``, ``after <moment>``."""
    method = getattr(owner, name)

    @functools.wraps(method)
    async def wrapped(*args, **kwargs):
        mine = about(*args, **kwargs)
        if mine:
            _die(f"before {moment}")
        result = await method(*args, **kwargs)
        if mine:
            _die(f"after {moment}")
        return result

    setattr(owner, name, wrapped)


PATCHES = {
    "gateway.inbound.door": lambda module: _around(module.InboundDoor, "_admit", "acceptance"),
    "gateway.ledger.ledger": lambda module: (
        _around(module.Ledger, "remember_message", "replay memory"),
        _around(module.Ledger, "record_reply", "acknowledgement"),
        _around(module.Ledger, "claim", "claim", about=lambda self, worker, party, *a, **k: party == "resident-record-system"),
        _around(module.Ledger, "write_outcomes", "outcome", about=lambda self, worker, party, *a, **k: party == "resident-record-system"),
    ),
    "gateway.delivery.in_house": lambda module: _around(module.QueueLine, "send", "queue"),
}


class _Loader(Loader):
    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._patch(module)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        patch = PATCHES.get(fullname)
        if patch is None:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)) is not None:
                spec.loader = _Loader(spec.loader, patch)
                return spec
        return None


if _FILE:
    sys.meta_path.insert(0, _Finder())
