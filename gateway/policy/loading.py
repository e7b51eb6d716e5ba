"""Reading a policy: YAML, its shape (pydantic), what it means (:mod:`gateway.policy.model`). A document that is wrong is refused whole.

An applied document may hold only some of the sections; the others are those of the policy it is applied to. ``approvals`` replaces the
approvals as a whole, so that taking one away is seen in a *diff*.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.errors import ConfigurationError
from gateway.policy.items import every, expand
from gateway.policy.model import Article, Period, Permission, Policy, System, Triple, Work
from message_formats import catalogue

_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]
_Path = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*$")]
SIZE_BYTES = 2_000_000


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Period(_Shape):
    since: dt.date | None = Field(default=None, alias="from")
    until: dt.date | None = None

    def period(self) -> Period:
        return Period(since=self.since, until=self.until)


class _System(_Shape):
    ja: _Text
    en: _Text
    side: Literal["in-house", "outside"]
    number: Literal["never"] | None = None


class _Work(_Shape):
    kind: Literal["flow", "provision", "transfer", "inquirer"]
    ja: _Text
    en: str = ""
    law: str = ""
    basis: list[_Text] = []
    recipients: list[_Text] = []
    table: str = ""
    ordinance: str | None = None
    status: Literal["active", "no-article", "article-deleted", "undecided"] = "active"
    method: Literal["line", "network", "paper"] = "line"
    items: list[_Text] = []


class _Permission(_Shape):
    sender: _Id = Field(alias="from")
    to: _Id
    leg: Literal["gateway", "beyond-city-cs", "beyond-application-management"]
    decision: Literal["project"] | None = None
    works: list[_Id] = Field(min_length=1)
    items: Literal["ceiling"] | list[_Path] | None = None
    approval: Literal["required"] | None = None
    protected: Literal["refuse", "refuse-list", "address_items"] | list[_Path] | None = None
    excess: Literal["filter", "refuse"] = "filter"
    since: dt.date | None = None
    until: dt.date | None = None


class _Approval(_Period):
    items: list[_Path] = Field(min_length=1)
    protected: Literal["permit"] | None = None
    excess: Literal["filter", "refuse"] | None = None


class _Document(_Shape):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    since: dt.date = Field(alias="from")
    sample: bool = False
    articles: dict[_Text, _Period] = {}
    systems: dict[_Id, _System]
    works: dict[_Id, _Work]
    ceiling: list[_Path]
    address_items: list[_Path]
    permissions: dict[_Id, list[_Permission]]
    approvals: dict[_Id, _Approval] = {}


class _OnceLoader(yaml.SafeLoader):
    """YAML in which no key stands twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(keys)) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, f"a key stands twice (line {node.start_mark.line + 1})", node.start_mark)
        return super().construct_mapping(node, deep)


def parse(text: str, *, onto: Policy | None = None) -> dict[str, Any]:
    """YAML (or JSON) as a document; sections that are not there are those of ``onto``.

    :raises ConfigurationError: ``policy-document``.
    """
    if len(text.encode()) > SIZE_BYTES:
        raise ConfigurationError("policy-document", f"the policy is longer than {SIZE_BYTES} bytes")
    try:
        found = yaml.load(text, _OnceLoader)  # noqa: S506 derived from SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark is not None else ""
        raise ConfigurationError("policy-document", f"the policy is not YAML{place}: {getattr(error, 'problem', '')}") from error
    if not isinstance(found, dict):
        raise ConfigurationError("policy-document", "the policy is not a mapping of sections")
    sections: dict[str, Any] = _plain(found)
    if onto is None:
        return sections
    base: dict[str, Any] = json.loads(onto.document)
    if "approvals" in sections and "sample" not in sections:
        base.pop("sample", None)
    return base | sections


