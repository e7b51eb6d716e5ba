"""The register's own record: what it sent, written before it is sent, and what it was told, written before it acts on it.

A :class:`simulators.journal.Journal` with entries of these kinds:

* ``message``: id, resident (reference), update, abnormal, request, door, type, time, corrects; ``sealed``: the content of a replacement
  (that of all others follows from the source).
* ``receipt``: id, status (``accepted`` | ``refused``), accepted_at and message (the gateway's id) or code.
* ``status``: id, state, reason: what ``GET /v1/messages/{id}`` said.

It is the evidence of one side (:mod:`simulators.verdict`) and what a restarted register goes on from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulators.journal import Entry, Journal, Sync
from simulators.references import References, Vault
from simulators.register.messages import Door, Outgoing, outgoing


class RegisterRecord:
    """The record of one register. Belongs to the event loop."""

    def __init__(self, path: Path, *, vault: Vault, references: References, sync: Sync = "os") -> None:
        self._vault = vault
        self._references = references
        self._answers: dict[str, str] = {}
        """id → accepted | refused"""
        self._sent: set[str] = set()
        self._corrected: set[str] = set()
        self._abnormal: dict[str, int] = {}
        self._open_replacements: dict[str, Entry] = {}
        self.counts: dict[str, int] = {"submitted": 0, "accepted": 0, "refused": 0, "replacements": 0}
        self._journal = Journal(path, sync=sync, on_entry=self._note)

    def _note(self, entry: Mapping[str, Any]) -> None:
        message_id = entry["id"]
        if entry["kind"] == "message":
            self._sent.add(message_id)
            self.counts["submitted"] += 1
            if entry["abnormal"] is not None:
                self._abnormal[entry["resident"]] = max(entry["abnormal"], self._abnormal.get(entry["resident"], 0))
            if entry["corrects"] is not None:
                self._corrected.add(entry["corrects"])
                self._open_replacements[message_id] = dict(entry)
                self.counts["replacements"] += 1
        elif entry["kind"] == "receipt" and message_id not in self._answers:
            self._answers[message_id] = entry["status"]
            self._open_replacements.pop(message_id, None)
            self.counts[entry["status"]] += 1

    def _append(self, *entries: dict[str, Any]) -> None:
        self._journal.append(entries)
        for entry in entries:
            self._note(entry)

    def was_sent(self, message_id: str) -> bool:
        """Whether the message is in the record."""
        return message_id in self._sent

    def answer(self, message_id: str) -> str | None:
        """``accepted``, ``refused``, or ``None``: no receipt yet."""
        return self._answers.get(message_id)

    def was_corrected(self, message_id: str) -> bool:
        """Whether a replacement of the message is in the record."""
        return message_id in self._corrected

    def next_abnormal(self, resident: str) -> int:
        """The next 異常時更新順番号 of a resident."""
        return self._abnormal.get(resident, 0) + 1

    def unanswered_replacements(self) -> Iterator[Outgoing]:
        """Replacements without a receipt, from the record alone: to be sent again after a restart."""
        for entry in self._open_replacements.values():
            content = self._vault.unseal(entry["sealed"], entry["id"]).encode()
            yield outgoing(content, id=entry["id"], time=entry["time"], references=self._references, corrects=entry["corrects"])

    def sending(self, message: Outgoing, door: Door) -> None:
        """Before a message is sent for the first time; nothing happens at a further time."""
        if message.id in self._sent:
            return
        entry = {
            "kind": "message",
            "id": message.id,
            "resident": message.resident,
            "update": message.update,
            "abnormal": message.abnormal,
            "request": message.request,
            "door": door,
            "type": message.type,
            "time": message.time,
            "corrects": message.corrects,
        }
        if message.work is not None:
            entry["work"] = message.work
        if message.corrects is not None:
            entry["sealed"] = self._vault.seal(message.content.decode(), message.id)
        self._append(entry)

    def receipts(self, receipts: Sequence[Mapping[str, Any]]) -> None:
        """Receipts as they came, several with one write; one that is known already is left out."""
        self._append(*[_receipt(receipt) for receipt in receipts if receipt["id"] not in self._answers])

    def told(self, message_id: str, state: str, reason: str) -> None:
        """What the gateway says of a message."""
        self._append({"kind": "status", "id": message_id, "state": state, "reason": reason})

    def entries(self) -> list[Entry]:
        """All entries, for the verdict."""
        return self._journal.entries()

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


def _receipt(receipt: Mapping[str, Any]) -> dict[str, Any]:
    if receipt["status"] == "accepted":
        at, message = receipt["accepted_at"], receipt.get("message")
        return {"kind": "receipt", "id": receipt["id"], "status": "accepted", "accepted_at": at, "message": message}
    return {"kind": "receipt", "id": receipt["id"], "status": "refused", "code": receipt.get("code"), "rule": receipt.get("rule")}
