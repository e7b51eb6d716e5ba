"""Administration of the embedded node through ``rabbitmqctl``: users, alarms, connections.

Each call starts an Erlang machine and takes one to two seconds: for operators and tests, not for the way of a message. Passwords go
through standard input or the definitions file, never through arguments, which every process of the machine can read.
"""

from __future__ import annotations

import asyncio
import re
import secrets

from gateway.broker.node import VHOST, EmbeddedNode
from gateway.broker.node_files import GATEWAY_USER, user_permissions
from gateway.errors import BrokerUnavailable, ConfigurationError

_TIMEOUT_S = 30.0


class NodeAdmin:
    """Acts on one running embedded node."""

    def __init__(self, node: EmbeddedNode) -> None:
        self._node = node

    async def control(self, *arguments: str, stdin: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Run ``rabbitmqctl`` against this node and return what it printed.

        :raises BrokerUnavailable: it failed or took too long; the beginning of its complaint is in the error.
        """
        process = await asyncio.create_subprocess_exec(
            self._node.installation.program("rabbitmqctl"),
            "--quiet",
            *arguments,
            env=self._node.control_environment(),
            cwd=self._node.directory,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, complaint = await process.communicate(stdin.encode() if stdin is not None else None)
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise BrokerUnavailable("broker-control-timeout", f"rabbitmqctl {arguments[0]} took more than {timeout_s:g} s") from error
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            text = re.sub(r"\x1b\[[0-9;]*m", "", (complaint or out).decode("utf-8", "replace"))
            raise BrokerUnavailable("broker-control-failed", f"rabbitmqctl {arguments[0]}: {' '.join(text.split())[:200]}")
        return out.decode("utf-8", "replace")

    # --- users

    async def add_system(self, system: str, *, certificate_only: bool = False) -> str | None:
        """Create the user of a sending system (or give it a new password) with its permissions, effective at once.

        :param certificate_only: no password; the system logs in with a client certificate whose CN is its name.
        :return: the password, generated; it is also in the node's folder.
        :raises ConfigurationError: not a name of a system.
        """
        password = None if certificate_only else secrets.token_urlsafe(32)
        await self._put_user(system, password)
        return password

    async def rotate_gateway_password(self) -> None:
        """Give the gateway's own user a new password. Open connections stay; new ones use :meth:`EmbeddedNode.endpoint` anew."""
        await self._put_user(GATEWAY_USER, secrets.token_urlsafe(32))

    async def revoke_system(self, system: str) -> None:
        """Delete a system's user and close its connections. If the node does not run (or stops half-way), that happens at its next
        start, before which the user can neither log in nor do anything.

        :raises ConfigurationError: the gateway's own user.
        """
        if system == GATEWAY_USER:
            raise ConfigurationError("broker-user-own", "the gateway's own broker user cannot be revoked")
        user_permissions(system)
        self._node.folder.mark_revoked(system)
        if not self._node.running:
            return
        if system in await self.users():
            await self.control("delete_user", system)
        await self.control("close_all_user_connections", system, "revoked")
        self._node.folder.drop_user(system)

    async def finish_revocations(self) -> None:
        """Delete what was revoked while the node was not running. The node calls it when it has started."""
        for name, entry in self._node.folder.users().items():
            if entry["revoked"]:
                await self.revoke_system(name)

    async def users(self) -> list[str]:
        """Names of the users that the broker knows."""
        table = await self.control("list_users", "--no-table-headers")
        return [line.split()[0] for line in table.splitlines() if line.strip()]

    async def permissions(self, user: str) -> tuple[str, str, str]:
        """(configure, write, read) of a user in the virtual host.

        :raises BrokerUnavailable: it has none.
        """
        table = await self.control("list_permissions", "--vhost", VHOST, "--no-table-headers")
        for line in table.splitlines():
            fields = line.split("\t")
            if fields[0] == user:
                return fields[1], fields[2], fields[3]
        raise BrokerUnavailable("broker-user-unknown", f"user {user} has no permissions in {VHOST}")

    async def _put_user(self, name: str, password: str | None) -> None:
        granted = user_permissions(name)
        known = await self.users()
        self._node.folder.put_user(name, password=password)
        # rabbitmqctl wants some password for a new user; a user by certificate loses it at once.
        text = (password or secrets.token_urlsafe(32)) + "\n"
        await self.control("change_password" if name in known else "add_user", name, stdin=text)
        if password is None:
            await self.control("clear_password", name)
        await self.control("set_permissions", "--vhost", VHOST, name, granted.configure, granted.write, granted.read)

    # --- certificates

    async def reload_certificates(self) -> None:
        """New connections of the TLS listener use the certificate, key, authorities and revocation lists that are in the files now.
        Erlang would see a new file by itself within two minutes; connections that are open stay."""
        tls = self._node.tls
        if tls is not None and tls.crl is not None:
            self._node.folder.write_revocation(tls.ca, tls.crl)
        await self.control("eval", "ssl:clear_pem_cache().")

    # --- alarms, for tests and exercises

    async def set_memory_limit(self, size_bytes: int) -> None:
        """A limit below what the node uses (1, say) raises the memory alarm."""
        await self.control("set_vm_memory_high_watermark", "absolute", str(size_bytes))

    async def set_disk_limit(self, size_bytes: int) -> None:
        """A limit above what is free raises the disk alarm."""
        await self.control("set_disk_free_limit", str(size_bytes))
