"""Sections of the configuration about what is expected when, and how long an update may be under way (FM-1, C-1-7-8)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.config_values import MOMENT_OF_DAY, Seconds, Section, SpecId


class Feed(Section):
    """Messages that are expected at certain times: that they do not come is an anomaly."""

    party: SpecId = Field(
        description="Who they come from: a party that is fetched from (its fetch must be given), or whoever hands them in."
    )
    type: SpecId | None = Field(default=None, description="The message type that is handed in. Left out: what is fetched from the party.")
    at: Annotated[str, StringConstraints(pattern=MOMENT_OF_DAY)] | None = Field(
        default=None, description="HH:MM each day, or *:MM each hour, in Japan. Default, for what is fetched: as parties.PARTY.fetch.at."
    )
    days: Literal["every", "business"] = Field(default="every", description="business: on business days only (retention.holidays).")
    grace_s: Seconds = Field(default=3600.0, description="How long after that time it may come before it is late.")
    empty: Literal["allowed", "anomaly"] = Field(default="allowed", description="For what is fetched: whether nothing may have been there.")

    @model_validator(mode="after")
    def _when(self) -> Self:
        if self.type is not None and self.at is None:
            raise ValueError("at is needed for messages that are handed in")
        if self.type is not None and self.empty == "anomaly":
            raise ValueError("empty is for what is fetched: leave it out")
        return self


class Links(Section):
    """How long a delivery may be under way before the update of a link counts as not completed (C-1-7-8)."""

    lag_s: Seconds = Field(default=1800.0, description="For all parties that are not named below.")
    parties: dict[SpecId, Seconds] = Field(default={}, description="For single parties: the internal link, the intermediate server, ...")
    look_s: Seconds = Field(default=15.0, description="How often feeds and links are looked at.")
