"""``renkei flows``: cases of the business flows, what is overdue, completion by hand, and what is proved of each flow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli import wording
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.support import ExitCode, load_config, local_time, say, short_time, show_json, show_table
from gateway.entrypoints import unique_points

if TYPE_CHECKING:
    from gateway.flows.verify import EdgeProof, FlowProof

EXTENSIONS = "renkei.commands.flows"
"""Entry points of further commands about flows, which live with what they drive."""


class _Extended(TyperGroup):
    """The commands below and those of others, each of which is imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(point.name for point in unique_points(EXTENSIONS))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from gateway.cli.main import Deferred

        further = (Deferred(point) for point in unique_points(EXTENSIONS) if point.name == cmd_name)
        return super().get_command(ctx, cmd_name) or next(further, None)


flows = typer.Typer(cls=_Extended, add_completion=False, no_args_is_help=True, help=wording.t("command.flows"))
REPORT = Path(__file__).resolve().parents[2] / "var" / "reports" / "flows.json"
"""What test runs write: the last outcome of each test that is marked with a flow or an edge case."""
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000)]


def _say(en: str, ja: str) -> str:
    return ja if wording.language() == "ja" else en


_STATES = {
    "open": ("open", "進行中"), "overdue": ("OVERDUE", "期限超過"), "refused": ("refused", "拒否"), "done": ("done", "完了"),
    "completed": ("completed by hand", "手作業で完了"), "waiting": ("waiting", "待ち"), "not-needed": ("not needed", "不要"),
}  # fmt: skip


