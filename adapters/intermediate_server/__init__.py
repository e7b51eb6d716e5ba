"""The intermediate server (中間サーバー) of the information provision network, by way of LGWAN.

The profile is this project's own; no conformity with a restricted specification is claimed.
"""

from adapters.intermediate_server.adapter import IntermediateServerAdapter

__all__ = ["IntermediateServerAdapter"]
