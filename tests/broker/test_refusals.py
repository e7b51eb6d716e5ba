"""What the broker refuses is on record like what our own listeners refuse, read from its log (I6, I8, C-2-5-2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.broker.refusals import BrokerRefusals, Found, read

pytestmark = [pytest.mark.invariant("I8"), pytest.mark.control("C-2-5-2")]
LOG = """\
2026-11-23 13:03:24.944702+00:00 [info] <0.763.0> accepting AMQP connection <0.763.0> (127.0.0.1:54916 -> 127.0.0.1:53897)
2026-11-23 13:03:24.947394+00:00 [error] <0.763.0> Error on AMQP connection <0.763.0> (192.0.2.7:54916 -> 192.0.2.1:5671, state: starting):
2026-11-23 13:03:24.947394+00:00 [error] <0.763.0> EXTERNAL login refused: user 'operator-a' - invalid credentials
2026-11-23 13:03:24.973717+00:00 [error] <0.781.0> Channel error on connection <0.772.0> (192.0.2.8:54932 -> 192.0.2.1:5671, vhost: 'renkei', user: 'atena-system'), channel 1:
2026-11-23 13:03:24.973717+00:00 [error] <0.781.0> operation basic.get caused a channel exception access_refused: access to queue 'work.city-cs.live' in vhost 'renkei' refused for user 'atena-system'
2026-11-23 13:03:26.250912+00:00 [notice] <0.822.0> TLS server: In state wait_cert at ssl_handshake.erl:2111 generated SERVER ALERT: Fatal - Unknown CA
2026-11-23 13:03:26.250912+00:00 [notice] <0.822.0>
2026-11-23 13:03:26.305397+00:00 [notice] <0.828.0> TLS server: In state wait_cert at ssl_handshake.erl:2113 generated SERVER ALERT: Fatal - Handshake Failure
2026-11-23 13:03:26.305397+00:00 [notice] <0.828.0>  - {bad_cert,invalid_ext_key_usage}
2026-11-23 13:03:27.813188+00:00 [notice] <0.861.0> TLS server: In state wait_cert at ssl_handshake.erl:2104 generated SERVER ALERT: Fatal - Certificate Revoked
2026-11-23 13:03:27.813188+00:00 [notice] <0.861.0>
"""  # noqa: E501 as RabbitMQ 3.10 writes it


class Notes(list[dict[str, Any]]):
    def note(self, **what: Any) -> None:
        self.append(what)


def test_what_the_log_says() -> None:
    assert list(read(LOG)) == [
        Found(code="login-refused", address="192.0.2.7", user="operator-a"),
        Found(code="access-refused", address="192.0.2.8", user="atena-system"),
        Found(code="issuer-unknown"),
        Found(code="wrong-purpose"),
        Found(code="revoked"),
    ]


def test_each_is_noted_once_over_restarts_and_rotation_and_strangers_names_are_not(tmp_path: Path) -> None:
    file, notes = tmp_path / "node.log", Notes()
    follower = BrokerRefusals(file, notes, ["atena-system"])
    assert follower.look() == 0
    lines = LOG.splitlines(keepends=True)
    for line in lines[:-3]:  # as it is written
        with file.open("a") as log:
            log.write(line)
        follower.look()
    assert [each["code"] for each in notes] == ["login-refused", "access-refused", "issuer-unknown"]
    assert [each["who"] for each in notes] == ["", "atena-system", ""]
    assert {each["place"] for each in notes} == {"broker"}
    again = BrokerRefusals(file, notes, ["atena-system"])
    assert again.look() == 0, "after a restart of this process"
    with file.open("a") as log:
        log.write(lines[-3])
    file.rename(tmp_path / "node.log.0")
    file.write_text("".join(lines[-2:]))
    assert again.look() == 2
    assert [each["code"] for each in notes][3:] == ["wrong-purpose", "revoked"]
