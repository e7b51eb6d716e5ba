"""Handing in files: reading them, keeping each resident's order, retrying, and remembering what has a receipt.

**Order.** The door admits in the order in which answers are given, so messages of one resident must not be under way together. Who a
message is about is read from its XML: it waits for every earlier message that shares an identifier with it. Messages of different residents
go together, up to the window. One that cannot be read here (it will most likely be refused) waits for all before it, and all after it wait.
When a message is refused, the later ones of the same resident are *left*: they would overtake it when it is handed in again, corrected.

**Resuming.** The id of a message never changes, and the door answers the same id with the same receipt; so whatever was under way when the
command ended is simply handed in again. The state file saves that work for what has a receipt already. It holds ids, no content.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO
from urllib.parse import quote

from gateway.cli.batches import Batches
from gateway.contract import CallNotSent, CallUnanswered, HttpAnswer, HttpCaller
from gateway.errors import InputRefused, Unavailable
from message_formats.errors import FormatError
from message_formats.reading import read

_Task = asyncio.Task[bool]

NAMESPACE: Final = uuid.UUID("5f3c1f0e-7a55-5d0e-9c86-6b2f0a4f3c11")
"""For the ids of messages that come as bare XML: the same file with the same content has the same id."""
WINDOW: Final = 64
_LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One message of a file. Prints without its content (I5)."""

    place: str
    """``day.jsonl:12``"""
    attributes: Mapping[str, str]
    """CloudEvents attributes as they go into the headers, ``id`` and ``type`` among them."""
    data: bytes = field(repr=False)
    size_bytes: int
    """Of the line or file, for the progress bar."""

    @property
    def id(self) -> str:
        return self.attributes["id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One message that the door, or the reading of the file, refused."""

    place: str
    id: str | None
    code: str
    detail: str
    rule: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"place": self.place, "id": self.id, "code": self.code, "detail": self.detail, "rule": self.rule}


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the messages."""

    seen: int = 0
    accepted: int = 0
    earlier: int = 0
    """Had a receipt from an earlier run."""
    refused: list[Refused] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Without receipt and not refused: behind a refused one, or the gateway was away for too long."""
        return self.seen - self.accepted - self.earlier - len(self.refused)


def items_of(file: Path, *, system: str, given: Mapping[str, str | None]) -> Iterator[Item | Refused]:
    """The messages of ``file``: JSON Lines of CloudEvents JSON (``.jsonl``, ``.ndjson``), else one XML document, with the attributes
    ``given`` (``type``, ``municipality``, ``lane``) where they are not None; of those only ``lane`` is given to lines of JSON, too.

    :raises OSError: it cannot be read.
    """
    if file.suffix.lower() not in (".jsonl", ".ndjson"):
        yield _from_xml(file, system=system, given=given)
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _from_line(f"{file.name}:{number}", line, lane=given.get("lane"))


def _from_xml(file: Path, *, system: str, given: Mapping[str, str | None]) -> Item | Refused:
    data, type_name = file.read_bytes(), given.get("type")
    if type_name is None:
        try:
            type_name = read(data).type
        except FormatError as error:
            detail = f"{error.safe_detail} ({error.place}); if the type is right, name it with --type and let the gateway judge"
            return Refused(place=file.name, id=None, code=error.code, detail=detail, rule=error.rule)
    identity = hashlib.sha256(data).hexdigest()
    more = {name: value for name, value in given.items() if value is not None and name != "type"}
    same = [value for name, value in more.items() if name != "lane"]  # the same content is the same message, by whatever lane
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid5(NAMESPACE, "/".join([system, file.name, identity, *same]))),
        "source": f"/systems/{system}",
        "type": type_name,
        **more,
    }
    return Item(place=file.name, attributes=attributes, data=data, size_bytes=len(data))


