"""``renkei format``: the message formats without the gateway: validate, show, sample, convert, schema, docs.

Needs no configuration and reaches nothing. Errors name code, place and rule, and never a value.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway import cli_text
from gateway.cli_options import Json
from gateway.cli_support import ExitCode, say, show_json, show_table
from gateway.errors import InputRefused
from message_formats.errors import FormatError

if TYPE_CHECKING:
    from message_formats.catalogue import Item
    from message_formats.layouts import Layout
    from message_formats.message import Message
    from message_formats.reading import Limits

app = typer.Typer(add_completion=False, no_args_is_help=True)


def _say(en: str, ja: str) -> str:
    return ja if cli_text.language() == "ja" else en


_TYPE = _say("Name of a message type; see renkei format show.", "メッセージ種別の名称（renkei format show で一覧）。")
_LAYOUT = _say(
    "Layout of a CSV or fixed-length file: a packaged one (renkei format layouts) or a YAML file.",
    "CSV・固定長ファイルのレイアウト：同梱のもの（renkei format layouts）又はYAMLファイル。",
)
TypeName = Annotated[str | None, typer.Option("--type", help=_TYPE)]
LayoutName = Annotated[str | None, typer.Option("--layout", help=_LAYOUT)]
Result = tuple[int, "Message | FormatError"]


def _refused(error: FormatError) -> InputRefused:
    return InputRefused(error.code, f"{error.safe_detail} ({error.place})", place=error.place, rule=error.rule)


def _layout(given: str) -> Layout:
    from message_formats import layouts

    try:
        if given.endswith((".yaml", ".yml")):
            return layouts.parse(Path(given).read_bytes())
        return layouts.get(given)
    except FormatError as error:
        raise _refused(error) from error
    except OSError as error:
        raise InputRefused("layout", _say("the layout file cannot be read", "レイアウトファイルを読めません")) from error


def _results(file: Path, layout: Layout | None, message_type: str | None, limits: Limits) -> Iterator[Result]:
    """(number, message or error) of every record of a file: JSON Lines, a file with a layout, an XML batch, or one message."""
    from message_formats import batch, reading, records

    with file.open("rb") as stream:
        if layout is not None:
            yield from records.read_messages(stream, layout, limits)
        elif file.suffix == ".jsonl":
            yield from _json_lines(stream, message_type, limits)
        elif b"<Batch" in stream.peek(4096)[:4096]:
            yield from batch.read(stream, expected=message_type, limits=limits)
        else:
            yield 1, _one(stream.read(limits.size_bytes + 1), message_type, reading.read, limits)


def _one(data: bytes, message_type: str | None, read: Any, limits: Limits) -> Message | FormatError:
    try:
        message: Message = read(data, expected=message_type, limits=limits)
    except FormatError as error:
        return error
    return message


def _json_lines(stream: io.BufferedReader, message_type: str | None, limits: Limits) -> Iterator[Result]:
    from message_formats import reading

    number = 0
    while line := stream.readline(2 * limits.size_bytes):
        number += 1
        try:
            event = json.loads(line)
            data, expected = event["data"].encode(), message_type or event.get("type")
        except (ValueError, KeyError, TypeError, AttributeError):
            yield number, FormatError("layout", f"line {number}", "cloudevents", "not a CloudEvent with XML text in data")
            continue
        yield number, _one(data, expected, reading.read, limits)


@app.command(help=_say("Check files: XML (one message or a batch), CloudEvents JSON Lines, CSV, fixed length.", "ファイルを検査します。"))
def validate(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, metavar="FILE…")],
    message_type: TypeName = None,
    layout: LayoutName = None,
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
    as_json: Json = False,
) -> int:
    from message_formats import guard as content_guard
    from message_formats import reading

    chosen = _layout(layout) if layout is not None else None
    good, findings = 0, []
    for file in files:
        try:
            for number, result in _results(file, chosen, message_type, reading.DEFAULT):
                if isinstance(result, FormatError):
                    findings.append(_finding(file, number, result))
                    continue
                good += 1
                if guard or content_guard.applies(result.message_type):
                    suspected = content_guard.suspicions(result)
                    findings += [_finding(file, number, content_guard.refusal(each)) for each in suspected]
        except FormatError as error:
            findings.append(_finding(file, None, error))
    if as_json:
        show_json({"ok": not findings, "valid": good, "findings": findings})
    else:
        for finding in findings:
            record = f" #{finding['record']}" if finding["record"] else ""
            print(f"{finding['file']}{record}: {finding['code']}: {finding['detail']} ({finding['place']}; {finding['rule']})")
        say(_say(f"{good} valid, {len(findings)} findings", f"正常 {good} 件、指摘 {len(findings)} 件"))
    return int(ExitCode.FINDINGS if findings else ExitCode.OK)


def _finding(file: Path, record: int | None, error: FormatError) -> dict[str, Any]:
    return {
        "file": str(file),
        "record": record,
        "code": error.code,
        "place": error.place,
        "rule": error.rule,
        "detail": error.safe_detail,
    }


@app.command(help=_say("Show a message type, or all of them.", "メッセージ種別を表示します。"))
def show(name: Annotated[str | None, typer.Argument(metavar="[TYPE]", help=_TYPE)] = None, as_json: Json = False) -> int:
    from message_formats import catalogue

    ja = cli_text.language() == "ja"
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
        raise _refused(error) from error


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
    ja = cli_text.language() == "ja"
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
    from message_formats import reading

    source_layout = _layout(layout) if layout is not None else None
    target_layout = _layout(to_layout) if to_layout is not None else None
    changes: list[dict[str, Any]] = []
    try:
        messages = _good(_results(source, source_layout, None, reading.DEFAULT))
        count = _write(messages, target, target_layout, substitute, changes)
    except FormatError as error:
        target.unlink(missing_ok=True)
        raise _refused(error) from error
    if as_json:
        show_json({"ok": True, "records": count, "substituted": changes})
    else:
        for change in changes:
            print(f"#{change['record']} {change['item']} {change['position']}: {change['candidates']}")
        say(_say(f"{count} records, {len(changes)} characters substituted", f"{count} 件、代替 {len(changes)} 文字"))
    return int(ExitCode.OK)


def _good(results: Iterator[Result]) -> Iterator[Message]:
    for _, result in results:
        if isinstance(result, FormatError):
            raise result
        yield result


def _write(messages: Iterator[Message], target: Path, layout: Layout | None, substitute: bool, changes: list[dict[str, Any]]) -> int:
    from message_formats import batch, records

    with target.open("wb") as out:
        if layout is not None:
            items = (
                _substituted(message, number, layout, changes) if substitute else message.items
                for number, message in enumerate(messages, 1)
            )
            return records.write_records(items, layout, out)
        out.write(batch.OPEN)
        count = sum(bool(out.write(b"\n" + message.to_bytes())) for message in messages)
        out.write(b"\n" + batch.CLOSE)
        return count


def _substituted(message: Message, number: int, layout: Layout, changes: list[dict[str, Any]]) -> dict[str, str | None]:
    """The items with substitutes for what the layout's encoding does not hold; the counts of 外字 stay those of the original text."""
    from message_formats import encodings
    from message_formats.characters import RegisterText

    def holds(text: str) -> bool:
        return encodings.first_lost(text, layout.encoding.codec) is None

    made: dict[str, str | None] = {}
    for item, value in message.items.items():
        if value is None or holds(value):
            made[item] = value
            continue
        result = RegisterText(value).substitute(holds)
        made[item] = result.text
        changes += [
            # Positions and how many candidates there were: the characters themselves are the person's name.
            {"record": number, "item": item, "position": change.position, "candidates": len(change.candidates)}
            for change in result.changes
        ]
    return made


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
