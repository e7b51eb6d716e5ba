"""The line between the door and the bulk process: chunks of submissions go over, their answers come back (I4).

Checking, sealing and committing a bulk message takes the interpreter and the ledger's writer of a process; in the gateway process live
messages would wait for both. So the gateway hands chunks to the process that also delivers them, over a Unix socket in ``data_dir/run``
that only our own user can open (I5: clear text passes between two processes that need it, and nowhere else).

A batch of events goes over as it came, and its answer comes back as it is to be sent: the gateway only carries it.

A frame is the lengths, four bytes each, of JSON and of the bytes behind it. If the bulk process is not there, or goes in between, chunk or
batch is admitted by the gateway itself: what the other had committed by then gets the receipt that it has (R17).
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
from typing import Any, Final, Protocol

from gateway.errors import GatewayError, InputRefused, LedgerUnavailable, Unavailable
from gateway.intake.admit import Answer, Intake
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.submission import Submission
from gateway.pacing import BulkPace

LONGEST_BYTES: Final = 1 << 30
ANSWER_S: Final = 30.0
"""Longer than the ledger may take to say that it cannot."""
Take = Callable[[Sequence[Submission]], Awaitable[list[Answer]]]


class TakeBatch(Protocol):
    """The answer to the body of a batch, and of each event in a word what became of it (:func:`gateway.intake.batches.admit_batch`)."""

    def __call__(self, body: bytes, *, system: str, supplier: str | None) -> Awaitable[tuple[bytes, list[str]]]: ...


async def admit_chunk(intake: Intake, pace: BulkPace, chunk: Sequence[Submission]) -> list[Answer]:
    """Check one after the other, letting live work and the loop run in between, and commit as one."""
    items = []
    for submission in chunk:
        items.append(await intake.check(submission))
        await asyncio.sleep(0)
        await pace.let_pass()
    return await intake.commit(items)


class BulkLine:
    """The gateway's end. For one event loop; one chunk or batch at a time."""

    def __init__(self, path: Path, otherwise: Take, otherwise_batch: TakeBatch) -> None:
        """:param otherwise: takes a chunk where the bulk process cannot; ``otherwise_batch`` a batch."""
        self._path = path
        self._otherwise = otherwise
        self._otherwise_batch = otherwise_batch
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def take(self, chunk: Sequence[Submission]) -> list[Answer]:
        """Have a chunk admitted; the answers in its order.

        :raises Unavailable: nothing was accepted, or it is not known; handing in the same messages again is safe.
        """
        found = await self._ask({"chunk": [_of_submission(each) for each in chunk]})
        return await self._otherwise(chunk) if found is None else [_to_answer(each) for each in found[0]["answers"]]

    async def take_batch(self, body: bytes, *, system: str, supplier: str | None) -> tuple[bytes, list[str]]:
        """Have a batch admitted: its answer, and the words.

        :raises InputRefused: the body is no batch; it is kept.
        :raises Unavailable: what is to be kept could not be.
        """
        found = await self._ask({"system": system, "supplier": supplier}, body)
        if found is None:
            return await self._otherwise_batch(body, system=system, supplier=supplier)
        said, answer = found
        return answer, said["words"]

    async def _ask(self, value: Any, body: bytes = b"") -> tuple[Any, bytes] | None:
        """None: the bulk process is not there, or has gone."""
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = self._streams = self._streams or await asyncio.open_unix_connection(self._path, limit=1 << 20)
                await _send(writer, value, body)
                said, answer = await _receive(reader)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            return None
        except asyncio.CancelledError:
            await self.close()  # an answer that comes later belongs to nobody
            raise
        if "failed" in said:
            kind = LedgerUnavailable if said["ledger"] else Unavailable
            raise kind(said["failed"], said["detail"])
        if "refused" in said:
            raise _to_refusal(said["refused"])
        return said, answer

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class BatchLines:
    """Several lines for batches: as many are under way at once."""

    def __init__(self, lines: Sequence[BulkLine]) -> None:
        self._free: asyncio.Queue[BulkLine] = asyncio.Queue()
        for line in lines:
            self._free.put_nowait(line)

    async def take(self, body: bytes, *, system: str, supplier: str | None) -> tuple[bytes, list[str]]:
        """:meth:`BulkLine.take_batch`, when a line is free."""
        line = await self._free.get()
        try:
            return await line.take_batch(body, system=system, supplier=supplier)
        finally:
            self._free.put_nowait(line)


class BulkServer:
    """The bulk process's end."""

    def __init__(self, path: Path, take: Take, take_batch: TakeBatch) -> None:
        self._path = path
        self._take = take
        self._take_batch = take_batch
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
                await _send(writer, *await self._answer(*await _receive(reader)))
        except (OSError, EOFError):
            pass  # the gateway has hung up, or begins anew
        finally:
            self._lines.discard(task)
            writer.close()

    async def _answer(self, asked: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            if "chunk" in asked:
                return {"answers": [_of_answer(each) for each in await self._take([_to_submission(each) for each in asked["chunk"]])]}, b""
            answer, words = await self._take_batch(body, system=asked["system"], supplier=asked["supplier"])
        except InputRefused as error:
            return {"refused": _of_refusal(error)}, b""
        except GatewayError as error:
            return {"failed": error.code, "detail": error.safe_detail, "ledger": isinstance(error, LedgerUnavailable)}, b""
        return {"words": words}, answer


async def _send(writer: asyncio.StreamWriter, value: Any, body: bytes) -> None:
    head = json.dumps(value, separators=(",", ":")).encode()
    writer.writelines((len(head).to_bytes(4) + len(body).to_bytes(4) + head, body))
    await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> tuple[Any, bytes]:
    lengths = await reader.readexactly(8)
    head, body = int.from_bytes(lengths[:4]), int.from_bytes(lengths[4:])
    if max(head, body) > LONGEST_BYTES:
        raise EOFError("no frame of ours")
    return json.loads(await reader.readexactly(head)), await reader.readexactly(body)


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
        "refusal": None if refusal is None else _of_refusal(refusal),
        "by_ledger": answer.by_ledger,
        "message_id": answer.message_id,
    }


def _to_answer(given: dict[str, Any]) -> Answer:
    refusal = None if given["refusal"] is None else _to_refusal(given["refusal"])
    receipt = base64.b64decode(given["receipt"])
    return Answer(
        receipt=receipt, duplicate=given["duplicate"], refusal=refusal, by_ledger=given["by_ledger"], message_id=given["message_id"]
    )


def _of_refusal(refusal: GatewayError) -> list[str | None]:
    return [refusal.code, refusal.safe_detail, refusal.place, refusal.rule]


def _to_refusal(given: Sequence[str]) -> InputRefused:
    code, detail, place, rule = given
    return InputRefused(code, detail, place=place, rule=rule)
