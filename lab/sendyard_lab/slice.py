# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The part of the machine that belongs to one checkout: names and networks, all of them following from its path."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

GATEWAY = 1  # the controller's own address in the lab's network


@dataclass(frozen=True)
class Slice:
    """Names and addresses of one checkout's lab; two checkouts practically never share any."""

    checkout: Path
    prefix: str  # of containers, networks, volumes and snapshot images: "sy-1f0a9c3e-"
    ipv4: ipaddress.IPv4Network  # a /24 in the upper half of 10.0.0.0/8
    ipv6: ipaddress.IPv6Network  # a /64 of the documentation prefix

    def addresses(self, number: int) -> tuple[str, str]:
        """IPv4 and IPv6 address of host `number`; both end in the same digits: 10.130.7.53, 2001:db8:9c3e::53."""
        return str(self.ipv4[number]), str(self.ipv6[int(str(number), 16)])

    @property
    def network(self) -> str:
        """Name of the podman network."""
        return f"{self.prefix}lab"

    @property
    def state(self) -> Path:
        """The git-ignored directory for everything that the lab generates."""
        return self.checkout / "lab" / ".state"

    @property
    def sockets(self) -> Path:
        """Directory of the SSH control sockets: a short path, since the kernel allows a socket 107 bytes."""
        return Path("/run") / f"{self.prefix}ssh"

    @property
    def lock(self) -> Path:
        """The file that a command which changes the lab locks."""
        return Path("/run") / f"{self.prefix}lock"

    @property
    def reverse_zones(self) -> tuple[str, str]:
        """The zones of the PTR records of both networks, absolute."""
        octets = str(self.ipv4.network_address).split(".")[:3]
        nibbles = self.ipv6.network_address.exploded.replace(":", "")[:16]
        return ".".join(reversed(octets)) + ".in-addr.arpa.", ".".join(reversed(nibbles)) + ".ip6.arpa."


def slice_of(checkout: Path) -> Slice:
    """Return the slice that belongs to `checkout`."""
    path = checkout.resolve()
    digest = hashlib.sha256(str(path).encode()).digest()
    return Slice(
        checkout=path,
        prefix=f"sy-{digest[:4].hex()}-",
        ipv4=ipaddress.IPv4Network(f"10.{128 + digest[0] % 64}.{digest[1]}.0/24"),
        ipv6=ipaddress.IPv6Network(f"2001:db8:{digest[2:4].hex()}::/64"),
    )
