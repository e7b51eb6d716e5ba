"""The application management system (申請管理システム) with the portal behind it: applications of fictitious citizens, signed by them."""

from simulators.applications.party import ApplicationManagement

__all__ = ["ApplicationManagement"]
