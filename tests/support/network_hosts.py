"""Hosts in network namespaces, joined by a bridge, of which one can be cut off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.servers import program
from support.waiting import wait_until

_NETWORK = "10.77.0"


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with an address; `prefix` begins a command that runs in it."""

    address: str
    prefix: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A hub, which has the bridge, and the hosts that are joined to it."""

    hub: Host
    hosts: tuple[Host, ...]

    def cut(self, host: Host) -> None:
        """Cut a host off: its packets are lost, and no connection is closed."""
        number = self.hosts.index(host)
        subprocess.run([*self.hub.prefix, "ip", "link", "set", f"host{number}", "down"], check=True)


@contextmanager
def network_of_hosts(hosts: int) -> Iterator[Network]:
    """Create the namespaces; they end with the context. Skip the test if this process may not create them."""
    for name in ("ip", "nsenter", "unshare", "sleep"):
        program(name)
    holders: list[subprocess.Popen[bytes]] = []

    def start(number: int) -> Host:
        holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], stderr=subprocess.DEVNULL)
        holders.append(holder)

        def is_isolated() -> bool:
            if holder.poll() is not None:
                pytest.skip("no network namespace can be created")
            own = Path("/proc/self/ns/net").readlink()
            return Path(f"/proc/{holder.pid}/ns/net").readlink() != own

        wait_until(is_isolated, "network namespace")
        return Host(f"{_NETWORK}.{number + 1}", ("nsenter", "-t", str(holder.pid), "-n"))

    def ip(host: Host, *words: str) -> None:
        subprocess.run([*host.prefix, "ip", *words], check=True)

    try:
        hub, *others = (start(number) for number in range(hosts + 1))
        ip(hub, "link", "set", "lo", "up")
        ip(hub, "link", "add", "bridge", "type", "bridge")
        ip(hub, "address", "add", f"{hub.address}/24", "dev", "bridge")
        ip(hub, "link", "set", "bridge", "up")
        for number, host in enumerate(others):
            ip(hub, "link", "add", f"host{number}", "type", "veth", "peer", "name", "up0", "netns", host.prefix[2])
            ip(hub, "link", "set", f"host{number}", "master", "bridge", "up")
            ip(host, "link", "set", "lo", "up")
            ip(host, "address", "add", f"{host.address}/24", "dev", "up0")
            ip(host, "link", "set", "up0", "up")
        yield Network(hub, tuple(others))
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
