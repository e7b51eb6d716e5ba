"""The residence card issuing system (在留カード等発行システム) of the Immigration Bureau."""

from adapters.immigration.adapter import ImmigrationAdapter

__all__ = ["ImmigrationAdapter"]
