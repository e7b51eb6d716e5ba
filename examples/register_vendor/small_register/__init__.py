"""A small fictitious resident register. Standard library only."""

from small_register.register import Refused, Resident, SmallRegister

__all__ = ["Refused", "Resident", "SmallRegister"]
