# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A host, a router and a peer as network namespaces: the kernel's own packet filter, and nothing of it outside them.

    host  mtu 1500 -- router -- mtu 1280 on the router's side only -- peer

So a large packet from the host to the peer only arrives if the router's ICMP errors reach the host.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from render import role_files

HOST4, HOST6 = "10.254.71.1", "fd5e:71::1"
PEER4, PEER6 = "10.254.72.1", "fd5e:72::1"


@dataclass(frozen=True)
class Machine:
    """A network namespace."""

    namespace: str

    def run(self, *command: str | Path, user: str = "", check: bool = True) -> str:
        """What a command prints there, run as root or `user`."""
        drop = ["setpriv", f"--reuid={user}", "--clear-groups"] if user else []
        argv = ["ip", "netns", "exec", self.namespace, *drop, *map(str, command)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr}{done.stdout}")
        return done.stdout

    def python(self, script: str, *arguments: object, user: str = "") -> Any:
        """What a script prints there, as JSON."""
        code = "import json, socket, sys, time\n" + textwrap.dedent(script)
        return json.loads(self.run(sys.executable, "-I", "-c", code, json.dumps(arguments), user=user))

    def connect(self, address: str, *ports: int, user: str = "") -> dict[int, str]:
        """What becomes of a connection to each port: "open", or the name of the error."""
        result = self.python(
            """
            address, *ports = json.loads(sys.argv[1])
            def attempt(port):
                try:
                    with socket.create_connection((address, port), timeout=1) as connection:
                        return connection.recv(5).decode() and "open"
                except TimeoutError:
                    return "timeout"
                except OSError as error:
                    return error.strerror
            print(json.dumps({port: attempt(port) for port in ports}))
            """,
            address,
            *ports,
            user=user,
        )
        return {int(port): what for port, what in result.items()}

    @contextmanager
    def listening(self, *ports: int, amount: int = 5) -> Iterator[None]:
        """A server on `ports`, v4 and v6, that sends `amount` bytes to each who connects."""
        script = textwrap.dedent(
            """
            import json, selectors, socket, sys
            amount, *ports = json.loads(sys.argv[1])
            selector = selectors.DefaultSelector()
            for port in ports:
                server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=50)
                selector.register(server, selectors.EVENT_READ)
            print("ready", flush=True)
            while True:
                for key, _ in selector.select():
                    connection, _ = key.fileobj.accept()
                    with connection:
                        connection.settimeout(20)
                        connection.sendall(b"x" * amount)
            """
        )
        argv = ["ip", "netns", "exec", self.namespace, sys.executable, "-I", "-c", script, json.dumps([amount, *ports])]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                server.kill()


@dataclass(frozen=True)
class Network:
    """The three machines, and the rules of the role on the host."""

    host: Machine
    router: Machine
    peer: Machine
    directory: Path

    def load(self, **variables: Any) -> None:
        """Load the role's rules on the host, as its unit does."""
        rules = self.directory / "firewall.nft"
        variables = {"firewall_ssh_ports": [22], **variables}
        rules.write_text(role_files("firewall", **variables)["/etc/sendyard/firewall.nft"].content)
        self.host.run("nft", "--file", rules)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """The machines, connected, with an empty packet filter."""
    if os.geteuid() != 0 or not shutil.which("nft"):
        pytest.fail("needs root and nftables")
    prefix = f"sendyard-{os.getpid()}"
    host, router, peer = (Machine(f"{prefix}-{name}") for name in ("host", "router", "peer"))
    try:
        for machine in (host, router, peer):
            subprocess.run(["ip", "netns", "add", machine.namespace], check=True, timeout=20)
            machine.run("ip", "link", "set", "lo", "up")
            # Addresses at once, without the second that duplicate address detection takes.
            machine.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.forwarding=0")
        for end, addresses in ((host, (HOST4, HOST6)), (peer, (PEER4, PEER6))):
            wire(router, end, addresses)
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        router.run("ip", "link", "set", peer.namespace[-12:], "mtu", "1280")
        for address in (PEER4, PEER6):  # IPv6 takes a moment to find its neighbours on new links
            host.run("ping", "-c", "1", "-w", "10", address)
        yield Network(host, router, peer, tmp_path)
    finally:
        for machine in (host, router, peer):
            subprocess.run(["ip", "netns", "delete", machine.namespace], capture_output=True, check=False, timeout=20)


def wire(router: Machine, end: Machine, addresses: tuple[str, str]) -> None:
    """Connect `end` to `router`, its addresses ending in 1, the router's in 2."""
    name = end.namespace[-12:]
    end.run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", name, "netns", router.namespace)
    for address, length in zip(addresses, (24, 64), strict=True):
        gateway = f"{address[:-1]}2"
        end.run("ip", "address", "add", f"{address}/{length}", "dev", "uplink")
        router.run("ip", "address", "add", f"{gateway}/{length}", "dev", name)
    end.run("ip", "link", "set", "uplink", "up")
    router.run("ip", "link", "set", name, "up")
    for address in addresses:
        end.run("ip", "route", "add", "default", "via", f"{address[:-1]}2")
