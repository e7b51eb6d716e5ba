"""The resident record system (住民記録システム): what comes in for it goes to its own queue, and is final when it has acknowledged it."""

from adapters.core_register.adapter import CoreRegisterAdapter

__all__ = ["CoreRegisterAdapter"]