@flows.command("list", help=_say("Cases, newest first.", "案件を新しい順に一覧表示します。"))
def list_(
    flow: Annotated[str | None, typer.Option("--flow", metavar="ID", help=_say("Of one flow only.", "一つのフローに絞ります。"))] = None,
    state: Annotated[
        str | None, typer.Option("--state", help=_say("Of these states, with commas between.", "状態で絞ります（カンマ区切り）。"))
    ] = None,
    open_only: Annotated[bool, typer.Option("--open", help=_say("Only what is not over.", "未完了のみ。"))] = False,
    limit: Limit = 50,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Cases of the flows."""
    query = {"limit": str(limit)}
    query |= {name: value for name, value in (("flow", flow), ("state", state), ("open", "true" if open_only else None)) if value}
    found = _cases(config, operator, query)
    if as_json:
        show_json(found)
    else:
        _table(found)


@flows.command("overdue", help=_say("Cases with a step that is overdue; exit code 1 if there are any.", "期限を過ぎた案件を表示します。"))
def overdue(limit: Limit = 200, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    """Cases with a step that is overdue."""
    found = _cases(config, operator, {"limit": str(limit), "state": "overdue"})
    if as_json:
        show_json(found)
    elif found:
        _table(found)
    else:
        say(_say("nothing is overdue", "期限を過ぎた案件はありません"))
    return int(ExitCode.FINDINGS if found else ExitCode.OK)


@flows.command("show", help=_say("One case with its steps, or those that a message is in.", "案件の手順を表示します（電文IDでも可）。"))
def show(
    reference: Annotated[str, typer.Argument(metavar="CASE")], config: ConfigFile = None, operator: As = None, as_json: Json = False
) -> None:
    """One case with its steps."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        found = client.get("flows", reference)["items"]
    if as_json:
        show_json(found)
        return
    for case in found:
        say(f"{case['flow']} {_title(case)}: {_word(case['state'])}  {case['case_id']}")
        if case["completed_by"]:
            say(f"  {case['completed_by']}: {case['reason']}")
        show_table(
            [_say("step", "手順"), "", _say("from", "送信元"), _say("to", "送信先"), _say("state", "状態"), _say("since", "時刻"),
             _say("due", "期限"), _say("messages", "電文")],
            [
                [
                    each["step"], each["type"], each["sender"], each["receiver"],
                    _word(each["state"]) + (f" ({each['code']})" if each["code"] else ""), short_time(each["since"]),
                    "" if each["state"] in ("done", "not-needed") else short_time(each["due_at"]), " ".join(each["messages"]),
                ]
                for each in case["steps"]
            ],
        )  # fmt: skip


@flows.command(
    "complete",
    help=_say(
        "What is left of a case was done by other means, or will not come; on record under your name.",
        "残りの手順を手作業で完了とします（操作者名で記録）。",
    ),
)
def complete(
    case_id: Annotated[str, typer.Argument(metavar="CASE")],
    reason: Reason,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Complete a case by hand."""
    from gateway.cli.client import AdminClient
    from gateway.cli.people import sure

    with AdminClient(load_config(config), operator) as client:
        [case] = client.get("flows", case_id)["items"]
        left = [each["step"] for each in case["steps"] if each["state"] not in ("done", "not-needed")]
        asked = _say(
            f"{case['flow']}: complete the steps {', '.join(left)} by hand?", f"{case['flow']}：手順 {', '.join(left)} を完了としますか。"
        )
        if not sure(asked, yes or as_json):
            return int(ExitCode.OK)
        done = client.post("flows", case["case_id"], "complete", body={"seen_state": case["state"], "reason": reason})
    if as_json:
        show_json(done)
    else:
        say(_say(f"{case['flow']}: completed", f"{case['flow']}：完了としました"))
    return int(ExitCode.OK)


@flows.command("rebuild", help=_say("Derive all cases anew from the record.", "証跡から全案件を作り直します。"))
def rebuild(reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """Derive all cases anew from the record."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        done = client.post("flows", "rebuild", body={"reason": reason})
    if as_json:
        show_json(done)
    else:
        say(_say("the cases are derived anew", "案件を作り直しています"))


@flows.command("steps", help=_say("The declared flows and what of them this gateway carries.", "定義済みのフローと本装置が扱う手順。"))
def steps(flow: Annotated[str | None, typer.Argument(metavar="[FLOW]")] = None, as_json: Json = False) -> None:
    """The declared flows; needs no gateway."""
    from gateway.errors import ConfigurationError
    from gateway.flows.model import carried
    from gateway.flows.model import flows as declared
    from gateway.policy.routes import tables

    if flow is not None and flow not in declared().by_id:
        raise ConfigurationError("no-such-flow", _say(f"there is no flow {flow}", f"フロー {flow} はありません"))
    rows = []
    for each in declared().all:
        if flow in (None, each.id):
            mine = {step.no for step in carried(each, tables())}
            rows += [
                {
                    "flow": each.id, "step": step.no, "from": step.sender, "to": step.receiver, "type": step.type, "leg": step.leg,
                    "carried": step.no in mine,
                }
                for step in each.steps
            ]  # fmt: skip
    if as_json:
        show_json(rows)
        return
    headings = [_say("flow", "フロー"), _say("step", "手順"), _say("from", "送信元"), _say("to", "送信先"), _say("type", "種別"), "", ""]
    show_table(headings, [[*(str(row[n] or "") for n in ("flow", "step", "from", "to", "type", "leg")), "●" if row["carried"] else ""]
                          for row in rows])  # fmt: skip


@flows.command(
    "verify",
    help=_say(
        "What is proved of every flow and edge case, by tests that ran; exit code 1 if anything is not.",
        "全フローと例外ケースの検証状況を、実行済みの試験から表示します。",
    ),
)
def verify(
    missing: Annotated[bool, typer.Option("--missing", help=_say("Only what is not proved.", "未検証のみ。"))] = False,
    as_json: Json = False,
) -> int:
    """What is proved of every flow and edge case; needs the tests beside the program, and what ``bin/test`` left."""
    from gateway.cli.controls import marked_tests, outcomes_in
    from gateway.flows.model import flows as declared
    from gateway.flows.verify import verify as judged
    from gateway.policy.routes import tables

    marked = marked_tests("flow", "edge")
    found, edges = judged(declared(), tables(), marked["flow"], marked["edge"], outcomes_in(REPORT))
    ok = all(each.ok for each in found) and all(edge.ok for edge in edges)
    if as_json:
        show_json({"ok": ok, "flows": [_proved(each) for each in found], "edge_cases": [_edge(each) for each in edges]})
        return int(ExitCode.OK if ok else ExitCode.FINDINGS)
    mark = {True: "✓", False: "✗"}
    rows = [[mark[each.ok], each.flow.id, "", len(each.tests), each.reason or " ".join(each.messages)] for each in found]
    rows += [[mark[edge.ok], edge.flow.id, edge.edge.id, len(edge.tests), edge.reason or ""] for edge in edges]
    headings = ["", _say("flow", "フロー"), _say("edge case", "例外ケース"), _say("tests", "試験"), ""]
    show_table(headings, [row for row in rows if not missing or row[0] != mark[True]])
    proved = sum(each.ok for each in found), sum(edge.ok for edge in edges)
    outside = sum(edge.outside for edge in edges)
    say(
        _say(
            f"{proved[0]} of {len(found)} flows, {proved[1]} of {len(edges)} edge cases ({outside} lie outside a gateway)",
            f"フロー {proved[0]}/{len(found)}、例外ケース {proved[1]}/{len(edges)}（うち対象外 {outside}）",
        )
    )
    return int(ExitCode.OK if ok else ExitCode.FINDINGS)


def _proved(each: FlowProof) -> dict[str, Any]:
    said: dict[str, Any] = {"id": each.flow.id, "ok": each.ok, "messages": list(each.messages), "tests": list(each.tests)}
    return said | ({"reason": each.reason} if each.reason else {})


def _edge(each: EdgeProof) -> dict[str, Any]:
    said: dict[str, Any] = {"flow": each.flow.id, "case": each.edge.id, "text": each.edge.case, "ok": each.ok, "outside": each.outside}
    said["tests"] = list(each.tests)
    return said | ({"reason": each.reason} if each.reason else {})


def _cases(config: ConfigFile, operator: As, query: dict[str, str]) -> list[dict[str, Any]]:
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        found: list[dict[str, Any]] = client.get("flows", query=query)["items"]
    return found


def _table(found: list[dict[str, Any]]) -> None:
    headings = [_say("case", "案件"), _say("flow", "フロー"), "", _say("state", "状態"), _say("began", "開始"), _say("waits for", "待ち")]
    show_table(
        headings,
        [
            [
                each["case_id"], each["flow"], _title(each), _word(each["state"]), local_time(each["begun_at"]),
                " ".join(step["step"] for step in each["steps"] if step["state"] in ("waiting", "overdue", "refused")),
            ]
            for each in found
        ],
    )  # fmt: skip


def _title(case: dict[str, Any]) -> str:
    return str(case["title_ja"] if wording.language() == "ja" else case["title_en"])


def _word(state: str) -> str:
    return _say(*_STATES[state])
