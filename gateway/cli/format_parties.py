"""``renkei format codes`` and ``renkei format wsdl``: the tables and interfaces that parties are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import wording
from gateway.cli.format_files import say_both as _say
from gateway.cli.options import Json
from gateway.cli.support import ExitCode, show_json, show_table
from gateway.errors import InputRefused


def codes(name: Annotated[str | None, typer.Argument(metavar="[TABLE]")] = None, as_json: Json = False) -> int:
    from message_formats import codes as tables
    from message_formats import party_codes

    ja = wording.language() == "ja"
    if name is None:
        found = [tables.table(each) for each in tables.names()]
        if as_json:
            show_json([{"table": each.name, "name_ja": each.name_ja, "name_en": each.name_en, "codes": len(each.codes)} for each in found])
        else:
            rows = [(each.name, each.name_ja if ja else each.name_en, len(each.codes)) for each in found]
            show_table((_say("table", "コード表"), _say("name", "名称"), _say("codes", "件数")), rows)
        return int(ExitCode.OK)
    if name not in tables.names():
        near = ", ".join(tables.names())
        raise InputRefused(
            "unknown-table", _say(f"no such code table; there are {near}", f"該当するコード表はありません。{near} があります")
        )
    table = tables.table(name)
    mapped = [party for party in map(party_codes.get, party_codes.names()) if name in party.out]
    listed: list[dict[str, Any]] = [
        {
            "code": each.code,
            "symbol": each.symbol,
            "name_ja": each.ja,
            "name_en": each.en,
            "parties": {party.party: party.out[name].get(each.code) for party in mapped},
        }
        for each in table.codes.values()
    ]
    if as_json:
        show_json({"table": name, "source": table.source, "codes": listed})
        return int(ExitCode.OK)
    heads = (_say("code", "コード"), _say("symbol", "記号名"), _say("name", "名称"), *(party.party for party in mapped))
    show_table(
        heads,
        [
            (each.code, each.symbol, each.ja if ja else each.en, *(p.out[name].get(each.code) for p in mapped))
            for each in table.codes.values()
        ],
    )
    print(table.source)
    return int(ExitCode.OK)


def wsdl(
    profile: Annotated[str | None, typer.Argument(metavar="[PROFILE]")] = None,
    folder: Annotated[Path | None, typer.Option("--out", file_okay=False, help=_say("Folder to write to.", "出力先フォルダ。"))] = None,
    as_json: Json = False,
) -> int:
    from message_formats import profiles

    if profile is None:
        found = [profiles.get(name) for name in profiles.names()]
        listed = [
            {"profile": each.profile, "party": each.party, "namespace": each.namespace, "operations": [o.name for o in each.operations]}
            for each in found
        ]
        if as_json:
            show_json(listed)
        else:
            heads = (_say("profile", "プロファイル"), _say("party", "相手先"), _say("operations", "オペレーション"))
            show_table(heads, [(each.profile, each.party, ", ".join(o.name for o in each.operations)) for each in found])
        return int(ExitCode.OK)
    if profile not in profiles.names():
        near = ", ".join(profiles.names())
        raise InputRefused(
            "unknown-profile", _say(f"no such profile; there are {near}", f"該当するプロファイルはありません。{near} があります")
        )
    files = _wsdl_files(profile)
    if folder is None:
        print(files[f"wsdl/{profile}.wsdl"], end="")
        return int(ExitCode.OK)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name, file=sys.stderr)
    return int(ExitCode.OK)


def _wsdl_files(name: str) -> dict[str, str]:
    """The WSDL, its envelope schema, and the schemas that this refers to, by their relative paths."""
    from message_formats import profiles, schema_text, wsdl_text

    profile = profiles.get(name)
    files = {f"wsdl/{name}.wsdl": wsdl_text.wsdl(profile), f"wsdl/{name}.xsd": wsdl_text.schema(profile)}
    files["xsd/types.xsd"] = schema_text.shared_types()
    return files | {f"xsd/{each.name}.xsd": schema_text.schema(each) for each in profile.message_types}
