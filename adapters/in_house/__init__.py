"""Shared by the adapters of our own systems: messages by queue, final on the system's acknowledgement (R18)."""

from adapters.in_house.queue import InHouseAdapter

__all__ = ["InHouseAdapter"]
