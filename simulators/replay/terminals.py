"""What is asked while somebody waits, in a replay: at our terminals (F1-8, F2-2, F2-4, F2-5), and at another municipality's (FS2-11).

Each question has one end: an answer about whom it named, or a status that says why there is none. Volumes are planning assumptions.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import aiohttp

from message_formats import reading, samples, writing
from message_formats.errors import FormatError
from simulators.city import City
from simulators.errors import SimulatorError
from simulators.harness.whole import WholeTown
from simulators.replay.accounts import Dialogues
from simulators.replay.beside import Outside
from simulators.replay.house import House
from simulators.replay.month import DOMICILE
from simulators.replay.ways import CITY_CS
from simulators.world.people import Elsewhere

CONFIRM, SEARCH, INQUIRE = "identity-confirmation-request", "identity-search-request", "identity-inquiry-request"
WIDE_AREA, ELSEWHERE = "wide-area-certificate-request", "wide-area-certificate-request elsewhere"
QUESTIONS: Mapping[str, tuple[str, float]] = {
    CONFIRM: ("identity-confirmation-result", 10),
    SEARCH: ("identity-search-result", 5),
    INQUIRE: ("identity-inquiry-result", 2),
    WIDE_AREA: ("wide-area-certificate-data", 2),
}
"""Type of the answer, and how many a day for 100,000 residents."""
ELSEWHERE_PER_100000 = 2
AT_ONCE = 4
GROUP = "requested_certificate/"


class Terminals:
    """A context manager; belongs to the event loop."""

    def __init__(self, house: House, city: City, outside: Outside) -> None:
        self._house, self._city, self._outside = house, city, outside
        self._town: WholeTown = house.town
        self._random = random.Random(f"renkei-replay/terminals/{city.seed}")
        self._elsewhere = Elsewhere(city.seed)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._answers = self._town.answers()
        self._session: aiohttp.ClientSession
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        """By type and status."""
        self.foreign = 0
        """Answers about somebody else: there is none."""

    async def __aenter__(self) -> Self:
        context: ssl.SSLContext = self._town.context_of("resident-record-system")
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=AT_ONCE), trust_env=False)
        self._answers.start()
        while not self._answers.consuming:  # noqa: ASYNC110  pika tells nobody
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._answers.stop()
        await self._session.close()

    def opening(self) -> None:
        """The city CS makes its index of names when somebody is searched for the first time; in a large city that takes seconds."""
        self._house.go(self._first_search())

    async def _first_search(self) -> None:
        person = self._city.resident(0)
        asked = {"name": person.name, "address": person.address.text}
        await self._outside.control(CITY_CS, "POST", "emit", {"do": "terminal", "dialogue": "search", **asked})

    def day(self, *, over_s: float = 0.0) -> None:
        """The questions of a day, spread over so much time."""
        share = self._city.population / 100_000
        for kind, (_, count) in QUESTIONS.items():
            for _ in range(max(1, round(share * count))):
                self._house.go(self._ask(kind, self._random.uniform(0, over_s)))
        for _ in range(max(1, round(share * ELSEWHERE_PER_100000))):
            self._house.go(self._asked_elsewhere(self._random.uniform(0, over_s)))

    async def _ask(self, kind: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        person = self._city.resident(self._random.randrange(self._city.population))
        code, more = person.resident_record_code, {}
        match kind:
            case "identity-search-request":
                items: dict[str, str | None] = {"name": person.name, "address": person.address.text}
            case "wide-area-certificate-request":
                code = self._elsewhere.person(DOMICILE, self._random.randrange(1000)).code
                wanted = {name: value for name, value in samples.items(WIDE_AREA).items() if name.startswith(GROUP)}
                items, more = {**wanted, "resident_record_code": code}, {"ce-municipality": DOMICILE}
            case _:
                items = {"resident_record_code": code}
        items["request_id"] = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        async with self._room:
            self.asked[kind] += 1
            status, body = await self._post(kind, writing.write(kind, items).to_bytes(), more)
        if status != 200:
            self.unanswered[f"{kind} {status}"] += 1
            return
        self.answered[kind] += 1
        self.foreign += not self._own(kind, body, items["request_id"], code)

    @staticmethod
    def _own(kind: str, body: bytes, request_id: str | None, code: str) -> bool:
        """Whether an answer is to this question; a search may find several."""
        try:
            found = reading.read(body, expected=QUESTIONS[kind][0]).items
        except FormatError:
            return False
        about = {value for name, value in found.items() if name.rpartition("/")[2] == "resident_record_code" and value}
        return found["request_id"] == request_id and (kind == SEARCH or about <= {code})

    async def _post(self, kind: str, body: bytes, more: Mapping[str, str]) -> tuple[int, bytes]:
        """Asked once: nobody asks again by itself. 0: the gateway cannot be reached, or dies meanwhile."""
        head = {
            "ce-specversion": "1.0", "ce-id": str(uuid.uuid4()), "ce-source": "/resident-record-system", "ce-type": kind,
            "ce-operator": "sim-operator", "ce-terminal": "sim-terminal", "ce-reference": "SAMPLE-0001", "Content-Type": "application/xml",
            **more,
        }  # fmt: skip
        url = f"https://127.0.0.1:{self._town.ports.https}/v1/dialogues"
        try:
            async with self._session.post(url, data=body, headers=head, server_hostname="gateway") as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return 0, b""

    async def _asked_elsewhere(self, after_s: float) -> None:
        """Our resident asks for a copy at another municipality; our register answers."""
        await asyncio.sleep(after_s)
        person = self._city.resident(self._random.randrange(self._city.population))
        what = {"do": "wide-area", "municipality": DOMICILE, "code": person.resident_record_code}
        async with self._room:
            self.asked[ELSEWHERE] += 1
            try:
                said: Mapping[str, Any] = await self._outside.control(CITY_CS, "POST", "emit", what)
            except (aiohttp.ClientError, TimeoutError, SimulatorError):  # the gateway could not be reached
                said = {"status": 0}
        if said.get("answered"):
            self.answered[ELSEWHERE] += 1
            self.foreign += not said.get("own", False)
        else:
            self.unanswered[f"{ELSEWHERE} {said['status']}"] += 1

    @property
    def found(self) -> Dialogues:
        """For the books."""
        return Dialogues(asked=dict(self.asked), answered=dict(self.answered), unanswered=dict(self.unanswered), foreign=self.foreign)
