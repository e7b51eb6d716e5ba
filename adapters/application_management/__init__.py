"""The application management system (申請管理システム), with the portal behind it."""

from adapters.application_management.adapter import ApplicationManagementAdapter

__all__ = ["ApplicationManagementAdapter"]
