"""Which of the messages sent on a channel the broker has confirmed, in plain integers.

The broker numbers what is published on a channel 1, 2, 3, … and confirms single numbers, in any order, or all up to one (``multiple``).
No object is kept for a message: ``low`` says that everything up to it is settled, ``ahead`` holds the settled numbers above it.
"""

from __future__ import annotations

from collections import deque


class ConfirmWindow:
    """Pure bookkeeping; not for several threads."""

    __slots__ = ("_marks", "ahead", "low", "sent")

    def __init__(self) -> None:
        self.sent = 0
        """The number of the last message sent."""
        self.low = 0
        self.ahead: set[int] = set()
        self._marks: deque[tuple[float, int]] = deque()

    @property
    def outstanding(self) -> int:
        return self.sent - self.low - len(self.ahead)

    def settle(self, tag: int, multiple: bool) -> int:
        """Note a confirm (or a refusal) and return how many messages it settled; 0 for what was settled or forgiven before."""
        low = self.low
        if tag <= low:
            return 0
        ahead = self.ahead
        if multiple:
            count = tag - low
            if ahead:
                kept = {other for other in ahead if other > tag}
                count -= len(ahead) - len(kept)
                self.ahead = ahead = kept
            low = tag
        elif tag == low + 1:
            count = 1
            low = tag
        elif tag in ahead:
            return 0
        else:
            ahead.add(tag)
            return 1
        while ahead and low + 1 in ahead:
            low += 1
            ahead.remove(low)
        self.low = low
        return count

    def overdue(self, now: float, timeout_s: float) -> int:
        """Call regularly. The highest number that was sent at least ``timeout_s`` seconds ago if one up to it is unsettled, else 0.

        A message is found overdue at the latest one call interval after its time.
        """
        marks = self._marks
        tag = 0
        while marks and now - marks[0][0] >= timeout_s:
            tag = marks.popleft()[1]
        if self.sent > (marks[-1][1] if marks else max(tag, self.low)):
            marks.append((now, self.sent))
        return tag if tag > self.low else 0

    def forgive(self, tag: int) -> int:
        """Give up waiting for all up to ``tag``; return how many that were. Their late confirms count for nothing."""
        return self.settle(tag, True)
