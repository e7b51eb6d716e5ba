"""The information provision network (情報提供ネットワークシステム): codes, who may inquire for what, permits with route and key.

A code (符号) is another one at each body, and the network alone knows which belong together: here they are keyed digests of the resident
record code, so nothing has to be kept. It never sees an Individual Number. All bodies are fictitious as far as they act here.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import importlib.resources
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

OURS = "our-municipality"
ITEM = "juki-7-4"
"""特定個人情報項目: what 住基法第7条第4号 covers, the only thing that is provided (C-M-6-24)."""
Wrong = Literal["no-permit", "forged-permit", "other-route", "used-permit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquirer:
    """A body that may inquire for one work of 番号法別表第二."""

    id: str
    body: str
    law: str
    work: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """提供許可証: for one inquiry, with the route to whoever inquired and his key."""

    inquiry: str
    token: str
    route: str
    key: bytes = field(repr=False)


@functools.cache
def inquirers() -> dict[str, Inquirer]:
    """別紙1, by id. Reads a file."""
    text = importlib.resources.files("simulators.intermediate").joinpath("data", "inquirers.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["inquirers"]
    return {each["id"]: Inquirer(**each) for each in found}


class Network:
    """The network as the intermediate server sees it."""

    def __init__(self, salt: str) -> None:
        self._key = hmac.new(salt.encode(), b"renkei simulators information provision network", hashlib.sha256).digest()

    def processing_number(self, request: str, times: int = 0) -> str:
        """処理通番 for a request for a code: the same for the same request, so that a restart gives no second one."""
        return "P" + self._digest("processing-number", f"{request}/{times}")[:23].upper()

    def code(self, body: str, resident_record_code: str) -> str:
        """符号 of a person at one body."""
        return "F" + self._digest("code", f"{body}/{resident_record_code}")[:31].upper()

    def permission_list(self) -> frozenset[tuple[str, str, str]]:
        """照会許可用照合リスト: inquirer, work, item."""
        return frozenset((each.id, each.work, ITEM) for each in inquirers().values() if each.active)

    def permit(self, inquirer: str, key: bytes) -> Permit:
        """A permit for one inquiry of that body."""
        inquiry = secrets.token_hex(12)
        route = self.route(inquirer)
        return Permit(inquiry=inquiry, token=self._token(inquiry, route, key), route=route, key=key)

    def route(self, inquirer: str) -> str:
        """経路情報: where that body's intermediate server is."""
        return f"ipn/{self._digest('route', inquirer)[:12]}"

    def genuine(self, permit: Permit) -> bool:
        """Whether the network gave this permit, for this inquiry, route and key."""
        return hmac.compare_digest(permit.token, self._token(permit.inquiry, permit.route, permit.key))

    def _token(self, inquiry: str, route: str, key: bytes) -> str:
        return self._digest("permit", f"{inquiry}/{route}/{hashlib.sha256(key).hexdigest()}")

    def _digest(self, what: str, of: str) -> str:
        return hmac.new(self._key, f"{what}\x00{of}".encode(), hashlib.sha256).hexdigest()
