"""The configuration: what is refused, where, and with which advice; what it never shows. All values are fictitious."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config import Config, config_schema, load, schema_text
from gateway.errors import ConfigurationError


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def refused(file: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(file, environment=environment or {})
    return caught.value.safe_detail


def test_the_shipped_file_is_valid_and_says_every_key_with_its_default(repository: Path) -> None:
    shipped = load(repository / "config.yaml", environment={})
    # Every key of the sections that exist is written down there, so that nobody has to look for one.
    text = (repository / "config.yaml").read_text(encoding="utf-8")
    names = set(re.findall(r"^[ #]*([a-z_0-9]+):", text, re.MULTILINE)) | set(re.findall(r"[{ ]([a-z_0-9]+):", text))

    def missing(model, place: str = "") -> list[str]:
        found = []
        for name, field in type(model).model_fields.items():
            if name not in names:
                found.append(f"{place}{name}")
            value = getattr(model, name)
            if hasattr(type(value), "model_fields"):
                found += missing(value, f"{place}{name}.")
            assert field is not None
        return found

    assert missing(shipped) == []


def test_the_defaults_that_the_shipped_file_states_are_the_defaults(repository: Path, write) -> None:
    shipped, bare = load(repository / "config.yaml", environment={}), load(write("instance: renkei\n"), environment={})
    for section in ("workers", "log"):
        assert getattr(shipped, section) == getattr(bare, section)
    assert shipped.intake.limits == bare.intake.limits
    assert shipped.broker.embedded.port == bare.broker.embedded.port
    assert (shipped.admin.host, shipped.admin.port, shipped.admin.request_s) == (bare.admin.host, bare.admin.port, bare.admin.request_s)
    assert shipped.parties["city-cs"].retry == type(shipped.parties["city-cs"].retry)()


def test_the_schema_for_editors_is_current(repository: Path) -> None:
    assert (repository / "docs" / "config.schema.json").read_text(encoding="utf-8") == schema_text()
    assert "docs/config.schema.json" in (repository / "config.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert config_schema()["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("instance: a\nbrokr: {}\n", 2, 'brokr: unknown key; did you mean "broker"?'),
        ("intake:\n  https:\n    prot: 1\n", 3, 'intake.https.prot: unknown key; did you mean "port"?'),
        ("workers:\n  zzz: 1\n", 2, "workers.zzz: unknown key; known here: processes, share"),
        ("workers: {processes: 0}\n", 1, "workers.processes: input should be greater than or equal to 1"),
        ("instance: a\nlog: {}\ninstance: b\n", 3, "instance: stands here a second time (first on line 1); remove one"),
        ("intake:\n  systems:\n    a-system: {peer: x}\n", 3, "intake.systems.a-system.types: is missing"),
        ("parties:\n  city-cs: {adapter: x, peer: p, url: 'http://h'}\n", 2, "must be an address that starts with https://"),
        ("broker: {mode: external}\n", 1, "broker: mode is external, so the section external is needed"),
        ("data_dir: [\n", 2, "not YAML"),
        ("- a\n", 1, "must be a mapping of sections"),
        ("instance: &a [*a]\n", 1, "refers to itself"),
        ("parties:\n  city-cs: {adapter: x, peer: p, url: 'https://h', limits: {call_s: 121}}\n", 2, "less than or equal to 120"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_advice(write, text: str, line: int, says: str) -> None:
    problem = refused(write(text))
    assert f"line {line}: " in problem
    assert says in problem


def test_all_problems_are_said_at_once_in_the_order_of_the_file(write) -> None:
    lines = refused(write("instance: a\nbrokr: {}\nworkers: {share: 0}\nlog: {level: loud}\n")).splitlines()
    assert [re.search(r"line (\d)", line)[1] for line in lines] == ["2", "3", "4"]


def test_relative_paths_are_taken_from_the_folder_of_the_file(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    config = load(write("data_dir: state\nledger: {url: 'sqlite:///state/l.db'}\n"), environment={})
    assert config.data_dir == tmp_path / "state"
    assert config.certificates_directory == tmp_path / "state" / "certs"
    assert config.ledger_url() == f"sqlite:///{tmp_path}/state/l.db"


def test_the_ledger_of_several_machines_gets_its_password_from_a_file(write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not a/real one\n", encoding="utf-8")
    file = write(
        "ledger:\n  url: postgresql://renkei@db:5432/renkei?sslmode=verify-full\n  password_file: secret\noutgoing: [{host: db}]\n"
    )
    url = load(file, environment={}).ledger_url()
    assert url == "postgresql+psycopg://renkei:not%20a%2Freal%20one@db:5432/renkei?sslmode=verify-full"


@pytest.mark.invariant("I5")
@pytest.mark.parametrize(
    "text",
    [
        "ledger: {url: 'postgresql://u@h/d', password: hunter2-fictitious}\n",
        "ledger: {url: 'postgresql://u:hunter2-fictitious@h/d'}\n",
        "broker: {mode: external, external: {hosts: [h], password: hunter2-fictitious}}\n",
        "instance: [hunter2-fictitious]\n",
        "ledger: {url: 'postgresql://u@h/d', password: '${PW}', password_file: hunter2-fictitious}\n",
    ],
)
def test_a_secret_in_the_file_is_refused_without_being_repeated(write, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(text), environment={"PW": "another-fictitious"})
    shown = f"{caught.value}{caught.value.safe_detail}{caught.value.__cause__}"
    assert "hunter2" not in shown
    assert "another" not in shown


@pytest.mark.invariant("I5")
def test_no_configuration_object_prints_a_secret(write) -> None:
    file = write("ledger: {url: 'postgresql://u@h/d', password: '${RENKEI_PW}'}\noutgoing: [{host: h, port: 5432}]\n")
    config = load(file, environment={"RENKEI_PW": "fictitious-secret"})
    assert "fictitious-secret" in config.ledger_url()
    for shown in (
        repr(config),
        str(config),
        config.model_dump_json(),
        repr(config.ledger),
        str(config.ledger.model_dump(mode="json")),
    ):
        assert "fictitious-secret" not in shown


def test_the_environment_is_for_secrets_only(write) -> None:
    assert "line 1: admin.host: ${NAME} is for secrets only" in refused(write("admin: {host: '${HOST}'}\n"), {"HOST": "x"})
    assert "the environment variable RENKEI_PW is not set" in refused(
        write("ledger: {url: 'postgresql://u@h/d', password: '${RENKEI_PW}'}\n")
    )


def test_a_file_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    assert "there is no file config.yaml here" in refused(tmp_path / "config.yaml")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().workers.share = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: {kek: token}\n", "the section token is needed"),
        ("token: {library: /l.so, label: renkei}\n", "give the PIN by pin_file"),
        ("token: {library: /l.so, label: renkei, pin_file: pin, pin: '${PIN}'}\n", "give the PIN by pin_file"),
        ("token: {library: /l.so, label: renkei, pin: in-clear}\n", "a secret does not belong into this file"),
        ("keys: {kek: usb}\n", "keys.kek"),
        ("keys: {queue_age_days: 0}\n", "queue_age_days"),
    ],
)
def test_keys_and_token(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, environment={"PIN": "8451"})
    assert said in caught.value.safe_detail
    assert "in-clear" not in str(caught.value)


@pytest.mark.control("C-1-2-24")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("parties: {city-cs: {adapter: juki_cs, url: 'https://198.51.100.7:443', peer: city-cs}}\n", "parties.city-cs.url"),
        ("parties: {city-cs: {adapter: juki_cs, url: 'https://cs.example', peer: city-cs}}\n", "parties.city-cs.url"),
        ("broker: {mode: external, external: {hosts: ['mq.example:5671']}}\n", "broker.external.hosts"),
        ("ledger: {url: 'postgresql://u@db.example/d'}\n", "ledger.url"),
    ],
)
def test_what_is_not_on_the_list_cannot_be_configured(write, text: str, place: str) -> None:
    assert f"line 1: {place}: leads to" in refused(write(text))
    for entry in ("{host: cs.example, port: 444}", "{network: 10.0.0.0/8}", "{host: other.example}"):
        assert place in refused(write(f"{text}outgoing: [{entry}]\n"))


@pytest.mark.control("C-1-2-24")
def test_what_is_on_the_list_can_be_configured(write) -> None:
    party = "parties: {{city-cs: {{adapter: juki_cs, url: 'https://{host}', peer: city-cs}}}}\noutgoing: [{entry}]\n"
    for host, entry in (
        ("cs.example", "{host: cs.example, port: 443, network: 10.0.0.0/8}"),
        ("10.1.2.3:8443", "{network: 10.0.0.0/8, port: 8443}"),
        ("10.1.2.3", "{host: 10.1.2.3}"),
    ):
        assert load(write(party.format(host=host, entry=entry)), environment={}).parties
    assert "give host, network, or both" in refused(write("outgoing: [{port: 443}]\n"))


def test_a_party_can_only_trust_an_authority_that_is_there(write) -> None:
    party = "parties: {city-cs: {adapter: juki_cs, url: 'https://localhost', peer: city-cs, trust: lgwan}}\n"
    assert "line 1: parties.city-cs.trust: there is no lgwan below certificates.trust" in refused(write(party))
    assert load(write(f"{party}certificates: {{trust: {{lgwan: {{ca: a, crl: b}}}}}}\n"), environment={}).trust("lgwan").ca.name == "a"


@pytest.mark.control("C-1-3-11")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("intake: {systems: {former-resident-record-system: {peer: x, types: [resident-change-notification]}}}\n", "intake.systems"),
        ("parties: {former-resident-record-system: {adapter: business_systems, queue: {keys: k}}}\n", "parties"),
        ("parties: {x: {adapter: business_systems, system: former-resident-record-system, queue: {keys: k}}}\n", "parties.x"),
    ],
)
def test_the_former_register_cannot_be_connected(write, text: str, place: str) -> None:
    said = refused(write(text))
    assert place in said
    assert "C-1-3-11" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("queue: {keys: k}, works: [transfer-2]}, b: {adapter: x, queue: {keys: k}, works: [transfer-2]", "has an account already: a"),
        ("url: 'https://localhost', peer: p, works: [transfer-2]", "works are for systems of the city"),
        ("queue: {keys: k}, pull: {business_id: B, peer: p, secret_file: s}", "one of queue, pull and files"),
        ("pull: {business_id: B, peer: p}", "give either secret or secret_file"),
        ("pull: {business_id: B, peer: p, secret: in-clear}", "a secret does not belong into this file"),
        ("pull: {business_id: 'B:x', peer: p, secret_file: s}", "business_id"),
    ],
)
def test_accounts_of_our_systems(write, text: str, says: str) -> None:
    said = refused(write(f"parties: {{a: {{adapter: x, {text}}}}}\n"))
    assert says in said
    assert "in-clear" not in said


def test_a_leg_is_the_gateway_s_where_its_party_is_configured_and_can_be_left_to_the_city_cs(write) -> None:
    party = "parties: {prefecture-server: {adapter: prefecture_server, url: 'https://localhost', peer: prefecture-server}}\n"
    assert load(write(party), environment={}).carried_parties == {"prefecture-server"}
    assert load(write(f"{party}legs: {{prefecture-server: city-cs}}\n"), environment={}).carried_parties == frozenset()
    assert load(write("legs: {card-management-system: city-cs}\n"), environment={}).carried_parties == frozenset()
    assert "legs.card-management-system: card-management-system must be in parties" in refused(
        write("legs: {card-management-system: gateway}\n")
    )
    assert "legs" in refused(write("legs: {city-cs: gateway}\n"))
