"""The retention table: packaged YAML, or the city's own file; checked when it is read."""

from __future__ import annotations

import datetime as dt
import functools
import importlib.resources
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import ConfigurationError
from gateway.ledger.retention import CONTENT, PLACES
from gateway.ledger.tables import metadata
from gateway.retention.calendar import JST, BusinessCalendar

Place = Literal[
    "content", "receipt", "quarantine", "record", "provision", "refusal", "request", "daily-check", "import", "anomaly", "reconciliation",
    "medium", "acquisition", "mark", "person", "backup", "submit", "export", "log",
]  # fmt: skip
BODIES: tuple[Place, ...] = ("content", "receipt", "quarantine")
"""Sealed, of a type: what must vanish does so here."""
ROWS = tuple(each for each in get_args(Place) if each in PLACES)
ON_DISK: tuple[Place, ...] = ("backup", "submit", "export", "log")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Term(_Section):
    """A length of time, of exactly one kind."""

    business_days: int | None = Field(default=None, alias="business-days", ge=1, le=60)
    days: int | None = Field(default=None, ge=0, le=36_600)
    years: int | None = Field(default=None, ge=1, le=100)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.business_days, self.days, self.years)) != 1:
            raise ValueError("one of business-days, days, years")
        return self

    def due_before(self, now: float, calendar: BusinessCalendar) -> float:
        """What is from before this moment is due at ``now``; seconds since 1970 UTC, business time."""
        if self.business_days is not None:
            return calendar.due_before(now, self.business_days)
        if self.days is not None:
            return now - self.days * 86_400.0
        day = dt.datetime.fromtimestamp(now, JST)
        year = day.year - (self.years or 0)
        leap = (day.month, day.day) == (2, 29) and year % 4 != 0  # no century is a leap year's within the range that is asked for
        return day.replace(year=year, day=28 if leap else day.day).timestamp()

    def __str__(self) -> str:
        name, count = next(
            (n, c) for n, c in (("business day", self.business_days), ("day", self.days), ("year", self.years)) if c is not None
        )
        return f"{count} {name}{'' if count == 1 else 's'}"


class Rule(_Section):
    """One line of the table."""

    rule: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    place: Place
    classes: list[str] = []
    types: list[str] = []
    after: Term
    expires: Term | None = None
    basis: list[str] = []


class _Kept(_Section):
    place: str
    tables: list[str] = []
    why: str


class _Table(_Section):
    version: int = Field(ge=1)
    effective_from: dt.date = Field(alias="effective-from")
    classes: dict[str, list[str]] = {}
    rules: list[Rule] = Field(min_length=1)
    kept: list[_Kept] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """The table, held against itself and against what must not be weakened."""

    version: int
    rules: tuple[Rule, ...]
    kept: tuple[tuple[str, str], ...]
    _types: dict[str, frozenset[str]]

    def types(self, rule: Rule) -> frozenset[str]:
        """The message types that a rule names; empty: all that no other rule of its place names."""
        return self._types[rule.rule]

    def others(self, rule: Rule) -> frozenset[str]:
        """The types that other rules of its place name, for a rule that names none."""
        return frozenset().union(*(self._types[each.rule] for each in self.rules if each.place == rule.place and each is not rule))

    def applies(self, rule: Rule, message_type: str | None) -> bool:
        """Whether ``rule`` is the one for this type in its place."""
        named = self._types[rule.rule]
        return message_type in named if named else message_type not in self.others(rule)

    def of(self, *places: Place) -> tuple[Rule, ...]:
        """The rules of these places, in the order of the table."""
        return tuple(each for each in self.rules if each.place in places)


def build(table: Any, ephemeral: Iterable[str]) -> RetentionPolicy:
    """Check a parsed table.

    :param ephemeral: types that must vanish one business day after they were sent (C-3-7-1): no table may keep them longer.
    :raises ConfigurationError: ``retention-policy``, naming what is wrong.
    """
    try:
        found = _Table.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ConfigurationError("retention-policy", f"retention table, {place}: {first['msg']}") from None
    types: dict[str, frozenset[str]] = {}
    for rule in found.rules:
        unknown = [each for each in rule.classes if each not in found.classes]
        _demand(not unknown, f"{rule.rule} names the class {unknown[0] if unknown else ''}, which has no types")
        _demand(rule.rule not in types, f"{rule.rule} stands twice")
        types[rule.rule] = frozenset(rule.types).union(*(found.classes[each] for each in rule.classes))
        _demand(rule.expires is None or rule.place == "content", f"{rule.rule}: only content expires")
        _demand(rule.place in BODIES or not types[rule.rule], f"{rule.rule}: what lies in {rule.place} has no type")
    policy = RetentionPolicy(
        version=found.version, rules=tuple(found.rules), kept=tuple((each.place, each.why) for each in found.kept), _types=types
    )
    every: tuple[Place, ...] = get_args(Place)
    for place in every:
        general = [rule.rule for rule in policy.of(place) if not types[rule.rule]]
        _demand(len(general) == 1, f"{place} needs exactly one rule for whatever has none of its own")
        named = [each for rule in policy.of(place) for each in types[rule.rule]]
        _demand(len(named) == len(set(named)), f"a type has two rules of {place}")
    ruled = {table for place in PLACES.values() for table in place.tables} | set(CONTENT)
    named_kept = [table for kept in found.kept for table in kept.tables]
    forgotten = sorted(metadata.tables.keys() - ruled - set(named_kept))
    _demand(not forgotten, f"{', '.join(forgotten)}: neither a rule nor a reason why it is kept")
    strange = sorted(set(named_kept) - (metadata.tables.keys() - ruled))
    _demand(not strange, f"kept: {', '.join(strange)}: no table of the ledger, or one that a rule erases from")
    for each in ephemeral:
        for place in BODIES:
            rule = next(rule for rule in policy.of(place) if policy.applies(rule, each))
            text = f"{each} must vanish one business day after it was sent (C-3-7-1): {rule.rule} keeps it longer"
            _demand(_at_most_one(rule.after), text)
            _demand(place != "content" or (rule.expires is not None and _at_most_one(rule.expires)), f"{text}, or does not let it expire")
    return policy


def load(file: Path | None, ephemeral: Iterable[str]) -> RetentionPolicy:
    """The city's table, or the packaged one.

    :raises ConfigurationError: it cannot be read or does not hold.
    """
    try:
        text = _packaged() if file is None else file.read_text(encoding="utf-8")
        return build(yaml.safe_load(text), ephemeral)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        name = "the packaged table" if file is None else file.name
        raise ConfigurationError("retention-policy", f"retention.policy: {name} cannot be read as YAML") from error


@functools.cache
def _packaged() -> str:
    return importlib.resources.files("gateway.retention").joinpath("data", "retention.yaml").read_text(encoding="utf-8")


def _at_most_one(term: Term) -> bool:
    return term.business_days == 1 or term.days == 0


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigurationError("retention-policy", f"retention table: {otherwise}")
