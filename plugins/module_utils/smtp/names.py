# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof asks of DNS: published keys, and the addresses of hosts to compare with. Runs on the controller."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import SendyardError

try:
    import dns.exception
    import dns.resolver
except ImportError:  # said by `Names`, to the one who needs it
    dns = None  # type: ignore[assignment]

TxtLookup = Callable[[str], "bytes | None"]


class NamesError(SendyardError):
    """DNS cannot be asked."""


class Names:
    """A resolver at the given addresses, or the system's where there are none; `timeout` in seconds for one name.

    Raises:
        NamesError: dnspython is not installed.
    """

    def __init__(self, servers: Sequence[str] = (), *, timeout: float = 10.0) -> None:
        if dns is None:
            raise NamesError("the Python package dnspython is missing on the controller: pip install dnspython")
        self._resolver = dns.resolver.Resolver(configure=not servers)
        self._timeout = timeout
        if servers:
            self._resolver.nameservers = list(servers)

    def _ask(self, name: str, kind: str) -> Any:
        """The answer to one question, None where there is none."""
        try:
            return self._resolver.resolve(name, kind, lifetime=self._timeout, search=False)
        except dns.exception.DNSException:
            return None

    def txt(self, name: str) -> bytes | None:
        """The TXT record of `name`, its strings joined; None where there is none, or no answer."""
        answer = self._ask(name, "TXT")
        return b"".join(answer[0].strings) if answer else None

    def address(self, name: str) -> str | None:
        """An address of `name`, IPv4 where it has one; itself where it is an address, None where there is no answer."""
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            answer = self._ask(name, "A") or self._ask(name, "AAAA")
        return str(answer[0].address) if answer else None
