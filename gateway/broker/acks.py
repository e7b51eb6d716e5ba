"""Which deliveries of a channel are settled, and the fewest acks that say so.

The broker numbers the deliveries of a channel 1, 2, 3, …; an ack may name one, or (``multiple``) all up to one. A number that is acked
twice closes the channel, and so does a ``multiple`` that names a number which is already settled: both are kept from happening here.
"""

from __future__ import annotations


class AckWindow:
    """Pure bookkeeping; not for several threads."""

    __slots__ = ("_done", "_low", "_settled", "delivered")

    def __init__(self) -> None:
        self.delivered = 0
        """The number of the last delivery."""
        self._low = 0
        """Everything up to it is settled at the broker."""
        self._done: set[int] = set()
        """Acked by the caller and not yet told to the broker; above ``_low``."""
        self._settled: set[int] = set()
        """Settled at the broker one by one; above ``_low``."""

    @property
    def unacked(self) -> int:
        """Deliveries that the caller has not settled."""
        return self.delivered - self._low - len(self._done) - len(self._settled)

    @property
    def untold(self) -> int:
        """Acks that the broker has not been told."""
        return len(self._done)

    def is_open(self, tag: int) -> bool:
        return tag > self._low and tag not in self._done and tag not in self._settled and tag <= self.delivered

    def ack(self, tag: int) -> bool:
        """Note an ack. False if the delivery was settled before."""
        if not self.is_open(tag):
            return False
        self._done.add(tag)
        return True

    def ack_up_to(self, tag: int) -> int:
        """Note acks for all up to ``tag``; return how many were open."""
        fresh = [one for one in range(self._low + 1, min(tag, self.delivered) + 1) if self.is_open(one)]
        self._done.update(fresh)
        return len(fresh)

    def refuse(self, tag: int) -> bool:
        """Note that the delivery is being rejected singly. False if it was settled before."""
        if not self.is_open(tag):
            return False
        self._settled.add(tag)
        return True

    def take(self) -> tuple[int, list[int]]:
        """What to tell the broker now: a number for a ``multiple`` ack (0 for none) and numbers to ack singly."""
        low, multiple = self._low, 0
        while True:
            following = low + 1
            if following in self._done:
                self._done.remove(following)
                multiple = following
            elif following in self._settled:
                self._settled.remove(following)
            else:
                break
            low = following
        self._low = low
        singles = sorted(self._done)
        self._settled.update(singles)
        self._done.clear()
        return multiple, singles
