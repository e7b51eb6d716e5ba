"""The city CS of the Juki-net (市町村CS): identity information goes there, and a result for each record comes back.

The profile is this project's own; no conformity with the real city CS, whose specification is not public, is claimed.
"""

from adapters.juki_cs.adapter import JukiCsAdapter

__all__ = ["JukiCsAdapter"]
