"""What other municipalities know of what passed between them and our city, by the code of each. No personal data: references only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from simulators.journal import Entry

RECEIVED = {
    "SendMoveInNotice": "move_in_notices",
    "RequestMoveOutCertificate": "move_out_requests",
    "SendFamilyRegisterSupplement": "supplements",
}
CERTIFICATES = "move_out_certificates"
NOT_AVAILABLE = "move_out_certificates_not_available"


class Municipalities:
    """Who has what."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.silent: set[str] = set()
        """Those that take what they are asked and never answer."""

    def learn(self, operation: str, entry: Entry) -> None:
        """Take over what a municipality received."""
        kind = RECEIVED.get(operation)
        if kind is not None and "municipality" in entry:
            self._held[entry["municipality"]][kind].append(entry["resident"])

    def recover(self, entry: Entry) -> None:
        """Take over what it asked for and was given, and whether it answers."""
        if entry["kind"] == "municipality-asked":
            kind = CERTIFICATES if entry["provided"] else NOT_AVAILABLE
            self._held[entry["municipality"]][kind].append(entry["resident"])
        elif entry["kind"] == "municipality-mode":
            (self.silent.add if entry["silent"] else self.silent.discard)(entry["municipality"])

    def has(self, municipality: str, kind: str, reference: str) -> bool:
        """Whether it has something of that kind about that person."""
        return reference in self._held[municipality][kind]

    def forget(self) -> None:
        """Nothing passed yet."""
        self._held.clear()
        self.silent.clear()

    def shown(self) -> Mapping[str, Any]:
        """Counts by municipality and kind."""
        return {code: {kind: len(found) for kind, found in kinds.items() if found} for code, kinds in sorted(self._held.items())}
