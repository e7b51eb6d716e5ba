"""Options that several commands share. Imported by command modules only, when the language is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.wording import t

Json = Annotated[bool, typer.Option("--json", help=t("option.json"))]
ConfigFile = Annotated[Path | None, typer.Option("--config", help=t("option.config"), dir_okay=False)]
As = Annotated[str | None, typer.Option("--as", help=t("option.as"))]
Yes = Annotated[bool, typer.Option("--yes", "-y", help=t("option.yes"))]
Reason = Annotated[str, typer.Option("--reason", help=t("option.reason"))]
