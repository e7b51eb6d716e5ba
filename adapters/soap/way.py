"""One outbound operation of a profile, compiled: what its requests are made of, and how a record comes into one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

from adapters.soap.operation import Wsdl
from adapters.soap.signed_template import SignedRecord, compile_signed_records
from adapters.soap.template import attributes_of, compile_records
from gateway.contract import Envelope, Question
from gateway.security.soap.messages import MessageSecurity
from gateway.security.soap.signing import canonical
from message_formats import catalogue, profiles, reading, schemas, wsdl_text
from message_formats.errors import FormatError
from message_formats.profiles import Operation, Profile

PREFIX = "j"
"""Of the profile's namespace in our requests."""


@cache
def wsdl(profile: Profile) -> Wsdl:
    """The WSDL of a profile, read once for each process; of one that is not packaged, made of it. Reads files: not on an event loop."""
    name = profile.profile
    made = None if profiles.packaged(profile) else {f"{name}.wsdl": wsdl_text.wsdl(profile), f"{name}.xsd": wsdl_text.schema(profile)}
    return Wsdl(schemas.wsdl_path(name), prefixes={PREFIX: profile.namespace}, made=made)


class Way:
    """How records of one message type go to the party."""

    def __init__(self, profile: Profile, operation: Operation, *, to: str) -> None:
        """``to``: the party's logical address (wsa:To)."""
        self.operation = operation
        self._kind = catalogue.get(operation.type)
        self._validate = schemas.validator(operation.type)
        described = wsdl(profile).operation(operation.name)
        self.actions, self.answer_tag, self.headers = described.answer_actions, described.answer_tag, described.http_headers
        filled = ("digest",) if operation.digest else ()
        names = {"to": to, "record": "Record", "identifier": "deliveryId", "element": self._kind.root}
        many = operation.records > 1
        self._plain = compile_records(described, many=many, filled=filled, **names)
        self._signed = compile_signed_records(described, many=many, filled=filled, **names)

    def record(self, given: Envelope | Question, *, signed: bool) -> SignedRecord:
        """A record's element as bytes that may stand inside an envelope: the very bytes that came, without a declaration, not one of them
        read and written anew (C-3-5-6).

        :raises FormatError: it is not a valid record, or not that of this delivery; it must not be sent.
        """
        root = reading.parse(given.content)
        self._validate(root)
        key = self._kind.party_key_item
        if isinstance(given, Envelope) and key is not None and root.findtext(f"{{{self._kind.schema}}}{key}") != given.party_key:
            raise FormatError("party-key-differs", f"/{self._kind.root}/{key}", "R4", "the record bears another key than its delivery")
        element = reading.in_utf8(given.content).strip()
        more = {}
        if self.operation.digest:
            more["digest"] = hashlib.sha256(element).hexdigest()
        if given.municipality is not None:
            if not self.operation.addressed:
                raise FormatError("not-addressed", "-", "profile", "this operation goes to no municipality")
            more["municipality"] = given.municipality
        identifier = given.delivery_id if isinstance(given, Envelope) else given.dialogue_id
        form = canonical(root) if signed else b""
        return SignedRecord(identifier=identifier, element=element, canonical=form, attributes=attributes_of(more))

    async def request(self, message_id: str, records: Sequence[SignedRecord], security: MessageSecurity | None) -> bytes:
        """The request; :raises CallNotPrepared: it cannot be signed or encrypted now."""
        if security is not None:
            return await security.request(lambda: self._signed.build(message_id, records, security))
        return self._plain.build(message_id, ((each.identifier, each.element) for each in records), (each.attributes for each in records))
