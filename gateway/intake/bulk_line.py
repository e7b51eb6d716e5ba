"""The line between the door and the bulk process: chunks of submissions go over, their answers come back (I4).

Checking, sealing and committing a bulk message takes the interpreter and the ledger's writer of a process; in the gateway process live
messages would wait for both. So the gateway hands chunks to the process that also delivers them, over a Unix socket in ``data_dir/run``
that only our own user can open (I5: clear text passes between two processes that need it, and nowhere else).

A frame is four bytes of length and JSON. If the bulk process is not there, or goes in between, the chunk is admitted by the gateway itself:
what the other had committed by then gets the receipt that it has (R17).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.errors import GatewayError, InputRefused, LedgerUnavailable, Unavailable
from gateway.intake.admit import Answer, Intake
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.submission import Submission

LONGEST_BYTES: Final = 1 << 30
ANSWER_S: Final = 30.0
"""Longer than the ledger may take to say that it cannot."""
Take = Callable[[Sequence[Submission]], Awaitable[list[Answer]]]


async def admit_chunk(intake: Intake, chunk: Sequence[Submission]) -> list[Answer]:
    """Check one after the other, letting the loop run in between, and commit as one."""
    items = []
    for submission in chunk:
        items.append(await intake.check(submission))
        await asyncio.sleep(0)
    return await intake.commit(items)


class BulkLine:
    """The gateway's end. For one event loop; one chunk at a time."""

    def __init__(self, path: Path, otherwise: Take) -> None:
        """:param otherwise: takes a chunk where the bulk process cannot."""
        self._path = path
        self._otherwise = otherwise
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def take(self, chunk: Sequence[Submission]) -> list[Answer]:
        """Have a chunk admitted; the answers in its order.

        :raises Unavailable: nothing was accepted, or it is not known; handing in the same messages again is safe.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = self._streams = self._streams or await asyncio.open_unix_connection(self._path, limit=1 << 20)
                await _send(writer, [_of_submission(each) for each in chunk])
                said = await _receive(reader)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            return await self._otherwise(chunk)
        except asyncio.CancelledError:
            await self.close()  # an answer that comes later belongs to nobody
            raise
        if "failed" in said:
            kind = LedgerUnavailable if said["ledger"] else Unavailable
            raise kind(said["failed"], said["detail"])
        return [_to_answer(each) for each in said["answers"]]

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class BulkServer:
    """The bulk process's end."""

    def __init__(self, path: Path, intake: Intake) -> None:
        self._path = path
        self._intake = intake
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; the socket of a predecessor goes."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=1 << 20)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Hang up on everybody; a chunk under way is committed or not, and its senders hand it in again."""
        if self._server is not None:
            self._server.close()
            for line in list(self._lines):
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            while True:
                chunk = [_to_submission(each) for each in await _receive(reader)]
                await _send(writer, await self._answers(chunk))
        except (OSError, EOFError):
            pass  # the gateway has hung up, or begins anew
        finally:
            self._lines.discard(task)
            writer.close()

    async def _answers(self, chunk: Sequence[Submission]) -> dict[str, Any]:
        try:
            return {"answers": [_of_answer(each) for each in await admit_chunk(self._intake, chunk)]}
        except Unavailable as error:
            return {"failed": error.code, "detail": error.safe_detail, "ledger": isinstance(error, LedgerUnavailable)}
        except GatewayError as error:
            return {"failed": error.code, "detail": error.safe_detail, "ledger": False}


async def _send(writer: asyncio.StreamWriter, value: Any) -> None:
    frame = json.dumps(value, separators=(",", ":")).encode()
    writer.write(len(frame).to_bytes(4) + frame)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> Any:
    length = int.from_bytes(await reader.readexactly(4))
    if length > LONGEST_BYTES:
        raise EOFError("no frame of ours")
    return json.loads(await reader.readexactly(length))


def _of_submission(submission: Submission) -> dict[str, Any]:
    return {
        "system": submission.system,
        "door": submission.door,
        "attributes": {name: value for name, value in dataclasses.asdict(submission.attributes).items() if value is not None},
        "data": base64.b64encode(submission.data).decode(),
        "supplier": submission.supplier,
    }


def _to_submission(given: dict[str, Any]) -> Submission:
    return Submission(
        system=given["system"],
        door=given["door"],
        attributes=EventAttributes(**given["attributes"]),
        data=base64.b64decode(given["data"]),
        supplier=given["supplier"],
    )


def _of_answer(answer: Answer) -> dict[str, Any]:
    refusal = answer.refusal
    return {
        "receipt": base64.b64encode(answer.receipt).decode(),
        "duplicate": answer.duplicate,
        "refusal": None if refusal is None else [refusal.code, refusal.safe_detail, refusal.place, refusal.rule],
        "by_ledger": answer.by_ledger,
        "message_id": answer.message_id,
    }


def _to_answer(given: dict[str, Any]) -> Answer:
    refusal = None
    if given["refusal"] is not None:
        code, detail, place, rule = given["refusal"]
        refusal = InputRefused(code, detail, place=place, rule=rule)
    receipt = base64.b64decode(given["receipt"])
    return Answer(
        receipt=receipt, duplicate=given["duplicate"], refusal=refusal, by_ledger=given["by_ledger"], message_id=given["message_id"]
    )
