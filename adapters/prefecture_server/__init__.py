"""The prefecture server (都道府県サーバ), where the gateway carries that leg itself (``legs.prefecture-server: gateway``).

The profile is this project's own; no conformity with a restricted specification is claimed.
"""

from adapters.prefecture_server.adapter import PrefectureServerAdapter

__all__ = ["PrefectureServerAdapter"]
