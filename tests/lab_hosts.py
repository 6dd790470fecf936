# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Who plays in the lab, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SENDERS = ("mx-trixie", "mx-bookworm")


@dataclass(frozen=True)
class Sender:
    """One sending server of the lab."""

    name: str
    fqdn: str
    ipv4: str
    ipv6: str
    host: Any  # testinfra's view of it, as root

    @property
    def addresses(self) -> tuple[str, str]:
        """The addresses that it serves on, IPv4 first."""
        return self.ipv4, self.ipv6


@dataclass(frozen=True)
class Login:
    """One client of the lab, allowed on every sender."""

    username: str
    password: str = field(repr=False)  # a failed test shows what it was given
    domains: tuple[str, ...]
