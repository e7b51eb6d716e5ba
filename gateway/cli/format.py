"""``renkei format``: what message types look like, and checks and conversions of files; needs neither configuration nor gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import format_parties, wording
from gateway.cli.format_files import Conversion, get_layout, meaning, refused, results
from gateway.cli.format_files import say_both as _say
from gateway.cli.options import Json
from gateway.cli.support import ExitCode, say, show_json, show_table
from message_formats.errors import FormatError

if TYPE_CHECKING:
    from message_formats.catalogue import Item

app = typer.Typer(add_completion=False, no_args_is_help=True)

_TYPE = _say("Name of a message type; see renkei format show.", "メッセージ種別の名称（renkei format show で一覧）。")
_LAYOUT = _say(
    "Layout of a CSV or fixed-length file: a packaged one (renkei format layouts) or a YAML file.",
    "CSV・固定長ファイルのレイアウト：同梱のもの（renkei format layouts）又はYAMLファイル。",
)
_CODES = _say(
    "Code mapping of your own (YAML) for the party that the layout names, instead of the packaged one.",
    "レイアウトが指す相手先のコード変換表（YAML）。同梱のものに代えて使用します。",
)
TypeName = Annotated[str | None, typer.Option("--type", help=_TYPE)]
LayoutName = Annotated[str | None, typer.Option("--layout", help=_LAYOUT)]
CodesFile = Annotated[Path | None, typer.Option("--codes", help=_CODES, exists=True, dir_okay=False, readable=True)]
SHOWN = 200


@app.command(help=_say("Check files: XML (one message or a batch), CloudEvents JSON Lines, CSV, fixed length.", "ファイルを検査します。"))
def validate(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, metavar="FILE…")],
    message_type: TypeName = None,
    layout: LayoutName = None,
    codes: CodesFile = None,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard",
            help=_say(
                "Look for Individual Numbers in the free text of all types, not only where they are forbidden.",
                "個人番号が禁止の種別に限らず、全種別の自由記述を検査します。",
            ),
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help=_say("Show at most so many findings (0: all).", "表示する指摘の上限（0は全件）。"))
    ] = SHOWN,
    as_json: Json = False,
) -> int:
    if message_type is not None:
        _entry(message_type)
    chosen = get_layout(layout, codes) if layout is not None else None
    shown: list[dict[str, Any]] = []
    good = found = 0
    for file in files:
        for number, error in _checked(file, chosen, message_type, guard):
            if error is None:
                good += 1
                continue
            found += 1
            if limit and found > limit:
                continue
            finding = _finding(file, number, error)
            if as_json:
                shown.append(finding)
            else:
                record = f" #{number}" if number else ""
                print(f"{file}{record}: {error.code}: {finding['detail']} ({error.place}; {error.rule})")
    if as_json:
        show_json({"ok": not found, "valid": good, "found": found, "findings": shown})
    else:
        say(_say(f"{good} valid, {found} findings", f"正常 {good} 件、指摘 {found} 件"))
    return int(ExitCode.FINDINGS if found else ExitCode.OK)


def _checked(file: Path, layout: Any, message_type: str | None, everywhere: bool) -> Iterator[tuple[int | None, FormatError | None]]:
    """(number of the record, what is wrong or None) for every record; what the doors would quarantine is a finding too."""
    from message_formats import guard

    try:
        for number, result in results(file, layout, message_type):
            if isinstance(result, FormatError):
                yield number, result
                continue
            suspected = guard.suspicions(result) if everywhere or guard.applies(result.message_type) else ()
            yield from ((number, guard.refusal(each)) for each in suspected)
            if not suspected:
                yield number, None
    except FormatError as error:
        yield None, error


def _finding(file: Path, record: int | None, error: FormatError) -> dict[str, Any]:
    return {
        "file": str(file),
        "record": record,
        "code": error.code,
        "place": error.place,
        "rule": error.rule,
        "detail": meaning(error),
    }


@app.command(help=_say("Show a message type, or all of them.", "メッセージ種別を表示します。"))
def show(name: Annotated[str | None, typer.Argument(metavar="[TYPE]", help=_TYPE)] = None, as_json: Json = False) -> int:
    from message_formats import catalogue

    ja = wording.language() == "ja"
    if name is None:
        entries = catalogue.all_types()
        if as_json:
            show_json(
                [{"name": entry.name, "name_ja": entry.name_ja, "name_en": entry.name_en, "schema": entry.schema} for entry in entries]
            )
        else:
            rows = [(entry.name, entry.name_ja if ja else entry.name_en, ", ".join(entry.consumers)) for entry in entries]
            show_table((_say("type", "種別"), _say("name", "名称"), _say("to", "送信先")), rows)
        return int(ExitCode.OK)
    entry = _entry(name)
    if as_json:
        show_json({**_facts(entry), "items": [_item(item) for item in entry.items]})
    else:
        show_table(("", ""), list(_facts(entry).items()))
        heads = (_say("no.", "番号"), "id", _say("item", "項目"), _say("form", "形式"), _say("required", "必須"))
        show_table(heads, list(_rows(entry.items, "", ja)))
    return int(ExitCode.OK)


def _entry(name: str) -> Any:
    from message_formats import catalogue

    try:
        return catalogue.get(name)
    except FormatError as error:
        raise refused(error) from error


def _facts(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "name_ja": entry.name_ja,
        "name_en": entry.name_en,
        "schema": entry.schema,
        "producers": ", ".join(entry.producers),
        "consumers": ", ".join(entry.consumers),
        "individual_number": entry.individual_number,
        "confidentiality": entry.confidentiality,
        "lane": entry.lane,
        "key_item": entry.key_item,
        "party_key_item": entry.party_key_item,
        "reply": entry.reply,
        "rules": ", ".join(entry.rules),
        "flows": ", ".join(entry.flows),
        "retention": entry.retention_ja if wording.language() == "ja" else entry.retention_en,
    }


def _item(item: Item) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": item.id,
        "name_ja": item.name_ja,
        "name_en": item.name_en,
        "type": item.type,
        "required": item.required,
    }
    if item.number is not None:
        described["no"] = item.number
    if item.repeats > 1:
        described["repeats"] = item.repeats
    if item.items:
        described["items"] = [_item(inner) for inner in item.items]
    return described


def _rows(items: tuple[Item, ...], indent: str, ja: bool) -> Iterator[tuple[object, ...]]:
    for item in items:
        form = item.type + (f" ×{item.repeats}" if item.repeats > 1 else "")
        yield item.number or "", indent + item.id, item.name_ja if ja else item.name_en, form, "*" if item.required else ""
        yield from _rows(item.items, indent + "  ", ja)


@app.command(help=_say("Print a valid, fictitious message.", "正しい架空のメッセージを出力します。"))
def sample(
    name: Annotated[str, typer.Argument(metavar="TYPE", help=_TYPE)],
    serial: Annotated[
        int, typer.Option("--serial", min=1, max=9_999_999, help=_say("Another number, another person.", "番号ごとに別の人。"))
    ] = 1,
    invalid: Annotated[
        bool, typer.Option("--invalid", help=_say("Refused ones instead, with their errors.", "拒否される例とエラー。"))
    ] = False,
    as_json: Json = False,
) -> int:
    from message_formats import invalid_samples, samples

    _entry(name)
    if not invalid:
        text = samples.message(name, serial).to_bytes().decode()
        if as_json:
            show_json({"type": name, "xml": text, "items": samples.items(name, serial)})
        else:
            print(text)
        return int(ExitCode.OK)
    ja = wording.language() == "ja"
    found = [
        {
            "what": each.what_ja if ja and not as_json else each.what,
            "code": each.code,
            "place": each.place,
            "rule": each.rule,
            "xml": each.data.decode("utf-8", "replace"),
        }
        for each in invalid_samples.of(name)
    ]
    if as_json:
        show_json(found)
    else:
        for each in found:
            print(f"{each['code']} ({each['place']}; {each['rule']}): {each['what']}\n{each['xml']}\n")
    return int(ExitCode.OK)


@app.command(help=_say("Print the XSD of a type (or of the shared types: types).", "XSDを出力します（共通型は types）。"))
def schema(name: Annotated[str, typer.Argument(metavar="TYPE", help=_TYPE)]) -> int:
    from message_formats import schema_text

    print(schema_text.shared_types() if name == "types" else schema_text.schema(_entry(name)), end="")
    return int(ExitCode.OK)


@app.command(help=_say("List the packaged layouts.", "同梱のレイアウトを一覧します。"))
def layouts(as_json: Json = False) -> int:
    from message_formats import layouts as packaged

    found = [packaged.get(name) for name in packaged.names()]
    if as_json:
        show_json(
            [{"name": each.name, "type": each.message_type.name, "form": each.form, "encoding": each.encoding.name} for each in found]
        )
    else:
        heads = (_say("layout", "レイアウト"), _say("type", "種別"), _say("form", "形式"), _say("encoding", "文字コード"))
        show_table(heads, [(each.name, each.message_type.name, each.form, each.encoding.name) for each in found])
    return int(ExitCode.OK)


@app.command(help=_say("Convert between XML batch, CSV and fixed length.", "XML・CSV・固定長を相互に変換します。"))
def convert(
    source: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    target: Annotated[Path, typer.Argument(dir_okay=False)],
    layout: LayoutName = None,
    to_layout: Annotated[str | None, typer.Option("--to-layout", help=_LAYOUT)] = None,
    codes: CodesFile = None,
    substitute: Annotated[
        bool,
        typer.Option(
            "--substitute",
            help=_say(
                "Substitute what the target encoding lacks, and say what and where. For transport only, never for the register.",
                "変換先にない文字を代替し、内容と位置を記録します。搬送用に限り、台帳には使用しません。",
            ),
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    changes: list[dict[str, Any]] = []
    conversion = Conversion(
        source=source,
        target=target,
        layout=get_layout(layout, codes) if layout is not None else None,
        to_layout=get_layout(to_layout, codes) if to_layout is not None else None,
        substitute=substitute,
        changes=changes,
    )
    try:
        count = conversion.run()
    except FormatError as error:
        raise refused(error) from error
    if as_json:
        show_json({"ok": True, "records": count, "substituted": changes})
    else:
        report = sys.stderr if conversion.is_device() else sys.stdout  # the target may be standard output
        for change in changes:
            print(f"#{change['record']} {change['item']} {change['position']}: {change['candidates']}", file=report)
        print(_say(f"{count} records, {len(changes)} characters substituted", f"{count} 件、代替 {len(changes)} 文字"), file=report)
    return int(ExitCode.OK)


@app.command(
    help=_say("Write the catalogue (HTML and Markdown, both languages) to a folder.", "カタログ（HTML・Markdown、日英）を出力します。")
)
def docs(folder: Annotated[Path, typer.Argument(file_okay=False)]) -> int:
    from message_formats import documentation

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documentation.pages().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name, file=sys.stderr)
    return int(ExitCode.OK)


app.command(
    name="codes",
    help=_say(
        "Show the code tables, or the codes of one and what the parties use.",
        "コード表、又は一つの表のコードと相手先のコードを表示します。",
    ),
)(format_parties.codes)
app.command(
    name="wsdl",
    help=_say(
        "List the SOAP profiles, or write the WSDL and schemas of one to a folder.",
        "SOAPプロファイルを一覧、又は一つのWSDL及びスキーマを出力します。",
    ),
)(format_parties.wsdl)
