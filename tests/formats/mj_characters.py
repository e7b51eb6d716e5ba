"""Every MJ character that can be written: from the cmap of IPAmj明朝 where Debian's ``fonts-ipamj-mincho`` is installed, otherwise the
registered sequences of Moji_Joho and the ideographs of Unicode. Read at test time; no table is kept."""

from __future__ import annotations

import functools
from pathlib import Path

from message_formats.collections import moji_joho_names

FONTS = (Path("/usr/share/fonts/truetype/ipamj/ipamjm.ttf"), Path("/usr/share/fonts/opentype/ipamj/ipamjm.ttf"))
_IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0x20000, 0x2A6DF), (0x2A700, 0x2EBE0))


@functools.cache
def font() -> Path | None:
    """The installed font, if it is."""
    return next((path for path in FONTS if path.is_file()), None)


@functools.cache
def characters() -> tuple[str, ...]:
    """Characters and sequences, each once."""
    path = font()
    if path is None:
        single = [chr(code) for first, last in _IDEOGRAPHS for code in range(first, last + 1)]
        return (*single, *moji_joho_names())
    from fontTools.ttLib import TTFont

    found: dict[str, None] = {}
    with TTFont(path, lazy=True) as opened:
        for code, name in opened.getBestCmap().items():
            if name.startswith("mj"):
                found[chr(code)] = None
        for table in opened["cmap"].tables:
            if table.format == 14:
                for selector, pairs in table.uvsDict.items():
                    for code, _ in pairs:
                        found[chr(code) + chr(selector)] = None
    return tuple(found)


def glyphs() -> int:
    """How many MJ characters of the font a code point or a sequence reaches (the default glyph of a sequence is its code point's)."""
    path = font()
    if path is None:
        return 0
    from fontTools.ttLib import TTFont

    with TTFont(path, lazy=True) as opened:
        names = set(opened.getBestCmap().values())
        for table in opened["cmap"].tables:
            if table.format == 14:
                names |= {name for pairs in table.uvsDict.values() for _, name in pairs if name is not None}
    return sum(name.startswith("mj") for name in names)


def texts(size: int = 90) -> tuple[str, ...]:
    """All of them, in texts that fit into a name."""
    every = characters()
    return tuple("".join(every[start : start + size]) for start in range(0, len(every), size))
