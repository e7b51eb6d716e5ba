"""The command ``renkei``.

Its sub-commands are entry points of the group ``renkei.commands``, so that each lives with what it drives. A command is imported when it is
called, not when another is or the list is shown; one that cannot be imported is listed with the reason.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, version
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from gateway.cli import wording
from gateway.cli.support import ExitCode, exit_code_of, say_error, wants_json
from gateway.cli.wording import TEXT, t
from gateway.entrypoints import unique_points
from gateway.errors import ConfigurationError, GatewayError

GROUP = "renkei.commands"
_ORDER = (
    *("up", "check", "config", "certs", "submit", "status", "message", "queues", "held", "retry", "correct", "skip", "settle"),
    *("release", "bulk", "reveal", "approvals", "quarantine", "pause", "resume", "operators", "policy", "provisions"),
    *("reports", "tally", "keys", "audit", "controls", "network"),
    *("format", "simulate", "demo", "chaos", "bench", "clock"),
)


class Deferred(TyperCommand):
    """A sub-command that is not imported yet: knows its line in the list, becomes the real one when it is called."""

    def __init__(self, point: EntryPoint) -> None:
        self.point = point
        self.problem = missing(point)
        known = TEXT.get(f"command.{point.name}")
        text = t("unavailable", reason=self.problem) if self.problem else t(f"command.{point.name}") if known else ""
        super().__init__(point.name, help=text, short_help=text)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.real().make_context(info_name, args, parent=parent, **extra)

    def real(self) -> Any:
        """:raises ConfigurationError: ``command-unavailable``."""
        if self.problem:
            raise unavailable(self.point, self.problem)
        try:
            found = self.point.load()
        except (ImportError, AttributeError) as error:
            raise unavailable(self.point, str(error)) from error
        return as_command(self.point.name, found)


class Lazy(TyperGroup):
    """The sub-commands by entry point."""

    def list_commands(self, ctx: Any) -> list[str]:
        return self.order(points())

    @staticmethod
    def order(names: Iterable[str]) -> list[str]:
        """In the order in which one needs them; those of others at the end."""
        return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if not self.commands:
            self.commands = {name: Deferred(point) for name, point in points().items()}
        return self.commands.get(cmd_name)


def points() -> dict[str, EntryPoint]:
    """The entry points of all commands; :raises ConfigurationError: two distributions offer the same."""
    return {point.name: point for point in unique_points(GROUP)}


def missing(point: EntryPoint) -> str:
    """Why the module of ``point`` is not there, without importing it; empty if it is."""
    try:
        spec = importlib.util.find_spec(point.module)
    except ImportError as error:
        return str(error)
    return "" if spec is not None else f"no module named {point.module!r}"


def unavailable(point: EntryPoint, reason: str) -> ConfigurationError:
    return ConfigurationError("command-unavailable", t("unavailable.detail", name=point.name, reason=reason))


def as_command(name: str, found: Any) -> Any:
    """A command from what an entry point holds: a typer application, a function, or a command already."""
    if not isinstance(found, typer.Typer):
        if not callable(found) or isinstance(found, TyperCommand | TyperGroup):
            return found
        single = typer.Typer(add_completion=False)
        single.command(name, help=t(f"command.{name}") if f"command.{name}" in TEXT else None)(found)
        found = single
    return typer.main.get_command(found)


def show_version(asked: bool) -> None:
    if asked:
        print(f"renkei-gateway {version('renkei-gateway')}")
        raise typer.Exit


def application() -> Any:
    """The whole command, in the language chosen before."""
    app = typer.Typer(cls=Lazy, help=t("renkei"), context_settings={"help_option_names": ["-h", "--help"]})

    @app.callback()
    def renkei(
        lang: str = typer.Option("", "--lang", metavar="en|ja", help=t("option.lang"), show_default=False),
        shown: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help=t("option.version")),
        debug: bool = typer.Option(False, "--debug", hidden=True),
    ) -> None:
        """The global options; --lang and --debug have been read before."""

    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Errors end as one line on standard error, never as a traceback."""
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    wants_json.set("--json" in rest)
    wording.set_language(wording.language_of(os.environ))
    try:
        language, rest = wording.choose_language(rest)
    except ValueError as error:
        return _usage(str(error))
    if language is not None:
        wording.set_language(language)
    with _told(wording.language()):
        return _run(rest, debug=debug)


@contextmanager
def _told(language: str) -> Iterator[None]:
    """The language in the environment, where commands that live outside the gateway, and those that a command runs, read it."""
    before = os.environ.get("RENKEI_LANG")
    os.environ["RENKEI_LANG"] = language
    try:
        yield
    finally:
        del os.environ["RENKEI_LANG"]
        if before is not None:
            os.environ["RENKEI_LANG"] = before


def _run(rest: list[str], *, debug: bool) -> int:
    try:
        result = application().main(args=rest or ["--help"], prog_name="renkei", standalone_mode=False)
        return int(result) if isinstance(result, int) else int(ExitCode.OK if rest else ExitCode.USAGE)
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print(f"renkei: {t('interrupted')}", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except typer.TyperException as error:
        return _usage(error.format_message())
    except GatewayError as error:
        if debug:
            traceback.print_exc()
        code = exit_code_of(error)
        rule = error.rule if error.rule and f"({error.rule})" not in error.safe_detail else None
        text = error.safe_detail + (f" [{error.code}]" if code is ExitCode.REFUSED else "") + (f" ({rule})" if rule else "")
        say_error(text, code=error.code, exit_code=code)
        return int(code)
    except BrokenPipeError:
        # Whoever read the output has seen enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except Exception as error:
        if debug:
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}"
        say_error(t("internal", kind=type(error).__name__, place=place), code="internal", exit_code=ExitCode.INTERNAL)
        return int(ExitCode.INTERNAL)


def _usage(text: str) -> int:
    say_error(text, code="usage", exit_code=ExitCode.USAGE)
    return int(ExitCode.USAGE)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
