"""The embedded node: its folder, its neighbours, its death."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gateway.broker import EmbeddedNode, topology
from gateway.broker.admin import NodeAdmin
from gateway.broker.child import Child, port_taken
from gateway.broker.connection import session
from gateway.broker.installation import HOME_VARIABLE, find, parse_version
from gateway.broker.node_files import NodeFolder
from gateway.errors import BrokerUnavailable, ConfigurationError
from tests.support.broker import listeners, sockets_of, until

ROOT = Path(__file__).resolve().parents[2]


def processes_of(directory: Path) -> set[int]:
    """Processes whose environment or arguments name the folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue  # ended while we looked, or not ours
        if str(directory).encode() in text:
            found.add(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.invariant("I6")
def test_nothing_listens_beyond_loopback(broker_node: EmbeddedNode) -> None:
    inodes = set().union(*(sockets_of(pid) for pid in processes_of(broker_node.directory)))
    ours = {(address, port) for address, port, inode in listeners() if inode in inodes}
    assert broker_node.tls is not None
    assert {("127.0.0.1", broker_node.port), ("127.0.0.1", broker_node.tls.port)} <= ours
    assert len({port for _, port in ours}) == 4, "AMQP, TLS, distribution, port mapper"
    assert {address for address, _ in ours} <= {"127.0.0.1", "::1"}


@pytest.mark.slow
@pytest.mark.invariant("I5")
def test_secrets_are_readable_by_the_owner_only(broker_node: EmbeddedNode) -> None:
    directory = broker_node.directory
    assert directory.stat().st_mode & 0o077 == 0
    for name in (".erlang.cookie", "users.json", "definitions.json"):
        assert (directory / name).stat().st_mode & 0o077 == 0, name
    password = broker_node.endpoint().password
    assert password is not None
    for pid in processes_of(directory):
        text = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert password.encode() not in text
    assert password not in (directory / "definitions.json").read_text()


@pytest.mark.slow
async def test_the_folder_belongs_to_one_supervisor(broker_node: EmbeddedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.broker.node._LOCK_WAIT_S", 0.3)
    second = EmbeddedNode(broker_node.directory)
    with pytest.raises(ConfigurationError) as caught:
        await second.start()
    assert caught.value.code == "broker-folder-in-use"
    assert broker_node.running
    async with session(broker_node.endpoint(), name="still there"):
        pass


@pytest.mark.slow
async def test_two_nodes_side_by_side_stop_restart_and_leave_nothing(broker_node: EmbeddedNode, tmp_path: Path) -> None:
    """The second node has the same name, and neither disturbs the other; queues and port outlive a stop; revocation too."""
    node = EmbeddedNode(tmp_path / "second")
    await node.start()
    try:
        assert node.port != broker_node.port
        top = topology.build(systems=["register"], parties=["city-cs"])
        await topology.declare(node.endpoint(), top)
        await NodeAdmin(node).add_system("register")
        with pytest.raises(BrokerUnavailable):
            await topology.depth(broker_node.endpoint(), "work.city-cs.live")
        port, pid = node.port, node.pid
        await node.stop()
        assert not node.running
        assert not processes_of(node.directory)
        assert not port_taken(port)
        assert (node.folder.log / "node.log").exists()

        await NodeAdmin(node).revoke_system("register")
        # What a killed supervisor leaves: a stale pid file, a changed clock, nothing that may stop the start.
        (node.directory / "node.pid").write_text(str(pid))
        again = EmbeddedNode(tmp_path / "second")
        await again.start()
        node = again
        assert again.port == port
        assert (await topology.depth(again.endpoint(), "work.city-cs.live")).ready == 0
        assert await NodeAdmin(again).users() == ["gateway"]
        assert json.loads((again.directory / "node.json").read_text())["rabbitmq"] == ".".join(map(str, again.installation.version))
        async with session(broker_node.endpoint(), name="undisturbed"):
            pass
    finally:
        await node.stop()
    assert not processes_of(node.directory)


@pytest.mark.slow
async def test_the_node_dies_with_its_supervisor_and_starts_again(tmp_path: Path) -> None:
    """SIGKILL to the supervisor: the kernel ends node and port mapper, and the next start finds a free folder."""
    script = textwrap.dedent(
        """
        import asyncio, sys
        from gateway.broker import EmbeddedNode
        async def main():
            node = EmbeddedNode(sys.argv[1])
            starting = asyncio.create_task(node.start())
            while node.pid is None:
                await asyncio.sleep(0.01)
            print(node.pid, flush=True)
            await starting
        asyncio.run(main())
        """
    )
    directory = tmp_path / "orphan"
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert supervisor.stdout is not None
        line = await asyncio.to_thread(supervisor.stdout.readline)
        pid = int(line)
        await until(lambda: pid in processes_of(directory))
        os.kill(supervisor.pid, signal.SIGKILL)
    finally:
        supervisor.kill()
        supervisor.wait()
        supervisor.stdout.close() if supervisor.stdout else None
    await until(lambda: not processes_of(directory))
    folder = NodeFolder(directory)
    await until(folder.try_lock)
    folder.unlock()


@pytest.mark.slow
async def test_a_taken_port_is_named(broker_node: EmbeddedNode, tmp_path: Path) -> None:
    node = EmbeddedNode(tmp_path / "n", port=broker_node.port)
    with pytest.raises(ConfigurationError) as caught:
        await node.start()
    assert caught.value.code == "broker-port-taken"
    assert node.folder.try_lock(), "the lock was given back"
    node.folder.unlock()


@pytest.mark.slow
async def test_a_node_that_cannot_start_says_so(tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    node = EmbeddedNode(directory)
    directory.mkdir()
    (directory / "advanced.config").write_text("this is not Erlang")
    with pytest.raises(BrokerUnavailable) as caught:
        await node.start()
    assert caught.value.code == "broker-node-ended"
    assert not processes_of(directory)


@pytest.mark.slow
async def test_a_node_that_ended_by_itself_is_noticed_and_started_again(broker_node: EmbeddedNode) -> None:
    pid = broker_node.pid
    assert pid is not None
    assert not await broker_node.wait_ended(0.05)
    os.kill(pid, signal.SIGKILL)
    assert await broker_node.wait_ended(5)
    assert not broker_node.ready
    await broker_node.start()
    assert broker_node.ready
    assert broker_node.pid != pid


@pytest.mark.parametrize(
    ("wrote", "runs", "code"),
    [
        ("3.10.8", "3.10.8", None),
        ("3.10.8", "3.10.25", None),
        ("3.10.25", "3.10.8", None),
        ("3.10.8", "3.11.0", None),
        ("3.13.7", "4.1.0", None),
        ("3.11.0", "3.10.8", "broker-data-newer"),
        ("4.1.0", "3.13.7", "broker-data-newer"),
        ("3.10.8", "4.1.0", "broker-data-older"),
    ],
)
def test_a_folder_is_opened_only_by_a_version_that_can_read_it(tmp_path: Path, wrote: str, runs: str, code: str | None) -> None:
    folder = NodeFolder(tmp_path)
    folder.write_record(name="renkei@localhost", port=1, version=parse_version(wrote))
    if code is None:
        folder.check_version(parse_version(runs), name="renkei@localhost")
        return
    with pytest.raises(ConfigurationError) as caught:
        folder.check_version(parse_version(runs), name="renkei@localhost")
    assert caught.value.code == code
    assert wrote in caught.value.safe_detail


def test_a_folder_of_a_newer_gateway_or_another_node_is_refused(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    folder.write_record(name="other@localhost", port=1, version=(3, 10, 8))
    with pytest.raises(ConfigurationError) as caught:
        folder.check_version((3, 10, 8), name="renkei@localhost")
    assert caught.value.code == "broker-data-name"
    (tmp_path / "node.json").write_text(json.dumps({"format": 99, "rabbitmq": "3.10.8", "name": "other@localhost", "port": 1}))
    with pytest.raises(ConfigurationError) as caught:
        folder.check_version((3, 10, 8), name="other@localhost")
    assert caught.value.code == "broker-data-newer"
    (tmp_path / "node.json").write_text("{")
    with pytest.raises(ConfigurationError) as caught:
        folder.check_version((3, 10, 8), name="other@localhost")
    assert caught.value.code == "broker-data-damaged"


def test_another_installation_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugins" / "rabbit-4.1.2").mkdir(parents=True)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert find().version == (4, 1, 2)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError):
        find()


@pytest.mark.slow
async def test_a_child_is_killed_with_its_whole_group(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "sleep 1000 & sleep 1000"], env={"PATH": os.environ["PATH"]}, cwd=tmp_path, output=tmp_path / "out")
    await until(lambda: len(group(child.pid)) == 3)
    assert child.returncode is None
    child.kill()
    assert child.returncode == -signal.SIGKILL
    await until(lambda: not group(child.pid))


@pytest.mark.slow
async def test_a_childs_exit_status_is_known_before_it_is_reaped(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "exit 7"], env={"PATH": os.environ["PATH"]}, cwd=tmp_path, output=tmp_path / "out")
    assert await child.wait(10)
    assert child.returncode == 7
    child.kill()
    assert child.returncode == 7


def group(pid: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # ended while we looked
            if int(fields[2]) == pid:
                found.add(int(entry.name))
    return found