def _from_line(place: str, line: bytes, *, lane: str | None = None) -> Item | Refused:
    def refused(detail: str, identity: object = None) -> Refused:
        return Refused(place=place, id=identity if isinstance(identity, str) else None, code="malformed-json", detail=detail)

    try:
        event = json.loads(line)
    except ValueError:
        return refused("the line is not JSON")
    if not isinstance(event, dict):
        return refused("the line is not a JSON object")
    if lane is not None:
        event.setdefault("lane", lane)
    text, encoded = event.pop("data", None), event.pop("data_base64", None)
    event.pop("datacontenttype", None)
    if not isinstance(event.get("id"), str) or not all(isinstance(value, str) for value in event.values()):
        return refused("id is missing, or an attribute is not text", event.get("id"))
    try:
        if isinstance(text, str) and encoded is None:
            data = text.encode()
        elif isinstance(encoded, str) and text is None:
            data = base64.b64decode(encoded, validate=True)
        else:
            return refused("exactly one of data and data_base64 must hold the XML", event["id"])
    except (binascii.Error, UnicodeEncodeError):
        return refused("the data cannot be decoded", event["id"])
    return Item(place=place, attributes=event, data=data, size_bytes=len(line))


class Receipts:
    """The state file: one line for each receipt. A context manager."""

    def __init__(self, directory: Path, *, system: str, file: Path) -> None:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        self.path = directory / f"{system}-{digest.hexdigest()[:24]}.receipts.jsonl"
        self._known: set[str] = set()
        self._out: TextIO | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    self._known.add(json.loads(line)["id"])
                except (ValueError, KeyError):
                    # The last line of a run that was cut off: that message is handed in again, which does no harm.
                    continue
        self._out = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._out is not None:
            self._out.close()

    def __contains__(self, identity: str) -> bool:
        return identity in self._known

    def add(self, identity: str, receipt: bytes) -> None:
        """:raises ValueError: it is not a receipt."""
        document = json.loads(receipt)
        if document.get("id") != identity or document.get("status") != "accepted":
            raise ValueError("not the receipt of this message")
        assert self._out is not None
        self._out.write("\n" if self._out.tell() and not self._ends_well() else "")
        self._out.write(json.dumps({"id": identity, "message": document.get("message")}) + "\n")
        self._out.flush()
        self._known.add(identity)

    def _ends_well(self) -> bool:
        """False once, after a run whose last line was cut off."""
        with self.path.open("rb") as stream:
            stream.seek(-1, 2)
            return stream.read() == b"\n"


