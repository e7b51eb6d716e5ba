"""Any set of our systems in one process: each with its books, its channel (queue, REST, files) and, where it sends, its way in."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, model_validator

from certs.tls import client_context
from message_formats import samples, writing
from simulators.errors import BadFault
from simulators.in_house.books import Books
from simulators.in_house.folder import Folder
from simulators.in_house.mailbox import Mailbox
from simulators.in_house.pull import PullClient
from simulators.in_house.sender import Sender
from simulators.journal import read_entries
from simulators.register.amqp_door import Broker
from simulators.settings import read_secret

FAULTS = ("away", "not-yet")


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountSettings(_Shape):
    """One account, or a system that only sends (without a channel)."""

    account: str
    system: str
    """Spec id of the system whose account it is."""
    channel: Literal["queue", "pull", "files"] | None = None
    certificate: Path
    key: Path
    own_keys: list[Path] = []
    """Private JWKs, for ``queue``."""
    directory: Path | None = None
    """For ``files``."""
    secret_file: Path | None = None
    business_id: str = ""
    types: list[str] = []
    """What it fetches, for ``pull``."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {"queue": bool(self.own_keys), "files": self.directory is not None, "pull": bool(self.secret_file and self.business_id)}
        if self.channel is not None and not needs[self.channel]:
            raise ValueError("queue needs own_keys, files needs directory, pull needs secret_file and business_id")
        return self


class OfficeSettings(_Shape):
    """Settings of the process."""

    accounts: list[AccountSettings] = Field(min_length=1)
    ca: Path
    crl: Path | None = None
    broker_host: str = "127.0.0.1"
    broker_port: int = Field(ge=1, le=65535)
    broker_name: str = "broker"
    intake_url: str
    pull_url: str = ""
    issuer: str = ""
    gateway_name: str = "gateway"
    journals: Path
    """Folder; one journal for each account."""
    salt_file: Path
    every_s: float = Field(default=1.0, gt=0)
    """How often pull and files look."""
    control_port: int = Field(default=0, ge=0, le=65535)
    token_file: Path
    ready_file: Path | None = None


class Desk:
    """One account at work."""

    def __init__(self, settings: OfficeSettings, own: AccountSettings, salt: str) -> None:
        self.settings, self.own = settings, own
        self._salt = salt
        self.books = self._open()
        self.away = False
        self._mailbox: Mailbox | None = None
        self._task: asyncio.Task[None] | None = None

    def _open(self) -> Books:
        return Books(self.own.account, self.own.system, self.settings.journals / f"{self.own.account}.jsonl", self._salt)

    def context(self) -> ssl.SSLContext:
        """With the account's certificate."""
        return client_context(self.own.certificate, self.own.key, self.settings.ca, self.settings.crl)

    def sender(self) -> Sender:
        """The way in."""
        return Sender(self.own.system, self.settings.intake_url, self.context(), server_name=self.settings.gateway_name)

    def start(self) -> None:
        """Be at work."""
        own, settings = self.own, self.settings
        self.away = False
        if own.channel == "queue":
            broker = Broker(
                host=settings.broker_host, port=settings.broker_port, user=own.account, context=self.context(),
                server_name=settings.broker_name,
            )  # fmt: skip
            self._mailbox = Mailbox(self.books, broker, *own.own_keys)
            self._mailbox.start()
        elif own.channel == "files":
            assert own.directory is not None
            folder = Folder(self.books, own.directory)
            self._task = asyncio.get_running_loop().create_task(self._again(lambda: asyncio.to_thread(folder.round)))
        elif own.channel == "pull":
            client = PullClient(
                settings.pull_url, self.context(), client_id=own.account, secret=read_secret(own.secret_file),
                business_id=own.business_id, issuer=settings.issuer, server_name=settings.gateway_name,
            )  # fmt: skip

            async def fetch() -> None:
                for kind in own.types:
                    while await client.round(self.books, kind):
                        pass

            self._task = asyncio.get_running_loop().create_task(self._again(fetch))

    async def _again(self, look: Callable[[], Awaitable[Any]]) -> None:
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):  # the gateway is away: later
                await look()
            await asyncio.sleep(self.settings.every_s)

    async def stop(self) -> None:
        """Go away."""
        self.away = True
        if self._mailbox is not None:
            await self._mailbox.stop()
            self._mailbox = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await self._task
            self._task = None

    @property
    def ready(self) -> bool:
        """It consumes, or looks."""
        return self._mailbox is None or self._mailbox.consuming

    def forget(self) -> None:
        """Empty books; the old journal is put aside."""
        self.books.journal.put_aside()
        self.books.close()
        self.books = self._open()


