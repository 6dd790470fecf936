# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The hosts of the lab."""

from __future__ import annotations

from dataclasses import dataclass

from sendyard_lab.slice import Slice

LOGIN = "ops"  # the one user of every host, as a provider hands it over


@dataclass(frozen=True)
class Host:
    """One host; `number` is the last digits of its addresses, `extra` those of further ones."""

    name: str
    number: int
    fqdn: str
    image: str
    extra: tuple[int, ...] = ()
    bare: bool = False  # as a provider hands it over: a host that a run turns into a sender

    @property
    def hostname(self) -> str:
        """What the host calls itself when it is new; a provider knows nothing of the name its owner will give it."""
        return f"vps-{self.number}" if self.bare else self.fqdn

    def ipv4(self, lab: Slice) -> list[str]:
        """Its IPv4 addresses, the main one first."""
        return [lab.addresses(number)[0] for number in (self.number, *self.extra)]

    def ipv6(self, lab: Slice) -> list[str]:
        """Its IPv6 addresses, the main one first."""
        return [lab.addresses(number)[1] for number in (self.number, *self.extra)]


MX_TRIXIE = Host("mx-trixie", 11, "mx-trixie.yard.example", "trixie", bare=True)
MX_BOOKWORM = Host("mx-bookworm", 12, "mx-bookworm.yard.example", "bookworm", bare=True)
NS1 = Host("ns1", 53, "ns1.lab.example", "infra")
NS2 = Host("ns2", 54, "ns2.lab.example", "infra")
CA = Host("ca", 55, "ca.lab.example", "infra")
STRANGER = Host("stranger", 66, "stranger.lab.example", "infra", extra=(67, 68))
RX = Host("rx", 80, "mx.rx.example", "infra", extra=(81, 82))

HOSTS = {host.name: host for host in (NS1, NS2, CA, RX, STRANGER, MX_TRIXIE, MX_BOOKWORM)}
SENDERS = tuple(host for host in HOSTS.values() if host.bare)