class Submission:
    """One run over one or more files, through the HTTPS door."""

    def __init__(
        self,
        http: HttpCaller,
        *,
        window: int = WINDOW,
        patience_s: float = 120.0,
        progress: Callable[[int], None] = lambda size_bytes: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        batches: bool = False,
    ) -> None:
        """``patience_s``: for how long the gateway may be away, in a row, before the run ends. ``batches``: everything has the lane
        ``bulk`` and goes together in few requests."""
        self.tally = Tally()
        self._batches = Batches(http) if batches else None
        self._http, self._patience_s = http, patience_s
        self._window = window
        self._progress, self._pause, self._clock = progress, pause, clock
        self._last: dict[tuple[str, str], _Task] = {}
        self._barrier: _Task | None = None
        self._under_way: set[_Task] = set()
        self._open_after = 0.0
        self._answered_at = 0.0

    async def run(self, items: Iterator[Item | Refused], receipts: Receipts) -> None:
        """Hand in ``items``; what each became stands in :attr:`tally`.

        :raises Unavailable: the gateway was away for longer than the patience; the rest is left, and the same command goes on.
        """
        self._answered_at = self._clock()
        try:
            for item in items:
                if self._passed_over(item, receipts):
                    continue
                while len(self._under_way) >= self._window:
                    await self._some_end(asyncio.FIRST_COMPLETED)
                assert isinstance(item, Item)
                self._start(item, receipts)
            while self._under_way:
                await self._some_end(asyncio.ALL_COMPLETED)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            self._under_way.clear()

    def leave(self, items: Iterator[Item | Refused], receipts: Receipts) -> None:
        """Only count ``items``: after a run that ended early."""
        for item in items:
            self._passed_over(item, receipts)

    def _passed_over(self, item: Item | Refused, receipts: Receipts) -> bool:
        self.tally.seen += 1
        if isinstance(item, Refused):
            self.tally.refused.append(item)
            return True
        if item.id in receipts:
            self.tally.earlier += 1
            self._progress(item.size_bytes)
            return True
        return False

    async def _some_end(self, when: str) -> None:
        ended, self._under_way = await asyncio.wait(self._under_way, return_when=when)
        errors = [error for task in ended if (error := task.exception()) is not None]
        if errors:
            raise errors[0]
        # Who was refused stays, so that whoever comes later is left.
        for key in [key for key, task in self._last.items() if task in ended and task.result()]:
            del self._last[key]

    def _start(self, item: Item, receipts: Receipts) -> None:
        people = _people(item.data)
        same = {task for key in people or () if (task := self._last.get(key)) is not None}
        others = set(self._under_way) if people is None else {self._barrier} if self._barrier is not None else set()
        task = asyncio.create_task(self._after(same, others, item, receipts))
        self._under_way.add(task)
        if people is None:
            self._barrier = task
        for key in people or ():
            self._last[key] = task

    async def _after(self, same: set[_Task], others: set[_Task], item: Item, receipts: Receipts) -> bool:
        """Hand in ``item`` after those of the ``same`` people and some ``others``. True when it has a receipt; False: refused or left."""
        if before := same | others:
            await asyncio.wait(before)
            if any(task.cancelled() or task.exception() is not None for task in before):
                return False
        accepted = all(task.result() for task in same) and await self._hand_in(item, receipts)
        self._progress(item.size_bytes)
        return accepted

    async def _hand_in(self, item: Item, receipts: Receipts) -> bool:
        failures = 0
        while True:
            await self._until_open()
            try:
                answer = await self._post(item)
            except (CallNotSent, CallUnanswered) as error:
                # Also after a request that may have arrived: the same id again gives the same receipt.
                failures += 1
                self._close_for(min(0.25 * 2**failures, _LONGEST_PAUSE_S), error.code)
                continue
            if answer.status in (429, 503):
                self._close_for(_retry_after(answer), f"http-{answer.status}")
                continue
            self._answered_at = self._clock()
            if answer.status == 202:
                return self._accepted(item, answer, receipts)
            self.tally.refused.append(_refusal(item, answer))
            return False

    async def _post(self, item: Item) -> HttpAnswer:
        if self._batches is not None and (answer := await self._batches.post(item.attributes, item.data)) is not None:
            return answer
        headers = {f"ce-{name}": quote(value, safe=_PLAIN) for name, value in item.attributes.items()}
        headers["Content-Type"] = "application/xml"
        return await self._http.post("/v1/messages", item.data, headers)

    def _accepted(self, item: Item, answer: HttpAnswer, receipts: Receipts) -> bool:
        try:
            receipts.add(item.id, answer.body)
        except ValueError as error:
            raise Unavailable("receipt-malformed", f"{item.place}: the answer is not the receipt of this message") from error
        self.tally.accepted += 1
        return True

    async def _until_open(self) -> None:
        while (wait := self._open_after - self._clock()) > 0:
            await self._pause(wait)

    def _close_for(self, seconds: float, code: str) -> None:
        """Nobody sends for so long; :raises Unavailable: patience is at its end."""
        now = self._clock()
        if now + seconds - self._answered_at > self._patience_s:
            raise Unavailable("gateway-away", f"the gateway did not take messages for {self._patience_s:.0f} s ({code})")
        self._open_after = max(self._open_after, now + seconds)


_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '%"')


def _people(data: bytes) -> tuple[tuple[str, str], ...] | None:
    """The identifiers of whom it is about; None: it cannot be read here. Stays in memory."""
    try:
        return read(data).identifiers
    except FormatError:
        return None


def _retry_after(answer: HttpAnswer) -> float:
    value = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "1")
    return min(float(value), _LONGEST_PAUSE_S) if value.isdigit() else 1.0


def _refusal(item: Item, answer: HttpAnswer) -> Refused:
    try:
        document = json.loads(answer.body)
        code, detail, place = str(document["code"]), str(document["detail"]), document.get("place")
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused("answer-malformed", f"{item.place}: an answer of status {answer.status} that is no problem document") from error
    if answer.status >= 500:
        raise Unavailable(code, f"{item.place}: {detail}")
    return Refused(place=item.place, id=item.id, code=code, detail=f"{place}: {detail}" if place else detail, rule=document.get("rule"))
