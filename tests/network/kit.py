"""A gateway between our own systems, the intermediate server and the city CS, all real: broker, ledger, TLS, signatures, encryption.

The simulated parties and our systems' ends run inside the test's process. All persons are fictitious.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from message_formats import samples, writing
from simulators.harness.processes import free_ports
from simulators.harness.town import REGISTER, Plan
from simulators.intermediate.party import IntermediateServer
from simulators.intermediate.service import IntermediateSettings, serving_intermediate
from simulators.juki_cs.party import JukiCs
from simulators.juki_cs.service import JukiCsSettings, serving_city_cs
from simulators.settings import read_settings
from tests.in_house.kit import RETRY, InHouse, set_up
from tests.support.data import read_yaml

SERVER, ATENA, LINK = "intermediate-server", "atena-system", "internal-link-system"
POPULATION = 40


def number(serial: int) -> str:
    """団体内統合宛名番号."""
    return f"99{serial:012d}"


def registration(serial: int) -> bytes:
    return writing.write("atena-number-registration", {"integrated_atena_number": number(serial)}).to_bytes()


def replica(serial: int, head: str = "見本　例太") -> bytes:
    items = {"integrated_atena_number": number(serial), "household_items/head_name": head, "household_items/relationship": "世帯主"}
    return writing.write("provision-replica-update", items).to_bytes()


def deletion(serial: int) -> bytes:
    """A replica without items: it is to be deleted."""
    return writing.write("provision-replica-update", {"integrated_atena_number": number(serial)}).to_bytes()


def request(serial: int) -> bytes:
    return writing.write("code-acquisition-request", {"integrated_atena_number": number(serial)}).to_bytes()


def pair(processing_number: str, individual_number: str) -> bytes:
    items = {"processing_number": processing_number, "individual_number": individual_number}
    return writing.write("code-acquisition-number-pair", items).to_bytes()


def linkage(serial: int, **changes: str | None) -> bytes:
    """Atena number, Individual Number and integrated number of a person are bound (FS5-4)."""
    items = {
        **samples.items("atena-linkage-update", serial),
        "business_identifier[1]/system": ATENA,
        "business_identifier[1]/number": number(serial),
        **changes,
    }
    return writing.write("atena-linkage-update", items).to_bytes()


class Line:
    """Both ends of the gateway, and what is behind them."""

    def __init__(self, house: InHouse, server: IntermediateServer, cs: JukiCs) -> None:
        self.house, self.server, self.cs = house, server, cs

    async def send(self, system: str, kind: str, content: bytes, **attributes: str) -> Mapping[str, Any]:
        return await self.house.send(system, kind, content, **attributes)

    async def delivered(self, system: str, kind: str, content: bytes, party: str = SERVER, **attributes: str) -> Any:
        """Handed in and through; its row."""
        receipt = await self.send(system, kind, content, **attributes)
        assert receipt["status"] == "accepted", receipt
        return await self.house.until_state(receipt["id"], party, "delivered")

    async def known(self, *serials: int) -> None:
        """These are linked, registered and have a replica."""
        for serial in serials:
            await self.delivered(LINK, "atena-linkage-update", linkage(serial), ATENA)
            await self.delivered(ATENA, "atena-number-registration", registration(serial))
            await self.delivered(LINK, "provision-replica-update", replica(serial))

    def taken(self, operation: str) -> list[dict[str, Any]]:
        """What took effect at the intermediate server."""
        found = self.server.journal.entries(0, 100_000)
        return [each for each in found if each["kind"] == "taken" and each["operation"] == operation]


def configure(house: InHouse, *, encrypted: bool = True, **more: Any) -> tuple[Path, int]:
    """Add the intermediate server to the configuration; returns its settings file and the port of our listener."""
    town, folder = house.town, house.town.certificates
    config = read_yaml(town.config.read_text())
    party, listener, control = free_ports(3)
    systems = config["intake"]["systems"]
    systems[ATENA] = {
        "peer": ATENA,
        "types": ["atena-number-registration", "code-acquisition-request", "code-acquisition-number-pair"],
    }
    systems[LINK]["types"] = [*systems[LINK]["types"], "provision-replica-update"]
    systems[REGISTER]["types"] = [*systems[REGISTER]["types"], "code-acquisition-number-pair", "provision-replica-update"]
    trust = {"ca": str(folder / "lgwan-ca.pem"), "crl": str(folder / "lgwan-ca.crl")}
    config["certificates"]["trust"]["lgwan"] = trust
    config["parties"][SERVER] = {
        "adapter": "intermediate_server",
        "url": f"https://127.0.0.1:{party}",
        "peer": SERVER,
        "trust": "lgwan",
        "certificate": "gateway-lgwan",
        "signatures": {"certificate": "gateway-lgwan-signing", "partner": "intermediate-server-signing"},
        "retry": dict(RETRY),
        "inbound": {"port": listener},
        **({"encryption": {"certificate": "gateway-lgwan-encryption", "partner": "intermediate-server-encryption"}} if encrypted else {}),
    }
    config.update(more)
    town.config.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    settings = {
        "port": party,
        "control_port": control,
        "token_file": str(town.folder / f"{SERVER}.token"),
        "certificate": str(folder / f"{SERVER}.pem"),
        "key": str(folder / f"{SERVER}.key"),
        **trust,
        "caller": "CN=gateway-lgwan",
        "signing_certificate": str(folder / f"{SERVER}-signing.pem"),
        "signing_key": str(folder / f"{SERVER}-signing.key"),
        "caller_signing_certificate": str(folder / "gateway-lgwan-signing.pem"),
        **(
            {
                "encryption_key": str(folder / f"{SERVER}-encryption.key"),
                "caller_encryption_certificate": str(folder / "gateway-lgwan-encryption.pem"),
            }
            if encrypted
            else {}
        ),
        "gateway_url": f"https://127.0.0.1:{listener}",
        "journal": str(town.folder / f"{SERVER}.jsonl"),
        "salt_file": str(town.salt_file),
        "seed": 7,
    }
    file = town.folder / f"{SERVER}.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file, listener


@contextlib.asynccontextmanager
async def running(folder: Path, *, population: int = POPULATION, **more: Any) -> AsyncIterator[Line]:
    """All of it."""
    house = set_up(folder, plan=Plan(workers=1, acknowledge_s=2.0, retry=RETRY, population=population))
    file, _ = configure(house, **more)
    house.town.city_cs()  # only its settings: it runs here
    cs_settings = read_settings(JukiCsSettings, folder.resolve() / "city-cs.yaml", {})
    async with (
        house.town,
        serving_intermediate(read_settings(IntermediateSettings, file, {})) as (server, _, _),
        serving_city_cs(cs_settings) as (cs, _, _),
    ):
        cs.outbox.neighbours[SERVER] = server.pass_on
        house.town.gateway().start()
        await house.town.gateway_ready(90)
        await house.open(REGISTER, ATENA)
        yield Line(house, server, cs)
        await house.close()