def _plain(value: Any) -> Any:
    """As JSON has it: days as text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def build(document: Mapping[str, Any], *, version: int = 0) -> Policy:
    """The policy that a document says.

    :raises ConfigurationError: ``policy-document``, naming the first entry at fault.
    """
    try:
        shape = _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ConfigurationError("policy-document", f"{place}: {first['msg']}") from None
    canonical = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    systems = {
        key: System(id=key, ja=s.ja, en=s.en, in_house=s.side == "in-house", number_never=s.number == "never")
        for key, s in shape.systems.items()
    }
    works = {key: _work(key, w, shape.articles) for key, w in shape.works.items()}
    permissions: dict[Triple, tuple[Permission, ...]] = {}
    by_work: dict[str, tuple[Permission, ...]] = {}
    for message_type, rows in shape.permissions.items():
        if message_type not in catalogue.names():
            raise ConfigurationError("policy-document", f"permissions.{message_type}: no such message type")
        for row in rows:
            triple = (message_type, row.sender, row.to)
            if triple in permissions:
                raise ConfigurationError("policy-document", f"permissions.{message_type}: {row.sender} to {row.to} stands twice")
            for made in _permissions(message_type, row, shape, works):
                permissions[triple] = (*permissions.get(triple, ()), made)
                for work in made.works:
                    by_work[work] = (*by_work.get(work, ()), made)
    for key in shape.approvals:
        if key not in works:
            raise ConfigurationError("policy-document", f"approvals.{key}: no such work")
    return Policy(
        version=version,
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
        name=shape.name,
        systems=systems,
        works=works,
        permissions=permissions,
        sample=shape.sample,
        document=canonical,
        by_work=by_work,
    )


def _work(key: str, shape: _Work, articles: Mapping[str, _Period]) -> Work:
    basis = tuple(_article(text, articles) for text in shape.basis)
    return Work(
        id=key, kind=shape.kind, ja=shape.ja, en=shape.en, basis=basis, law=shape.law, recipients=tuple(shape.recipients),
        status=shape.status, method="network" if shape.kind == "inquirer" else shape.method, table=shape.table, ordinance=shape.ordinance,
        printed_items=tuple(shape.items),
    )  # fmt: skip


def _article(text: str, articles: Mapping[str, _Period]) -> Article:
    cite = text.removeprefix("~")
    period = articles[cite].period() if cite in articles else Period()
    return Article(cite=cite, tied=not text.startswith("~"), period=period)


def _permissions(message_type: str, row: _Permission, shape: _Document, works: Mapping[str, Work]) -> list[Permission]:
    """One permission for the whole way, or one for each work where each has its own approval."""
    place = f"permissions.{message_type}: {row.sender} to {row.to}"
    for system in (row.sender, row.to):
        if system not in shape.systems:
            raise ConfigurationError("policy-document", f"{place}: no such system as {system}")
    for work in row.works:
        if work not in works:
            raise ConfigurationError("policy-document", f"{place}: no such work as {work}")
    everything = every(message_type)
    ceiling = everything if row.items is None else _leaves(message_type, shape.ceiling if row.items == "ceiling" else row.items, place)
    named = row.protected if isinstance(row.protected, list) else shape.address_items if row.protected == "address_items" else []
    withheld = _leaves(message_type, named, place)
    period = Period(since=row.since or shape.since, until=row.until)
    common: dict[str, Any] = {
        "message_type": message_type, "producer": row.sender, "consumer": row.to, "leg": row.leg, "decided": row.decision == "project",
        "refuse_protected": row.protected == "refuse", "refuse_protected_list": row.protected == "refuse-list",
    }  # fmt: skip
    if row.approval is None:
        basis = tuple({a.cite: a for w in row.works for a in works[w].basis}.values())
        return [
            Permission(
                id=f"{message_type}:{row.sender}:{row.to}", works=tuple(row.works), basis=basis, items=ceiling, whole=ceiling == everything,
                withheld=withheld, excess=row.excess, period=period, **common,
            )
        ]  # fmt: skip
    made = []
    for work in row.works:
        approval = shape.approvals.get(work)
        items: frozenset[str] = frozenset()
        if approval is not None:
            items = _leaves(message_type, approval.items, f"approvals.{work}")
            number = {path for path in everything if path.rpartition("/")[2] == "individual_number"}
            beyond = items - ceiling - number
            if beyond:
                raise ConfigurationError(
                    "policy-document", f"approvals.{work}: beyond what may be transferred at all: {', '.join(sorted(beyond))}"
                )
            period_of = Period(since=max(approval.since or shape.since, period.since or shape.since), until=approval.until or row.until)
        made.append(
            Permission(
                id=f"{message_type}:{row.sender}:{row.to}:{work}", works=(work,), basis=works[work].basis, items=items,
                whole=items == everything, withheld=frozenset() if approval and approval.protected else withheld,
                excess=(approval.excess if approval and approval.excess else row.excess), approved=approval is not None,
                period=period_of if approval is not None else period, **common,
            )
        )  # fmt: skip
    return made


def _leaves(message_type: str, named: list[str], place: str) -> frozenset[str]:
    try:
        return expand(message_type, named)
    except KeyError as error:
        raise ConfigurationError("policy-document", f"{place}: {message_type} has no item {error.args[0]}") from None


def packaged_text(name: str = "policy.yaml") -> str:
    """A packaged document, with its comments."""
    return importlib.resources.files("gateway.policy").joinpath("data", name).read_text(encoding="utf-8")


@functools.cache
def packaged() -> Policy:
    """The packaged policy, read once for each process."""
    return build(parse(packaged_text()))


@functools.cache
def with_sample_approvals() -> Policy:
    """The packaged policy with the labelled sample of approvals: for tests and demonstrations."""
    return build(parse(packaged_text("approvals-sample.yaml"), onto=packaged()))
