"""``docs/cli.md``, made from the commands themselves: ``python -m gateway.cli.docs`` writes it, a test holds it against the code.

In a process of its own: the texts of options are made in the language that was chosen when their module was imported.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from gateway.cli.main import GROUP, Lazy, as_command
from gateway.cli.support import EXIT_CODES
from gateway.cli.wording import TEXT

_HEAD = """# The `renkei` command

Made from the code by `python -m gateway.cli.docs`. Every command takes `--json` for one JSON document on standard output, and
`--lang en|ja`; without it `RENKEI_LANG` or the locale decides. Errors are one line each on standard error.

## Exit codes

| code | meaning | 意味 |
|---|---|---|
"""

_OURS = "gateway."
"""Commands of other packages describe themselves: `renkei COMMAND --help`."""


def document(points: Mapping[str, EntryPoint]) -> str:
    """The whole page, for the commands of ``points``."""
    text = _HEAD + "".join(f"| {int(code)} | {english} | {japanese} |\n" for code, (english, japanese) in EXIT_CODES.items())
    text += "\n## Commands\n\n| command | | |\n|---|---|---|\n"
    names = [name for name in Lazy.order(points) if f"command.{name}" in TEXT]
    for name in names:
        english, japanese = TEXT[f"command.{name}"]
        text += f"| `{name}` | {english} | {japanese} |\n"
    for name in names:
        if points[name].module.startswith(_OURS) and name != "format":
            text += "\n" + _section(name, as_command(name, points[name].load()))
    return text


def _section(name: str, command: Any) -> str:
    children = getattr(command, "commands", None)
    if children:
        return "\n".join(_section(f"{name} {child}", each) for child, each in children.items())
    text = f"### renkei {name}\n\n{(command.callback.__doc__ or '').strip()}\n\n"
    rows = [_row(parameter) for parameter in command.params if parameter.name not in ("help", "install_completion", "show_completion")]
    return text + "| | |\n|---|---|\n" + "".join(rows)


def _row(parameter: Any) -> str:
    given = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        given = f"`{parameter.metavar or str(parameter.name).upper()}`"
    needed = " (required)" if parameter.required else ""
    return f"| {given}{needed} | {getattr(parameter, 'help', None) or ''} |\n"


def declared(project: Path) -> dict[str, EntryPoint]:
    """The commands that a ``pyproject.toml`` declares."""
    entries = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    return {name: EntryPoint(name=name, value=value, group=GROUP) for name, value in entries.items()}


def main() -> None:
    """Write the page of this checkout; with ``--print``, only show it."""
    home = Path(__file__).resolve().parents[2]
    page = document(declared(home / "pyproject.toml"))
    if "--print" in sys.argv[1:]:
        print(page, end="")
    else:
        (home / "docs" / "cli.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
