"""``renkei network``: the link with the information provision network: what the intermediate server says of itself, codes to come."""

from __future__ import annotations

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json
from gateway.cli.support import load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t


def network(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """The link, as it stands."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("network")
    if as_json:
        show_json(found)
        return
    said = found["operating_status"] or t("network.nothing-said")
    say(t("network.operating", status=said, since=local_time(found["operating_since"]) or "–"))
    say(t("network.numbers", linked=found["linked"], registered=found["registered"]))
    headings = [t("network.state"), t("network.count")]
    show_table(headings, [[t(f"network.{state}"), count] for state, count in found["acquisitions"].items()])
    say(t("network.overdue", count=found["overdue"]))
    if found["oldest_overdue"]:
        rows = [
            [each["message_id"], t(f"network.{each['state']}"), local_time(each["asked_at"]), local_time(each["due_at"])]
            for each in found["oldest_overdue"]
        ]
        show_table([t("network.message"), t("network.state"), t("network.asked-at"), t("network.due-at")], rows)
