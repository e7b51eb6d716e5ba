"""The family register system (戸籍システム): asked while a certificate of the family register is made (F5-2)."""

from adapters.family_register.adapter import FamilyRegisterAdapter

__all__ = ["FamilyRegisterAdapter"]
