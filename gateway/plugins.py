"""Finding what is installed: adapters by the entry point group ``renkei.adapters``.

Three outcomes are kept apart: an adapter that is *usable*; one that is installed but *misconfigured* (its module cannot be imported, or it
is no adapter), which is listed with its reason; and one that is *not installed*. Two distributions that offer the same name are refused,
naming both, because nobody could say which of them would carry the messages.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from gateway.config import Config, Party, read_secret, resolve_secret, suggestion
from gateway.contract import Adapter, Limits, Manifest, Setting
from gateway.entrypoints import distribution_of, unique_points
from gateway.errors import ConfigurationError

ADAPTERS = "renkei.adapters"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPlugin:
    """One entry point: the adapter, or the reason why it cannot be used."""

    name: str
    distribution: str
    adapter: type[Adapter] | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundParty:
    """A party of the configuration with its adapter. Prints without its settings, which may hold secrets."""

    party: str
    adapter: type[Adapter]
    settings: Mapping[str, Any]
    limits: Limits
    config: Party

    def __repr__(self) -> str:
        return f"BoundParty(party={self.party!r}, adapter={self.adapter.__name__})"


def list_adapters(points: Iterable[EntryPoint] | None = None) -> list[AdapterPlugin]:
    """All installed adapters, usable or not, sorted by name."""
    return [_load(point) for point in unique_points(ADAPTERS, points)]


def find_adapters(points: Iterable[EntryPoint] | None = None) -> dict[str, type[Adapter]]:
    """The usable adapters by name."""
    return {plugin.name: plugin.adapter for plugin in list_adapters(points) if plugin.adapter is not None}


def load_adapter(name: str, points: Iterable[EntryPoint] | None = None) -> type[Adapter]:
    """The adapter of that name.

    :raises ConfigurationError: ``adapter-not-installed`` or ``adapter-misconfigured``.
    """
    known = {point.name: point for point in unique_points(ADAPTERS, points)}
    if name not in known:
        raise ConfigurationError("adapter-not-installed", f'no adapter "{name}" is installed{suggestion(name, known)}')
    plugin = _load(known[name])
    if plugin.adapter is None:
        raise ConfigurationError("adapter-misconfigured", f'the adapter "{name}" of {plugin.distribution} cannot be used: {plugin.problem}')
    return plugin.adapter


def bind_parties(
    config: Config, *, points: Iterable[EntryPoint] | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, BoundParty]:
    """Every party of the configuration with its adapter and its validated settings.

    :raises ConfigurationError: ``configuration-invalid`` with one line per problem, or what :func:`load_adapter` raises, with the place.
    """
    points = None if points is None else list(points)
    bound: dict[str, BoundParty] = {}
    problems: list[str] = []
    for name, party in config.parties.items():
        try:
            adapter = load_adapter(party.adapter, points)
        except ConfigurationError as error:
            problems.append(f"{config.where('parties', name, 'adapter')}: {error.safe_detail}")
            continue
        manifest = adapter.manifest
        if manifest.party != (party.system or name):
            where = config.where("parties", name, "system" if party.system else "adapter")
            problems.append(f'{where}: "{party.adapter}" is the adapter of the party "{manifest.party}", not of "{party.system or name}"')
            continue
        if party.signatures is not None and not manifest.signatures:
            problems.append(f'{config.where("parties", name, "signatures")}: the adapter "{party.adapter}" does not sign messages')
        if party.fetch is not None and not manifest.fetches:
            problems.append(f'{config.where("parties", name, "fetch")}: nothing is fetched by the adapter "{party.adapter}"')
            continue
        if manifest.queue != party.in_house:
            wanted = (
                "is of a system of the city: give queue, pull or files, not url"
                if manifest.queue
                else "needs url and peer, and has no queue"
            )
            problems.append(f'{config.where("parties", name)}: the adapter "{party.adapter}" {wanted}')
            continue
        settings, wrong = _settings(config, name, manifest, os.environ if environment is None else environment)
        problems += wrong
        bound[name] = BoundParty(party=name, adapter=adapter, settings=settings, limits=_limits(party, manifest), config=party)
    if problems:
        raise ConfigurationError("configuration-invalid", "\n".join(problems))
    return bound


def _load(point: EntryPoint) -> AdapterPlugin:
    distribution = distribution_of(point)
    try:
        found = point.load()
    except Exception as error:  # whatever the module of a stranger raises while it is imported is its problem, not ours
        return AdapterPlugin(name=point.name, distribution=distribution, adapter=None, problem=f"{type(error).__name__}: {error}")
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        problem = f"{point.value} is not a class derived from gateway.contract.Adapter"
    elif not isinstance(getattr(found, "manifest", None), Manifest):
        problem = f"{point.value} has no manifest"
    else:
        return AdapterPlugin(name=point.name, distribution=distribution, adapter=found)
    return AdapterPlugin(name=point.name, distribution=distribution, adapter=None, problem=problem)


def _limits(party: Party, manifest: Manifest) -> Limits:
    """The configuration may ask for less than the adapter's manifest or more calls, never for more records than the party takes."""
    asked, own = party.limits, manifest.limits
    files = party.files  # one file at a time, with what is due for it
    return Limits(
        calls=asked.calls or (own.calls if files is None else 1),
        records_per_call=files.records if files else min(asked.records_per_call or own.records_per_call, own.records_per_call),
        records_of=own.records_of,
        call_s=asked.call_s or own.call_s,
        rate_per_s=own.rate_per_s,
    )


def _settings(config: Config, party: str, manifest: Manifest, environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    given = config.parties[party].settings
    known = {setting.name for setting in manifest.settings} | {f"{setting.name}_file" for setting in manifest.settings if setting.secret}
    problems = [
        f"{config.where('parties', party, 'settings', key)}: unknown setting{suggestion(key, known)}" for key in given if key not in known
    ]
    values: dict[str, Any] = {}
    for setting in manifest.settings:
        try:
            values[setting.name] = _value(setting, given, config.file, environment)
        except (ValueError, ConfigurationError) as error:
            text = error.safe_detail if isinstance(error, ConfigurationError) else str(error)
            problems.append(f"{config.where('parties', party, 'settings', setting.name)}: {text}")
    return values, problems


def _value(setting: Setting, given: Mapping[str, Any], file: Path | None, environment: Mapping[str, str]) -> Any:
    if setting.secret and f"{setting.name}_file" in given:
        if setting.name in given:
            raise ValueError(f"{setting.name} and {setting.name}_file are both given; keep one")
        return read_secret(None, (file.parent if file else Path.cwd()) / str(given[f"{setting.name}_file"]))
    if setting.name not in given:
        if setting.required:
            raise ValueError(f"is missing: {setting.description}")
        return setting.default
    value = given[setting.name]
    if setting.secret:
        if not isinstance(value, str):
            raise ValueError("must be ${NAME}, a variable of the environment")
        return resolve_secret(value, environment)
    if isinstance(value, str) and "${" in value:
        raise ValueError("${NAME} is for secrets only; write the value")
    if setting.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, setting.type) or (isinstance(value, bool) and setting.type is not bool):
        raise ValueError(f"must be {_KINDS.get(setting.type, setting.type.__name__)}")
    return value


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a mapping"}