class Office:
    """All of them. Belongs to the event loop."""

    def __init__(self, settings: OfficeSettings) -> None:
        salt = read_secret(settings.salt_file)
        self.settings = settings
        self.desks = {own.account: Desk(settings, own, salt) for own in settings.accounts}

    def start(self) -> None:
        """Everybody is at work."""
        for desk in self.desks.values():
            desk.start()

    async def stop(self) -> None:
        """Everybody goes home."""
        for desk in self.desks.values():
            await desk.stop()
            desk.books.close()

    def state(self) -> Mapping[str, Any]:
        """Counts; no personal data."""
        return {
            name: {**desk.books.state(), "channel": desk.own.channel, "away": desk.away, "ready": desk.ready}
            for name, desk in self.desks.items()
        }

    def received(self, limit: int) -> list[Mapping[str, Any]]:
        """The last entries of all journals, without what is sealed in them."""
        found: list[Mapping[str, Any]] = []
        for name, desk in self.desks.items():
            for entry in read_entries(desk.books.journal.path):
                found.append({"account": name, **{key: value for key, value in entry.items() if key != "sealed"}})
        return sorted(found, key=lambda each: str(each["at"]))[-limit:]

    async def emit(self, what: Mapping[str, Any]) -> Mapping[str, Any]:
        """A message of one of them: ``account``, ``type``, ``xml`` or ``serial`` (a sample) with ``changes``, ``id``, attributes.

        :raises BadFault: it is not known, or makes no sense.
        """
        desk, kind = self._desk(what), str(what.get("type", ""))
        try:
            if "xml" in what:
                content = str(what["xml"]).encode()
            else:
                sample = samples.message(kind, int(what.get("serial", 1)))
                content = writing.write(kind, {**sample.items, **what.get("changes", {})}).to_bytes()
        except (KeyError, TypeError, ValueError) as error:
            raise BadFault("emit-invalid", "give type, and xml or serial") from error
        attributes = {str(name): str(value) for name, value in what.get("attributes", {}).items()}
        return await desk.sender().send(kind, content, id=what.get("id"), **attributes)

    async def put_fault(self, what: Mapping[str, Any]) -> Mapping[str, Any]:
        """``away``: the account is not there; ``not-yet``: it cannot take the resident of ``atena_number`` yet.

        :raises BadFault: another fault, or nobody.
        """
        desk, kind = self._desk(what), what.get("kind")
        if kind == "away":
            await desk.stop()
        elif kind == "not-yet" and isinstance(what.get("atena_number"), str):
            desk.books.not_yet.add(what["atena_number"])
        else:
            raise BadFault("fault-unknown", f"kind is one of {', '.join(FAULTS)}; not-yet needs atena_number")
        return {"account": desk.own.account, "kind": kind}

    def clear_faults(self) -> int:
        """Everything is well again; how many were not."""
        cleared = 0
        for desk in self.desks.values():
            cleared += desk.away + len(desk.books.not_yet)
            desk.books.not_yet.clear()
            if desk.away:
                desk.start()
        return cleared

    async def reset(self) -> None:
        """Empty books, no faults."""
        self.clear_faults()
        for desk in self.desks.values():
            await desk.stop()
            desk.forget()
            desk.start()

    def _desk(self, what: Mapping[str, Any]) -> Desk:
        found = self.desks.get(str(what.get("account")))
        if found is None:
            raise BadFault("account-unknown", "this process plays no such account")
        return found
