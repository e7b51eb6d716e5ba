"""Address notices to the Immigration Bureau (市町村通知), and its daily notices from the mailbox (法務省通知).

No Individual Number goes either way: the types have no item for it, the schemas are closed, and what passes for one in a free text is
stopped before it comes here (``message_formats/guard.py``); the last look is taken here, whatever was waived before (C-1-3-10).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from lxml import etree

from adapters.mailbox import codes
from adapters.mailbox.adapter import MailboxAdapter
from gateway.contract import DropsDuplicates, Envelope, FetchedRecord, Limits, Manifest, Remembers
from message_formats import guard, reading
from message_formats.errors import FormatError

PARTY = "residence-card-issuance-system"
ADDRESS_NOTICE = "residence-address-notice"
STATUS_NOTICE = "residence-status-notice"


class ImmigrationAdapter(MailboxAdapter):
    """See the module's text."""

    prefix: ClassVar[str] = "/mailbox"
    manifest: ClassVar[Manifest] = Manifest(
        name="immigration",
        party=PARTY,
        description_en="Residence card issuing system: address notices out, residence status notices from its mailbox",
        description_ja="在留カード等発行システム：市町村通知の送信、法務省通知の取得（メールボックス）",
        message_types=(ADDRESS_NOTICE,),
        fetches=(STATUS_NOTICE,),
        # its mailbox drops a record that it has, by the id of the delivery, for a month
        duplicates=DropsDuplicates(key="delivery-id", remembers=Remembers.EFFECTS, memory_s=30 * 86400.0),
        settle_s=30.0,
        limits=Limits(calls=4, records_per_call=50, call_s=30.0),
    )

    def outgoing(self, envelope: Envelope) -> etree._Element:
        """See :meth:`MailboxAdapter.outgoing`; in the Bureau's codes."""
        message = reading.read(envelope.content, expected=ADDRESS_NOTICE)
        guard.check(message)
        codes.to_party(message.root, ADDRESS_NOTICE, PARTY)
        return message.root

    def incoming(self, record: FetchedRecord) -> FetchedRecord:
        """See :meth:`MailboxAdapter.incoming`; in our codes."""
        try:
            root = reading.parse(record.content)
            codes.from_party(root, STATUS_NOTICE, PARTY)
        except FormatError as error:
            return dataclasses.replace(record, problem=error.code)
        return dataclasses.replace(record, content=etree.tostring(root, encoding="UTF-8", xml_declaration=False))
