# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Addresses of a Hetzner Cloud project in memory, by what holds them, and their names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from integration.dns.fake_hetzner import WHEN, FakeZone, Hetzner, invalid, refused
from integration.dns.fakes import Request
from integration.dns.servers import SECRET

HOST_NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
PARAMETERS = {  # of lists, beside those that all have
    "primary_ips": {"ip"},
    "floating_ips": set(),
    "servers": {"status"},
    "load_balancers": set(),
}
TYPES = {"primary_ips": "primary_ip", "floating_ips": "floating_ip", "servers": "server"}
TYPES["load_balancers"] = "load_balancer"


@dataclass
class Holder:
    """What holds addresses: a kind, its networks as text, and the names that were given."""

    kind: str
    places: tuple[str, ...]
    names: dict[str, str] = field(default_factory=dict)
    lock: FakeZone = field(default_factory=lambda: FakeZone(""))  # busy with an action

    def entries(self, place: str) -> list[dict[str, str]]:
        """Return the names of the addresses in a place, as the API lists them."""
        network = ipaddress.ip_network(place)
        return [
            {"ip": address, "dns_ptr": name}
            for address, name in self.names.items()
            if ipaddress.ip_address(address) in network
        ]


@dataclass
class HetznerAddresses(Hetzner):
    """One project.

    Attributes:
        on_named: called with an address and its new name, when Hetzner's name servers would have it.
    """

    holders: dict[int, Holder] = field(default_factory=dict)
    on_named: Callable[[str, str], None] = lambda address, name: None

    def hold(self, kind: str, *places: str) -> int:
        """Add what holds addresses or networks; IPv4 addresses have the name that Hetzner gives them."""
        names = {
            place: f"static.{'.'.join(reversed(place.split('.')))}.clients.your-server.example"
            for place in places
            if "." in place
        }
        number = next(self.ids)
        self.holders[number] = Holder(kind, places, names)
        return number

    def answer(self, request: Request) -> Any:
        parts = request.path.split("/")[1:]
        if len(parts) < 2 or parts[1] not in TYPES or request.headers.get("Authorization") != f"Bearer {SECRET}":
            return super().answer(request)
        if self.read_only and request.method != "GET":
            return super().answer(request)
        kind = parts[1]
        match request.method, parts[2:]:
            case "GET", []:
                self._known({"name", "label_selector", "sort", "page", "per_page"} | PARAMETERS[kind])
                wanted = self._asked.get("ip")
                held = [(number, one) for number, one in self.holders.items() if one.kind == kind]
                if wanted:
                    held = [(number, one) for number, one in held if one.places[0] in wanted]
                return self._page(kind, [self._shown(*one) for one in held], 50)
            case "GET", [number] if self._is(number, kind):
                return {TYPES[kind]: self._shown(int(number), self.holders[int(number)])}
            case "POST", [number, "actions", "change_dns_ptr"] if self._is(number, kind):
                return 201, {"action": self._name(int(number), request.body)}
        raise refused(404, "not_found", f"{TYPES[kind]} not found")

    def _is(self, number: str, kind: str) -> bool:
        return number.isdecimal() and int(number) in self.holders and self.holders[int(number)].kind == kind

    def _name(self, number: int, body: Any) -> dict[str, Any]:
        holder = self.holders[number]
        if not isinstance(body, dict) or set(body) != {"ip", "dns_ptr"}:
            raise invalid("dns_ptr", "ip and dns_ptr are required, and nothing else")
        ip, name = body["ip"], body["dns_ptr"]
        try:
            address = ipaddress.ip_address(ip)
        except ValueError as error:
            raise invalid("ip", "must be an IP address") from error
        if not any(address in ipaddress.ip_network(place) for place in holder.places):
            raise invalid("ip", f"does not belong to the {TYPES[holder.kind]}")
        if name is not None and not HOST_NAME.fullmatch(name):
            raise invalid("dns_ptr", "must be a host name")

        def write() -> None:
            if name is None:
                holder.names.pop(str(address), None)
            else:
                holder.names[str(address)] = name
                self.on_named(str(address), name)

        action = self._act(number, holder.lock, "change_dns_ptr", write)
        self.actions[action["id"]]["type"] = TYPES[holder.kind]
        return action

    def _shown(self, number: int, holder: Holder) -> dict[str, Any]:
        said: dict[str, Any] = {"id": number, "name": f"{TYPES[holder.kind]}-{number}", "labels": {}, "created": WHEN}
        if holder.kind in ("primary_ips", "floating_ips"):
            (place,) = holder.places
            said |= {"ip": place, "type": "ipv6" if ":" in place else "ipv4", "dns_ptr": holder.entries(place)}
            return said | {"blocked": False, "protection": {"delete": False}}
        public: dict[str, Any] = {"ipv4": None, "ipv6": None}
        for place in holder.places:
            one: dict[str, Any] = {"ip": place, "dns_ptr": holder.entries(place)}
            if holder.kind == "load_balancers" or ":" not in place:
                one["dns_ptr"] = one["dns_ptr"][0]["dns_ptr"] if one["dns_ptr"] else None
            if holder.kind == "servers":
                one |= {"id": number + 10**6, "blocked": False}
            public["ipv6" if ":" in place else "ipv4"] = one
        more = {"floating_ips": [], "firewalls": []} if holder.kind == "servers" else {"enabled": True}
        return said | {"public_net": public | more}
