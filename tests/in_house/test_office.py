"""The simulated systems as one process: queue, REST and files at once; their control API; nothing of the gateway is imported by them."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from gateway.policy.loading import packaged_text
from message_formats import samples
from simulators.harness.town import REGISTER
from tests.in_house.kit import FILES, FILES_WORK, ISSUER, PULL, PULL_WORK, QUEUES, SENDERS, InHouse
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LINK, TRANSFER = "internal-link-system", "resident-info-transfer"


class Control:
    """The control API of the process."""

    def __init__(self, house: InHouse) -> None:
        self._folder = house.town.folder

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        port = json.loads((self._folder / "office.ready").read_text())["control_port"]
        known = (self._folder / "office.token").read_text().strip() if token is None else token
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            given = None if body is None else json.dumps(body)
            connection.request(method, f"/_sim/{path}", given, {"Authorization": f"Bearer {known}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
async def office(house: InHouse, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[InHouse, Control]]:
    """Every account in one process, with the sample approvals."""
    file = tmp_path_factory.mktemp("approvals") / "approvals.yaml"
    file.write_text(packaged_text("approvals-sample.yaml"), encoding="utf-8")
    await house.close()
    await house.apply(file)
    folder, town = house.town.folder, house.town

    def identity(name: str) -> dict[str, str]:
        return {"account": name, "certificate": str(town.certificates / f"{name}.pem"), "key": str(town.certificates / f"{name}.key")}

    accounts: list[dict[str, Any]] = [
        {**identity(name), "system": system, "channel": "queue", "own_keys": [str(folder / f"{name}.jwk")]}
        for name, (_, system, _) in QUEUES.items()
    ]
    accounts += [{**identity(name), "system": name} for name in SENDERS if name not in QUEUES]
    secret = {"secret_file": str(folder / f"{PULL}.secret"), "business_id": "B08", "types": [TRANSFER]}
    accounts.append({**identity(PULL), "system": "business-systems", "channel": "pull", **secret})
    accounts.append({**identity(FILES), "system": "business-systems", "channel": "files", "directory": str(folder / FILES)})
    settings = {
        "accounts": accounts,
        "ca": str(town.certificates / "ca.pem"),
        "crl": str(town.certificates / "ca.crl"),
        "broker_port": town.ports.broker_tls,
        "intake_url": f"https://127.0.0.1:{town.ports.https}",
        "pull_url": f"https://127.0.0.1:{house.pull_port}",
        "issuer": ISSUER,
        "journals": str(folder / "office"),
        "salt_file": str(town.salt_file),
        "every_s": 0.2,
        "token_file": str(folder / "office.token"),
        "ready_file": str(folder / "office.ready"),
    }
    (folder / "office.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    child = town.processes.python(
        "office", "simulators.in_house", "--config", str(folder / "office.yaml"), ready_file=folder / "office.ready"
    )
    child.start()
    await child.wait_ready(60)
    yield house, Control(house)
    await child.stop()


async def test_every_channel_is_played_and_what_was_received_is_shown_without_anybody_in_it(office: tuple[InHouse, Control]) -> None:
    house, control = office
    sent = []
    for work, account in (("transfer-2", "welfare-account"), (PULL_WORK, PULL), (FILES_WORK, FILES), ("transfer-9", "tax-system")):
        what = {"account": LINK, "type": TRANSFER, "serial": 91, "attributes": {"work": work}}
        status, receipt = control.call("POST", "emit", what)
        assert (status, receipt["status"]) == (200, "accepted"), receipt
        sent.append((receipt["id"], account))
    for source, account in sent:
        await house.until_state(source, account, "delivered")
    _, received = control.call("GET", "received?limit=1000")
    by_account = {each["account"] for each in received["received"] if each["kind"] == "effect"}
    assert {account for _, account in sent} <= by_account
    text = json.dumps(received, ensure_ascii=False)
    for value in samples.message(TRANSFER, 91).items.values():
        assert value is None or len(value) < 8 or value not in text


async def test_faults_state_and_reset(office: tuple[InHouse, Control]) -> None:
    house, control = office
    assert control.call("GET", "state", token="wrong")[0] == 401
    assert control.call("POST", "emit", {"account": "nobody"})[0] == 400
    assert control.call("POST", "faults", {"account": LINK, "kind": "strange"})[0] == 400
    assert control.call("POST", "faults", {"account": LINK, "kind": "away"})[0] == 201
    _, receipt = control.call("POST", "emit", {"account": REGISTER, "type": "resident-change-notification", "serial": 92})
    assert control.call("GET", "state")[1][LINK]["away"] is True
    assert house.deliveries(receipt["id"])[LINK]["state"] != "delivered"
    assert control.call("DELETE", "faults")[1] == {"cleared": 1}
    await house.until_state(receipt["id"], LINK, "delivered")
    before = control.call("GET", "state")[1][LINK]["counts"]["effect"]
    assert before >= 1
    assert control.call("POST", "reset")[1] == {"reset": True}
    assert control.call("GET", "state")[1][LINK]["counts"] == {}
    await until(lambda: bool(control.call("GET", "state")[1][LINK]["ready"]))
