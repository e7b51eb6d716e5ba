"""What is wrong in a configuration, said so that one can put it right: the key, its line, the nearest known key. Never a value."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from gateway.config_yaml import Document, Place, Problem

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``${NAME}``: a variable of the environment."""


def suggestion(word: str, known: typing.Iterable[str]) -> str:
    """``; did you mean "port"?``, or the choices, for a word that is not among ``known``."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known here: {', '.join(known)}" if known else ""


def stray_references(root: type[BaseModel], document: Document) -> list[Problem]:
    """``${NAME}`` anywhere but in a secret is a mistake: nothing else is taken from the environment."""
    return [
        Problem(place=place, text="${NAME} is for secrets only; write the value", line=document.line(place))
        for place, text in document.strings()
        if REFERENCE.search(text) and not _may_be_secret(root, place)
    ]


def _may_be_secret(root: type[BaseModel], place: Place) -> bool:
    if place[:1] == ("parties",) and place[2:3] == ("settings",):
        return True  # the manifest of the adapter decides
    annotation: Any = root
    for step in place:
        annotation = _inside(annotation, step)
    return any(kind is SecretStr for kind in _plain(annotation))


def explain(root: type[BaseModel], details: ErrorDetails, document: Document, shapes: Mapping[str, str]) -> Problem:
    """One error of pydantic as a problem of the file. ``shapes``: what each pattern means in words."""
    place: Place = tuple(step for step in details["loc"] if step != "[key]")
    text = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        text = "unknown key" + suggestion(str(place[-1]), _keys_at(root, place[:-1]))
    elif details["type"] == "missing":
        text = "is missing"
    elif details["type"] == "string_pattern_mismatch":
        text = "must be " + shapes.get(details["ctx"]["pattern"], f"of the form {details['ctx']['pattern']}")
    text = text[:1].lower() + text[1:]
    return Problem(place=place, text=text, line=document.line(place))


def _keys_at(root: type[BaseModel], place: Place) -> list[str]:
    annotation: Any = root
    for step in place:
        annotation = _inside(annotation, step)
    return [name for kind in _plain(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel) for name in kind.model_fields]


def _inside(annotation: Any, step: str | int) -> Any:
    """The annotation of what is at ``step`` inside something of ``annotation``."""
    for kind in _plain(annotation):
        origin = typing.get_origin(kind)
        if origin in (dict, list):
            return typing.get_args(kind)[-1]
        if isinstance(kind, type) and issubclass(kind, BaseModel) and step in kind.model_fields:
            return kind.model_fields[str(step)].annotation
    return None


def _plain(annotation: Any) -> list[Any]:
    """The members of a union, without ``Annotated``."""
    if typing.get_origin(annotation) is Annotated:
        return _plain(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [plain for member in typing.get_args(annotation) for plain in _plain(member)]
    return [annotation]
