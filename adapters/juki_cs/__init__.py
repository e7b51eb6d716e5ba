"""The city CS of the Juki-net (市町村CS), and through it the national server, J-LIS and other municipalities.

The profile is this project's own; no conformity with the real city CS, whose specification is not public, is claimed.
"""

from adapters.juki_cs.adapter import JukiCsAdapter

__all__ = ["JukiCsAdapter"]
