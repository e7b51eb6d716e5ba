"""Encodings of files: named by a declaration (of the file, the layout or the caller), never guessed, and strict both ways.

Windows-31J and Shift_JIS are different: 0x8160 is ～ (U+FF5E) in the first and 〜 (U+301C) in the second. Who declares the wrong one gets
other characters, so the declaration is the sender's word and ours is to keep it.
"""

from __future__ import annotations

import codecs as python_codecs
from dataclasses import dataclass

from message_formats.errors import FormatError
from message_formats.repertoire import first_swallowed

_BOMS = (
    (python_codecs.BOM_UTF8, "UTF-8"),
    (python_codecs.BOM_UTF16_LE, "UTF-16"),
    (python_codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One accepted encoding.

    :ivar codec: Python's codec for text without byte order mark.
    :ivar bom: ``never``, ``allowed`` or ``required`` at the beginning of a file.
    """

    name: str
    codec: str
    bom: str = "never"
    aliases: tuple[str, ...] = ()


ENCODINGS: tuple[Encoding, ...] = (
    Encoding(name="UTF-8", codec="utf-8", bom="allowed", aliases=("UTF8",)),
    Encoding(name="UTF-16", codec="utf-16", bom="required"),
    Encoding(name="Windows-31J", codec="cp932", aliases=("CP932", "MS932", "CSWINDOWS31J")),
    Encoding(name="Shift_JIS", codec="shift_jis", aliases=("SJIS", "SHIFT-JIS")),
    Encoding(name="Shift_JIS-2004", codec="shift_jis_2004", aliases=("SHIFT_JISX0213",)),
    Encoding(name="EUC-JP", codec="euc_jp", aliases=("EUCJP",)),
    Encoding(name="EUC-JIS-2004", codec="euc_jis_2004"),
)

_BY_NAME = {name.upper(): encoding for encoding in ENCODINGS for name in (encoding.name, *encoding.aliases)}


def get(name: str) -> Encoding:
    """The encoding of a declared name.

    :raises FormatError: ``encoding`` for a name that is not accepted.
    """
    found = _BY_NAME.get(name.upper())
    if found is None:
        accepted = ", ".join(encoding.name for encoding in ENCODINGS)
        raise FormatError("encoding", "-", "encoding", f"the declared encoding is not accepted; accepted: {accepted}")
    return found


def check_mark(start: bytes, encoding: Encoding) -> None:
    """Hold the byte order mark of a file against its declaration.

    :raises FormatError: ``encoding`` where they contradict each other, or where UTF-16 comes without a mark.
    """
    seen = next((name for mark, name in _BOMS if start.startswith(mark)), None)
    if seen is not None and (seen != encoding.name or encoding.bom == "never"):
        raise FormatError("encoding", "byte 0", "encoding", "the byte order mark contradicts the declared encoding")
    if seen is None and encoding.bom == "required":
        raise FormatError("encoding", "byte 0", "encoding", "UTF-16 needs a byte order mark")


def decode(data: bytes, declared: str) -> str:
    """Text of a file, without its byte order mark.

    :raises FormatError: ``encoding`` with the offset of the first byte that does not fit.
    """
    encoding = get(declared)
    check_mark(data[:4], encoding)
    try:
        return data.removeprefix(python_codecs.BOM_UTF8).decode(encoding.codec) if encoding.name == "UTF-8" else data.decode(encoding.codec)
    except UnicodeDecodeError as error:
        raise FormatError("encoding", f"byte {error.start}", "encoding", f"bytes that are not {encoding.name}") from None


def encode(text: str, declared: str, place: str = "-") -> bytes:
    """Bytes of a file; UTF-16 with a byte order mark.

    :raises FormatError: ``lossy`` with the position of the first character that the encoding does not hold (substitute first, on request).
    """
    encoding = get(declared)
    position = first_lost(text, encoding.codec)
    if position is not None:
        at = f"character {position + 1}" if place == "-" else f"{place} character {position + 1}"
        raise FormatError("lossy", at, "encoding", f"{encoding.name} does not hold this character; substitution was not asked for")
    return text.encode(encoding.codec)


def first_lost(text: str, codec: str) -> int | None:
    """The place, from 0, of the first character that a codec of Python does not carry; None if it carries all of them.

    That an encoder raises nothing does not mean that it lost nothing: see :func:`message_formats.repertoire.first_swallowed`.
    """
    swallowed = first_swallowed(text) if codec.endswith("_2004") else None
    lost = len(text) if swallowed is None else swallowed
    try:
        text.encode(codec)
    except UnicodeEncodeError as error:
        lost = min(lost, error.start)
    return lost if lost < len(text) else None
