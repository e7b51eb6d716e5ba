"""Plants a bug in every process of a gateway that the fault harness starts. Not part of the product.

Python imports a module of this name at its start if it finds one on ``PYTHONPATH``. ``RENKEI_PLANTED_BUG`` says which bug; the modules that
it changes are changed right after they were imported, in whatever process imports them.
"""

import os
import sys
from importlib.abc import Loader, MetaPathFinder

_BUG = os.environ.get("RENKEI_PLANTED_BUG")


class _Loader(Loader):
    """Loads as the loader that would have, then lets the bug change the module."""

    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._patch(module)


class _Finder(MetaPathFinder):
    """Finds what the others find; only the modules of the bug get another loader."""

    def __init__(self, patches):
        self._patches = patches

    def find_spec(self, fullname, path=None, target=None):
        patch = self._patches.get(fullname)
        if patch is None:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)) is not None:
                spec.loader = _Loader(spec.loader, patch)
                return spec
        return None


if _BUG:
    import planted_bugs

    sys.meta_path.insert(0, _Finder(planted_bugs.PATCHES[_BUG]))
