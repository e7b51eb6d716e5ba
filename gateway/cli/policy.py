"""``renkei policy``: who may hand what to whom: look, ask why, check, compare, and have another version count (with a second person)."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import wording
from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, show_changes, sure
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

if TYPE_CHECKING:
    from gateway.policy.model import Policy

policy = typer.Typer(help=t("command.policy"), no_args_is_help=True)
PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help=t("policy.file"))]
Packaged = Annotated[bool, typer.Option("--packaged", help=t("policy.packaged"))]


@policy.command(help=t("policy.show"))
def show(
    message_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help=t("policy.type"))] = None,
    party: Annotated[str | None, typer.Option("--party", metavar="SYSTEM", help=t("policy.party"))] = None,
    work: Annotated[str | None, typer.Option("--work", metavar="WORK", help=t("policy.work"))] = None,
    document: Annotated[bool, typer.Option("--document", help=t("policy.document"))] = False,
    packaged: Packaged = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    from gateway.policy.explain import cite

    found = _current(config, operator, packaged=packaged)
    if document:
        print(_yaml(found))
        return
    rows = [
        p
        for each in found.permissions.values()
        for p in each
        if message_type in (None, p.message_type) and party in (None, p.producer, p.consumer) and (work is None or work in p.works)
    ]
    if as_json:
        show_json(
            {
                "version": found.version, "name": found.name, "digest": found.digest, "sample": found.sample,
                "permissions": [
                    {
                        "id": p.id, "type": p.message_type, "from": p.producer, "to": p.consumer, "leg": p.leg, "works": list(p.works),
                        "basis": [cite(a) for a in p.basis], "items": sorted(p.items), "whole": p.whole, "approved": p.approved,
                        "since": str(p.period.since or ""), "until": str(p.period.until or ""),
                    }
                    for p in rows
                ],
            }
        )  # fmt: skip
        return
    say(t("policy.version", version=found.version, name=found.name, digest=found.digest[:12]))
    headings = [t(f"label.{name}") for name in ("type", "sender", "party", "work", "basis", "items")]
    show_table(headings, [_row(found, p) for p in rows])
    say(t("policy.untied"))


def _row(found: Policy, p: Any) -> list[object]:
    from gateway.policy.explain import cite

    items = t("policy.nothing") if not p.approved else t("policy.whole") if p.whole else ", ".join(sorted(p.items))
    active = all(found.works[w].active for w in p.works if w in found.works)
    works = ", ".join(p.works) + ("" if active else f" ({t('policy.inactive')})")
    return [p.message_type, p.producer, p.consumer, works, "、".join(cite(a) for a in p.basis), items]


@policy.command(help=t("policy.explain"))
def explain(
    message_type: Annotated[str, typer.Argument(metavar="TYPE", help=t("policy.type"))],
    sender: Annotated[str, typer.Option("--from", metavar="SYSTEM")],
    to: Annotated[str, typer.Option("--to", metavar="SYSTEM")],
    work: Annotated[str | None, typer.Option("--work", metavar="WORK", help=t("policy.work"))] = None,
    basis: Annotated[str | None, typer.Option("--basis", metavar="ARTICLE")] = None,
    item: Annotated[list[str] | None, typer.Option("--item", metavar="PATH", help=t("policy.item"))] = None,
    on: Annotated[dt.datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help=t("policy.on"))] = None,
    protected: Annotated[bool, typer.Option("--protected", help=t("policy.protected"))] = False,
    deceased: Annotated[bool, typer.Option("--deceased")] = False,
    packaged: Packaged = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    from gateway.policy.decision import Permit, Request, decide
    from gateway.policy.explain import lines, reason
    from gateway.policy.rights import JAPAN

    found = _current(config, operator, packaged=packaged)
    day = on.date() if on else dt.datetime.now(JAPAN).date()
    request = Request(
        message_type=message_type, producer=sender, consumer=to, on=day, work=work, basis=basis, items=frozenset(item) if item else None,
        protected=protected, deceased=deceased,
    )  # fmt: skip
    decision = decide(found, request)
    permitted = isinstance(decision, Permit)
    if as_json:
        said: dict[str, Any] = {"permitted": permitted, "policy": found.version, "digest": found.digest}
        if isinstance(decision, Permit):
            said |= {
                "permission": decision.permission.id, "work": decision.work, "basis": [a.cite for a in decision.basis],
                "items": sorted(decision.items), "withheld": sorted(decision.withheld),
            }  # fmt: skip
        else:
            said |= {"code": decision.code, "rule": decision.rule, "names": list(decision.names)}
            said |= {"ja": reason(decision.code, "ja"), "en": reason(decision.code, "en")}
        show_json(said)
    else:
        show_table(["", ""], lines(found, request, decision, wording.language()))
        if isinstance(decision, Permit) and not all(article.tied for article in decision.basis):
            say(t("policy.untied"))
    return int(ExitCode.OK if permitted else ExitCode.REFUSED)


@policy.command(help=t("policy.check"))
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", exists=True, dir_okay=False, readable=True, help=t("policy.file"))
    ] = None,
    packaged: Packaged = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    from gateway.policy.checks import findings
    from gateway.policy.routes import tables

    found = _given(file, _current(config, operator, packaged=packaged))
    seen = findings(found, tables())
    faults = sum(each.fault for each in seen)
    if as_json:
        columns = ("code", "place", "names", "rule", "fault")
        show_json({"ok": not faults, "findings": [{column: getattr(each, column) for column in columns} for each in seen]})
    else:
        for each in seen:
            names = f": {', '.join(each.names)}" if each.names else ""
            say(
                f"{'✗' if each.fault else '!'} {each.place}: {t(f'policy.finding.{each.code}')}{names}"
                + (f" ({each.rule})" if each.rule else "")
            )
        say(t("policy.sound") if not faults else t("check.found", count=faults))
    return int(ExitCode.FINDINGS if faults else ExitCode.OK)


@policy.command(help=t("policy.diff"))
def diff(
    file: PolicyFile,
    packaged: Packaged = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    from gateway.policy.diff import changes

    current = _current(config, operator, packaged=packaged)
    found = changes(current, _given(file, current))
    if as_json:
        show_json([{n: getattr(c, n) for n in ("kind", "place", "before", "after", "gained", "lost")} for c in found])
    else:
        show_changes([{n: getattr(c, n) for n in ("kind", "place", "before", "after", "gained", "lost")} for c in found])
    return int(ExitCode.FINDINGS if found else ExitCode.OK)


@policy.command(help=t("policy.apply"))
def apply(
    file: PolicyFile,
    reason: Reason,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    from gateway.policy.diff import changes

    text = file.read_text(encoding="utf-8")
    with AdminClient(load_config(config), operator) as client:
        current = _built(client.get("policy"))
        found = changes(current, _given(file, current))
        if not as_json:
            show_changes([{n: getattr(c, n) for n in ("kind", "place", "before", "after", "gained", "lost")} for c in found])
        if not sure(t("policy.confirm", count=len(found)), yes or as_json):
            return int(ExitCode.OK)
        asked = client.post("policy", body={"policy": text, "reason": reason, "seen_version": current.version})
    return recorded(asked, as_json)


@policy.command(help=t("policy.history"))
def history(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    with AdminClient(load_config(config), operator) as client:
        found = client.get("policy", "versions")["items"]
    if as_json:
        show_json(found)
        return
    headings = [t(f"label.{name}") for name in ("version", "since", "by", "decided", "request", "reason")]
    rows = [
        [v["version"], local_time(v["applied_at"]), *(v[n] for n in ("requested_by", "approved_by", "request_id", "reason"))] for v in found
    ]
    show_table(headings, rows)


# ---- shared ----------------------------------------------------------------------------------------------------------------------------


def _current(config: Path | None, operator: str | None, *, packaged: bool) -> Policy:
    """The policy that counts, from the gateway; or the packaged one, which needs no gateway."""
    if packaged:
        from gateway.policy.loading import packaged as shipped

        return shipped()
    with AdminClient(load_config(config), operator) as client:
        return _built(client.get("policy"))


def _built(view: dict[str, Any]) -> Policy:
    from gateway.policy.loading import build

    return build(json.loads(view["document"]), version=view["version"])


def _given(file: Path | None, current: Policy) -> Policy:
    from gateway.policy.loading import build, parse

    return current if file is None else build(parse(file.read_text(encoding="utf-8"), onto=current), version=current.version)


def _yaml(found: Policy) -> str:
    import yaml

    from gateway.policy.loading import packaged, packaged_text

    if found.digest == packaged().digest:
        return packaged_text()  # with its comments
    return yaml.safe_dump(json.loads(found.document), allow_unicode=True, sort_keys=False, width=140)
