# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse DNS of addresses of a Hetzner Cloud project.

An address belongs to a Primary IP, a Floating IP, a server or a load balancer. Of IPv6, each of the first three has a
network, of which any address can have a name.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ..dns.api import Api, quoted
from ..dns.backends import Conflict
from ..dns.hetzner_cloud import ACTION_SECONDS, LONGEST_PAUSE, connect, pages, project, wait
from ..dns.model import DnsError
from . import NotHeld, Standing

NEEDS_SECRET = True
A_PAGE = 50  # the most that the API gives
# Where addresses are, most likely first: those of servers are Primary IPs, so that one list mostly does.
KINDS = ("primary_ips", "floating_ips", "servers", "load_balancers")

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


def make(name: str, said: Mapping[str, Any], secret: str) -> Hetzner:
    """Return the credential `name` at work. Options and errors as of `hetzner_cloud.connect`."""
    return Hetzner(connect(name, said, secret), project(name))


class Hetzner:
    """One project and token."""

    def __init__(self, api: Api, where: str) -> None:
        self._api = api
        self._where = where
        self._holders: dict[str, str] = {}  # paths, by the addresses that were looked for

    def names(self, addresses: Sequence[str]) -> Mapping[str, Standing | DnsError]:
        """Return the name of each address; lists are read until all are found."""
        found: dict[str, Standing | DnsError] = {}
        for kind, said in self._resources():
            for network, named in _networks(kind, said):
                for address in addresses:
                    if address not in found and ipaddress.ip_address(address) in network:
                        self._holders[address] = quoted(kind, str(said["id"]))
                        found[address] = Standing(named.get(address))
            if len(found) == len(set(addresses)):
                break
        for address in addresses:
            if address not in found:
                found[address] = NotHeld(
                    f"{address} belongs to no Primary IP, Floating IP, server or load balancer of {self._where}. Name "
                    "the credential of the project that has it (sendyard_ptr_credential)."
                )
        return found

    def set(self, address: str, name: str) -> None:
        """Have `address` called `name`, and wait for the action. What holds it may be busy with another one."""
        path = self._holders[address] + quoted("actions", "change_dns_ptr")
        expires = time.monotonic() + ACTION_SECONDS
        while True:
            try:  # twice is as once
                answer = self._api.send("POST", path, {"ip": address, "dns_ptr": name}, repeatable=True)
            except Conflict:
                if time.monotonic() + LONGEST_PAUSE > expires:
                    raise
                time.sleep(LONGEST_PAUSE)
                continue
            wait(self._api, answer["action"], f"the PTR record of {address}", self._where)
            return

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _resources(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for kind in KINDS:
            for said in pages(self._api, f"/{kind}", kind, A_PAGE):
                yield kind, said


def _networks(kind: str, said: Mapping[str, Any]) -> Iterator[tuple[Network, Mapping[str, str]]]:
    """Yield what addresses a resource has, and the names of those that have one."""
    public = said.get("public_net") or {}
    places = [said] if kind in ("primary_ips", "floating_ips") else [public.get("ipv4"), public.get("ipv6")]
    for place in places:
        if not place or not place.get("ip"):
            continue
        names = place.get("dns_ptr") or []
        if isinstance(names, str):
            names = [{"ip": place["ip"], "dns_ptr": names}]
        yield (
            ipaddress.ip_network(place["ip"], strict=False),
            {str(ipaddress.ip_address(one["ip"])): one["dns_ptr"] for one in names if one["dns_ptr"]},
        )
