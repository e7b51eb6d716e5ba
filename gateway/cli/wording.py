"""What the ``renkei`` command says, in English and Japanese: one table of those in ``gateway/cli/texts``, no files to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from gateway.cli.texts import certificates, commands, labels, operating, records, transfers

Language = Literal["en", "ja"]

TEXT: dict[str, tuple[str, str]] = {
    **commands.TEXT,
    **certificates.TEXT,
    **operating.TEXT,
    **labels.TEXT,
    **transfers.TEXT,
    **records.TEXT,
}


class _Chosen:
    language: Language = "en"


def set_language(language: Language) -> None:
    """For the whole process."""
    _Chosen.language = language


def language() -> Language:
    """The language in use."""
    return _Chosen.language


def language_of(environment: Mapping[str, str]) -> Language:
    """The language by ``RENKEI_LANG``, else by the locale variables."""
    locale = environment.get("RENKEI_LANG") or environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return "ja" if locale.lower().startswith("ja") else "en"


def choose_language(arguments: Sequence[str]) -> tuple[Language | None, list[str]]:
    """The language by ``--lang`` (anywhere before ``--``), and the arguments without it.

    :raises ValueError: ``--lang`` names another language, or nothing.
    """
    rest: list[str] = []
    chosen: str | None = None
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument == "--lang":
            chosen = next(waiting, "")
        elif argument.startswith("--lang="):
            chosen = argument.removeprefix("--lang=")
        else:
            rest.append(argument)
    if chosen not in (None, "en", "ja"):
        raise ValueError("--lang is en or ja")
    return cast("Language | None", chosen), rest


def t(key: str, **values: object) -> str:
    """The text of ``key`` in the language in use."""
    text = TEXT[key][1 if _Chosen.language == "ja" else 0]
    return text.format(**values) if values else text
