"""Adapters by entry point: usable, misconfigured, not installed, offered twice; their settings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from gateway.config import Config, load
from gateway.contract import Adapter, Envelope, Finding, Limits, Manifest, Outcome, Setting
from gateway.errors import ConfigurationError
from gateway.plugins import ADAPTERS, bind_parties, find_adapters, list_adapters, load_adapter


class Postbox(Adapter):
    """A party that exists in this file only."""

    manifest = Manifest(
        name="postbox",
        party="post-office",
        description_en="fictitious",
        description_ja="架空",
        message_types=(),
        limits=Limits(calls=4, records_per_call=10),
        settings=(
            Setting(name="box", type=int, description="number of the box", required=True),
            Setting(name="pin", type=str, description="of the lock", secret=True),
            Setting(name="patience_s", type=float, description="seconds", default=1.5),
        ),
    )

    async def check(self) -> Sequence[Finding]:
        return ()

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        raise NotImplementedError


class NoManifest(Postbox):
    manifest = None  # type: ignore[assignment]


class _Distribution(Distribution):
    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        return f"Name: {self._name}\nVersion: 1\n" if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


def point(name: str, value: str, distribution: str = "fictitious-post") -> EntryPoint:
    made = EntryPoint(name=name, value=value, group=ADAPTERS)
    vars(made).update(dist=_Distribution(distribution))
    return made


HERE = f"{__name__}:Postbox"
POINTS = [point("postbox", HERE), point("gone", "no_such_module:X"), point("path", "pathlib:Path"), point("bare", f"{__name__}:NoManifest")]


def config_with(tmp_path: Path, settings: str = "{box: 1}", party: str = "post-office", adapter: str = "postbox", more: str = "") -> Config:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"parties:\n  {party}:\n    adapter: {adapter}\n    url: https://post.invalid\n    peer: post\n    settings: {settings}\n{more}",
        encoding="utf-8",
    )
    return load(file, environment={})


def refused(config: Config, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        bind_parties(config, points=POINTS, environment=environment or {})
    return caught.value.safe_detail


def test_what_is_misconfigured_is_listed_with_its_reason_and_stops_nothing_else() -> None:
    problems = {plugin.name: plugin.problem for plugin in list_adapters(POINTS)}
    assert problems["postbox"] == ""
    assert "No module named 'no_such_module'" in problems["gone"]
    assert "not a class derived from gateway.contract.Adapter" in problems["path"]
    assert "has no manifest" in problems["bare"]
    assert find_adapters(POINTS) == {"postbox": Postbox}


def test_not_installed_and_misconfigured_are_told_apart() -> None:
    with pytest.raises(ConfigurationError, match=r'adapter-not-installed.*did you mean "postbox"') as caught:
        load_adapter("postbax", POINTS)
    assert caught.value.code == "adapter-not-installed"
    with pytest.raises(ConfigurationError, match="no_such_module") as caught:
        load_adapter("gone", POINTS)
    assert caught.value.code == "adapter-misconfigured"


def test_a_name_that_two_distributions_offer_is_refused_naming_both() -> None:
    twice = [*POINTS, point("postbox", "other:Box", "another-post")]
    with pytest.raises(ConfigurationError, match='both another-post and fictitious-post offer "postbox"'):
        find_adapters(twice)


def test_the_adapter_of_the_city_cs_is_installed(repository: Path) -> None:
    # The entry point, not the module: this holds in a bare checkout too.
    assert 'juki_cs = "adapters.juki_cs:JukiCsAdapter"' in (repository / "pyproject.toml").read_text(encoding="utf-8")


def test_settings_have_their_defaults_and_the_file_may_only_lower_the_records(tmp_path: Path) -> None:
    config = config_with(tmp_path, "{box: 3}", more="    limits: {calls: 9, records_per_call: 50, call_s: 5}\n")
    bound = bind_parties(config, points=POINTS, environment={})["post-office"]
    assert bound.settings == {"box": 3, "pin": None, "patience_s": 1.5}
    assert bound.limits == Limits(calls=9, records_per_call=10, call_s=5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("{}", "line 6: parties.post-office.settings.box: is missing: number of the box"),
        ("{box: one}", "parties.post-office.settings.box: must be a whole number"),
        ("{box: true}", "must be a whole number"),
        ("{box: 1, bix: 2}", 'parties.post-office.settings.bix: unknown setting; did you mean "box"?'),
        ("{box: 1, pin: '0000'}", "a secret does not belong into this file"),
        ("{box: 1, pin: '${PIN}'}", "the environment variable PIN is not set"),
        ("{box: 1, pin: '${PIN}', pin_file: p}", "are both given; keep one"),
        ("{box: 1, pin_file: nothing-here}", "nothing-here cannot be read"),
    ],
)
def test_settings_are_held_against_the_manifest(tmp_path: Path, settings: str, says: str) -> None:
    assert says in refused(config_with(tmp_path, settings))


def test_a_secret_setting_comes_from_the_environment_or_a_file_and_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("fictitious-1234\n", encoding="utf-8")
    for settings in ("{box: 1, pin_file: pin}", "{box: 1, pin: '${PIN}'}"):
        bound = bind_parties(config_with(tmp_path, settings), points=POINTS, environment={"PIN": "fictitious-1234"})["post-office"]
        assert bound.settings["pin"] == "fictitious-1234"
        assert "1234" not in repr(bound)


def test_an_adapter_under_the_wrong_party_is_refused(tmp_path: Path) -> None:
    says = refused(config_with(tmp_path, party="city-cs"))
    assert 'line 3: parties.city-cs.adapter: "postbox" is the adapter of the party "post-office", not of "city-cs"' in says


def test_an_adapter_that_is_not_installed_is_said_with_its_line(tmp_path: Path) -> None:
    assert 'config.yaml, line 3: parties.post-office.adapter: no adapter "postbax" is installed' in refused(
        config_with(tmp_path, adapter="postbax")
    )


@pytest.mark.invariant("I6")
def test_signatures_with_an_adapter_that_does_not_sign_are_refused(tmp_path: Path) -> None:
    """Otherwise the operator would believe in signatures that are not there."""
    config = config_with(tmp_path, more="    signatures: {partner: post-signing}\n")
    with pytest.raises(ConfigurationError, match=r'line \d+.*the adapter "postbox" does not sign messages'):
        bind_parties(config, points=POINTS, environment={})
