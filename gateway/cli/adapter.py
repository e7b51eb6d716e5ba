"""``renkei adapter``: a new adapter for a party, as a package of its own with simulator and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import wording
from gateway.cli.options import Json
from gateway.cli.support import say, show_json

adapter = typer.Typer(add_completion=False, no_args_is_help=True, help=wording.t("command.adapter"))


def _say(en: str, ja: str) -> str:
    return ja if wording.language() == "ja" else en


@adapter.callback()
def _group() -> None:
    """Keeps ``new`` a command of its own."""


@adapter.command(
    "new",
    help=_say(
        "Write a package: profile, adapter, simulator, contract tests; nothing of Renkei is changed.",
        "プロファイル・アダプター・シミュレーター・契約試験を含むパッケージを作成します（本体は変更しません）。",
    ),
)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_say("Name in snake case.", "名前（スネークケース）。"))],
    party: Annotated[str, typer.Option("--party", help=_say("Whose adapter it is.", "相手先の識別子。"))],
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", help=_say("Message type; may be repeated. Default: all permitted.", "電文種別（複数可）。既定は許可済みのすべて。")
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help=_say("What it is called in English.", "英語名。"))] = None,
    title_ja: Annotated[str | None, typer.Option("--title-ja", help=_say("And in Japanese.", "日本語名。"))] = None,
    out: Annotated[Path | None, typer.Option("--out", file_okay=False, help=_say("Folder to write to.", "出力先フォルダ。"))] = None,
    as_json: Json = False,
) -> None:
    """A new adapter, in a folder of its own."""
    from gateway.adapter_kit import planned, write

    wanted = planned(name, party, types or [], title, title_ja)
    folder = out if out is not None else Path(f"renkei-adapter-{name.replace('_', '-')}")
    written = write(wanted, folder)
    if as_json:
        show_json({"name": name, "party": party, "types": list(wanted.types), "files": [str(each) for each in written]})
        return
    for each in written:
        say(str(each))
    say(_say(f"next: cd {folder} && pip install -e '.[dev]' && pytest", f"次：cd {folder} && pip install -e '.[dev]' && pytest"))
