"""What the commands of the simulators have in common: run until told to stop, and say in one line what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import typer
import uvloop

from certs.errors import CertificateError
from simulators.errors import SimulatorError


def fail(error: Exception) -> NoReturn:
    """End the command with what is wrong."""
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(2)


def run(coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Serve until a signal; ``coroutine`` reads the settings itself, so that what is wrong in them is said the same way."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(coroutine())
    except (SimulatorError, CertificateError) as error:
        fail(error)
    except OSError as error:
        fail(SimulatorError("cannot-serve", error.strerror or str(error)))
