"""The card management system of J-LIS (個人番号カード管理システム), where the gateway carries that leg itself.

The profile is this project's own; no conformity with a restricted specification is claimed.
"""

from adapters.card_management.adapter import CardManagementAdapter

__all__ = ["CardManagementAdapter"]
