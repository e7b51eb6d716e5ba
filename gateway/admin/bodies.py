"""What comes in and goes out: request bodies checked by pydantic, values as JSON."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from gateway.admin.access import BASE
from gateway.admin.service import DeliveryView, HeldPage, MessageView, RequestStatus, RequestView, Seen, State
from gateway.admin.words import Language, what_next, why
from gateway.approvals.kinds import needs_two
from gateway.errors import InputRefused

MAX_BODY_BYTES = 3_000_000
"""Above the largest correction in base64."""


def _printable(text: str) -> str:
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError("holds control characters")
    return text


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500), AfterValidator(_printable)]
Digest = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){8,64}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


_Kind = TypeVar("_Kind", bound=Body)


class CommandBody(Body):
    """Every command names what its author saw (R13) and why it is given. The reason is kept as evidence: no personal data in it."""

    seen_state: str
    seen_digest: Digest
    reason: Reason

    def seen(self) -> Seen:
        """:raises InputRefused: not a status word."""
        try:
            state = State(self.seen_state)
        except ValueError as error:
            raise InputRefused("body-malformed", "not a status word", place="seen_state") from error
        return Seen(state=state, digest=bytes.fromhex(self.seen_digest))


class SearchBody(Body):
    """Whom to look for. In a body, since addresses end up in logs."""

    by: str
    value: SecretStr
    reason: Reason


class CorrectBody(CommandBody):
    content_base64: str

    def content(self) -> bytes:
        """:raises InputRefused: not base64, or empty."""
        try:
            content = base64.b64decode(self.content_base64, validate=True)
        except binascii.Error as error:
            raise InputRefused("body-malformed", "not base64", place="content_base64") from error
        if not content:
            raise InputRefused("body-malformed", "is empty", place="content_base64")
        return content


class SettleBody(CommandBody):
    took_effect: bool


class ApproveBody(Body):
    seen_digest: Digest


class ReasonBody(Body):
    reason: Reason


class AskBody(Body):
    """A request about something that is no delivery: what was seen of it, and why."""

    seen_digest: Digest
    reason: Reason


class RevealBody(AskBody):
    clear: bool = False


class ReleaseBody(ReasonBody):
    hours: Annotated[float, Field(ge=0, le=12)]


async def read_body(request: web.Request, kind: type[_Kind]) -> _Kind:
    """The JSON body of ``request``.

    :raises InputRefused: another content type (a form of a web page cannot send this one), malformed, or not as ``kind`` says.
    """
    if request.content_type != "application/json":
        raise InputRefused("content-type", "the body must be JSON (Content-Type: application/json)")
    try:
        text = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise InputRefused("body-too-large", f"the body is larger than {MAX_BODY_BYTES} bytes") from error
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "body"
        # The exception of pydantic is not chained: it may repeat what was sent.
        raise InputRefused("body-malformed", first["msg"].removeprefix("Value error, "), place=place) from None


def plain(value: Any) -> Any:
    """``value`` as JSON knows it: times in UTC with Z, digests in hexadecimal, enumerations by their word."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value


def delivery(view: DeliveryView, language: Language) -> dict[str, Any]:
    """A delivery with its state in words."""
    return {**plain(view), "why": why(view, language), "next": what_next(view, language)}


def held_page(page: HeldPage, language: Language) -> dict[str, Any]:
    return {"items": [delivery(view, language) for view in page.items], "next_after": page.next_after}


def message(view: MessageView, language: Language) -> dict[str, Any]:
    return {**plain(view), "deliveries": [delivery(each, language) for each in view.deliveries]}


def request_record(view: RequestView) -> dict[str, Any]:
    return {**plain(view), "approval_digest": view.approval_digest.hex(), "needs_two": needs_two(view.command)}


def recorded(view: RequestView) -> web.Response:
    """200 when it took effect, 202 while a second person is needed; the place where it is on record."""
    status = 202 if view.status is RequestStatus.WAITING else 200
    return answer(request_record(view), status=status, headers={"Location": f"{BASE}/requests/{view.request_id}"})


def answer(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer that nothing on the way keeps."""
    body = json.dumps(data, ensure_ascii=False).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers={"Cache-Control": "no-store", **(headers or {})})
