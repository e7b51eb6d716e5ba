"""Residents in memory, and an outbox: what is in it goes to the gateway in order, until there is a receipt for it."""

from __future__ import annotations

import http.client
import json
import ssl
import uuid
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

UPDATE, NOTICE = "identity-information-update", "move-in-notice"
OURS = "992011"
MOVED_IN, MOVED = "11", "21"


class Refused(Exception):
    """The gateway refused a message; it stays out of the outbox, and a person looks at it."""


@dataclass(frozen=True)
class Resident:
    """A fictitious resident."""

    code: str
    name: str
    reading: str
    born: str
    sex: str
    address: str
    since: str
    updates: int = 0


@dataclass
class SmallRegister:
    """The register. ``url``: of the gateway; ``context``: with the register's certificate."""

    url: str
    system: str
    context: ssl.SSLContext
    residents: dict[str, Resident] = field(default_factory=dict)
    outbox: deque[tuple[str, str, str, dict[str, str]]] = field(default_factory=deque)

    def move_in(self, resident: Resident, from_municipality: str, from_address: str) -> str:
        """Somebody moves in (転入): the city CS has an update, and the municipality of origin a notice. The id of the update."""
        self.residents[resident.code] = resident
        origin = {"previous_municipality_code": from_municipality, "previous_address": from_address, "previous_address_gaiji_count": "0"}
        update = self._update(resident, MOVED_IN, origin)
        moved = {"resident_record_code": resident.code, "name": resident.name, "move_in_date": resident.since, "new_municipality": OURS}
        self._put(NOTICE, moved, municipality=from_municipality)
        return update

    def move(self, code: str, address: str, on: str, name: str | None = None) -> str:
        """Somebody moves within the city (転居). ``name``: a mistake that the city CS will find."""
        old = self.residents[code]
        self.residents[code] = Resident(old.code, name or old.name, old.reading, old.born, old.sex, address, on, old.updates)
        return self._update(self.residents[code], MOVED, {})

    def _update(self, who: Resident, reason: str, more: dict[str, str]) -> str:
        number = who.updates + 1
        self.residents[who.code] = Resident(who.code, who.name, who.reading, who.born, who.sex, who.address, who.since, number)
        items = {
            "resident_record_code": who.code, "name_kanji": who.name, "name_gaiji_count": "0", "name_furigana": who.reading,
            "name_kana_normalised": who.reading, "birth_date": who.born, "sex": who.sex, "municipality_code": OURS,
            "town_code": "0010001", "postal_code": "9990001", "address": who.address, "address_gaiji_count": "0",
            "resident_since": "20260401", "address_since": who.since, "notified_on": who.since, **more, "relationship": "世帯主",
            "change_reason": reason, "change_date": who.since, "request_control_number": f"S{uuid.uuid4().hex[:14].upper()}",
            "operating_site_id": "SITE01", "operating_terminal_id": "TERM0001", "update_sequence_number": str(number),
            "update_prohibited_flag": "0", "prospective_resident_flag": "0", "exclusive_lock_flag": "0", "gaiji_flag": "0",
            "record_status_flag": "1", "timestamp": f"{who.since}091500123",
        }  # fmt: skip
        return self._put(UPDATE, items)

    def _put(self, kind: str, items: dict[str, str], **attributes: str) -> str:
        root = "".join(part.capitalize() for part in kind.split("-"))
        body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in items.items())
        name = str(uuid.uuid4())
        self.outbox.append((name, kind, f'<{root} xmlns="urn:renkei:format:{kind}:1">{body}</{root}>', attributes))
        return name

    # ---- to the gateway

    def send(self) -> None:
        """Hand in what is in the outbox, in order. What got no answer stays, and goes again under the same id.

        :raises Refused: with the gateway's code.
        """
        while self.outbox:
            name, kind, xml, attributes = self.outbox[0]
            given = {"specversion": "1.0", "id": name, "source": f"urn:renkei:system:{self.system}", "type": kind, **attributes}
            headers = {"Content-Type": "application/xml", **{f"ce-{key}": value for key, value in given.items()}}
            status, answer = self._call("POST", "/v1/messages", xml.encode(), headers)
            if status >= 500 or status == 429:
                return  # later
            self.outbox.popleft()
            if status != 202:
                raise Refused(answer["code"])

    def held(self, message_id: str) -> str | None:
        """Why a message of ours is stuck at the gateway: the party's code; None: it is not."""
        _, answer = self._call("GET", f"/v1/messages/{message_id}", None, {})
        return next((each["outcome_code"] for each in answer["deliveries"] if each["state"] in ("held", "rejected")), None)

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, dict]:
        where = urlsplit(self.url)
        connection = http.client.HTTPSConnection(where.hostname, where.port, timeout=30, context=self.context)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()
