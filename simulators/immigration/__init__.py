"""The residence card issuing system (在留カード等発行システム): takes address notices, and has status notices in its mailbox."""

from simulators.immigration.party import Immigration

__all__ = ["Immigration"]
