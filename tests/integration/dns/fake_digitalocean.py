# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""DigitalOcean's API v2 (domains and their records) in memory.

It follows https://github.com/digitalocean/openapi (specification/resources/domains), and what users report of the rest:
a dot at the end of targets is demanded and never answered ("Data needs to end with a dot (.)", also where a PUT leaves
the data alone), "@" for the apex, a TXT is one plain string of at most 512 characters with quotes and escapes, neither
empty nor with a backslash; the lowest TTL is 30 s. The same record twice is accepted, since nobody says it is not.
"""

from __future__ import annotations

import ipaddress
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import digitalocean
from dns.rdtypes.ANY.TXT import TXT
from integration.dns.fakes import FakeProvider, Record, Refused, Request
from integration.dns.servers import SECRET

FIELDS = ("id", "type", "name", "data", "priority", "port", "ttl", "weight", "flags", "tag")
NEEDED = {"MX": ("priority",), "SRV": ("priority", "port", "weight"), "CAA": ("flags",)}
LONGEST_TXT = 512  # characters as in a zone file
TARGETS = ("CNAME", "MX", "NS", "SRV")


@dataclass
class FakeDigitalOcean(FakeProvider):
    """An account with all the zones; `rdatas` are the exact values of records that no client wrote."""

    backend = digitalocean.DigitalOcean
    keeps_all = False
    types: ClassVar[frozenset[str]] = frozenset({"A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"})

    stored: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    rdatas: dict[int, dns.rdata.Rdata] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: count(3352892))

    def credential(self, **changed: Any) -> dict[str, Any]:
        return {"provider": "digitalocean", "url": self.url, "secret": SECRET, **changed}

    def load(self, zone: str, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        kind = dns.rdatatype.to_text(rdata.rdtype)
        said: dict[str, Any] = dict.fromkeys(FIELDS)
        relative = name.relativize(dns.name.from_text(zone)).to_text()
        said |= {"id": next(self.ids), "type": kind, "name": relative, "ttl": ttl}
        if kind == "TXT":
            said["data"] = b"".join(rdata.strings).decode("utf-8", "backslashreplace")
        elif kind == "CAA":
            said |= {"data": rdata.value.decode(), "flags": rdata.flags, "tag": rdata.tag.decode()}
        else:
            *numbers, target = rdata.to_text().split()
            said |= dict(zip(("priority", "weight", "port"), map(int, numbers), strict=False))
            said["data"] = "@" if target == zone else target.removesuffix(".") or "."
        self.stored[zone][said["id"]] = said
        self.rdatas[said["id"]] = rdata

    def records(self, zone: str) -> Iterable[Record]:
        origin = dns.name.from_text(zone)
        for number, said in self.stored[zone].items():
            rdata = self.rdatas.get(number) or served(zone, said)
            yield dns.name.from_text(said["name"], origin), said["ttl"], rdata

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        with self._lock:
            return {tuple(said[name] for name in FIELDS) for said in self.stored[zone].values()}

    def answer(self, request: Request) -> Any:
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            raise Refused(401, {"id": "Unauthorized", "message": "Unable to authenticate you"})
        match request.path.strip("/").split("/"):
            case ["v2", "domains"] if request.method == "GET":
                domains = [{"name": zone.removesuffix("."), "ttl": 1800, "zone_file": ""} for zone in self.zones]
                return page(request, "domains", domains, {})
            case ["v2", "domains", name] if request.method == "GET":
                return {"domain": {"name": self._zone(name).removesuffix("."), "ttl": 1800, "zone_file": ""}}
            case ["v2", "domains", name, "records"]:
                return self._collection(request, self._zone(name))
            case ["v2", "domains", name, "records", number]:
                zone = self._zone(name)
                if not number.isdigit() or int(number) not in self.stored[zone]:
                    raise missing()
                return self._single(request, zone, int(number))
        raise missing()

    def _zone(self, name: str) -> str:
        if f"{name}." not in self.zones:
            raise missing()
        return f"{name}."

    def _collection(self, request: Request, zone: str) -> Any:
        if request.method == "GET":
            records = list(self.stored[zone].values())
            if "type" in request.query:
                records = [said for said in records if said["type"] == request.query["type"]]
            if "name" in request.query:
                origin = dns.name.from_text(zone)
                asked = dns.name.from_text(request.query["name"])
                records = [said for said in records if dns.name.from_text(said["name"], origin) == asked]
            return page(request, "domain_records", records, {"name", "type"})
        if request.method != "POST":
            raise missing()
        said = self._valid(zone, dict.fromkeys(FIELDS) | {"name": "@", "ttl": 1800}, request.body)
        said["id"] = next(self.ids)
        self.stored[zone][said["id"]] = said
        return 201, {"domain_record": said}

    def _single(self, request: Request, zone: str, number: int) -> Any:
        if request.method == "DELETE":
            del self.stored[zone][number]
            return 204, None
        if request.method in ("PUT", "PATCH"):
            self.stored[zone][number] = self._valid(zone, self.stored[zone][number], request.body)
            self.rdatas.pop(number, None)
        elif request.method != "GET":
            raise missing()
        return {"domain_record": self.stored[zone][number]}

    def _valid(self, zone: str, before: dict[str, Any], body: Any) -> dict[str, Any]:
        """Return the record that `body` makes of `before`, as answers show it."""
        if not isinstance(body, dict) or not set(body) <= set(FIELDS):
            raise Refused(400, {"id": "bad_request", "message": "error parsing request body"})
        said = before | {name: value for name, value in body.items() if value is not None and name != "id"}
        kind, data = said["type"], said["data"]
        if kind not in self.types:
            raise unprocessable("Type is not included in the list")
        if before["type"] and kind != before["type"]:
            raise unprocessable("Type can't be changed")
        if not isinstance(data, str) or not data:
            raise unprocessable("Data can't be blank")
        if not isinstance(said["name"], str) or not said["name"] or said["name"].endswith("."):
            raise unprocessable("Name is invalid")
        check_numbers(said)
        said["data"] = kept(zone, said)
        others = [o for o in self.stored[zone].values() if o["name"] == said["name"] and o["id"] != said["id"]]
        if others and "CNAME" in (kind, *(other["type"] for other in others)):
            raise unprocessable("CNAME records cannot share a name with other records")
        return said


def check_numbers(said: dict[str, Any]) -> None:
    """Refuse a TTL or another number that is none, or out of its range."""
    if not whole(said["ttl"], 30, 2**31 - 1):
        raise unprocessable("Ttl must be greater than or equal to 30")
    for name in NEEDED.get(said["type"], ()):
        if not whole(said[name], 0, 255 if name == "flags" else 65535):
            raise unprocessable(f"{name.capitalize()} is not a number")


def kept(zone: str, said: dict[str, Any]) -> str:
    """Return the data of a record as answers show it, or refuse it."""
    kind, data = said["type"], str(said["data"])
    if kind in ("A", "AAAA"):
        try:
            ipaddress.IPv4Address(data) if kind == "A" else ipaddress.IPv6Address(data)
        except ValueError as error:
            raise unprocessable("Data needs to be an IP address") from error
    if kind == "CAA" and said["tag"] not in ("issue", "issuewild", "iodef"):
        raise unprocessable("Tag is not included in the list")
    if kind in TARGETS or (kind == "CAA" and said["tag"] != "iodef"):
        if data != "@" and not data.endswith("."):
            raise unprocessable("Data needs to end with a dot (.)")
        return "@" if data == zone and kind != "CAA" else data.removesuffix(".") or "."
    if kind == "TXT" and ("\\" in data or not data.isascii() or len(served(zone, said).to_text()) > LONGEST_TXT):
        raise unprocessable("Data is invalid")
    return data


def served(zone: str, said: dict[str, Any]) -> dns.rdata.Rdata:
    """Return what the name servers make of a record."""
    kind, data = dns.rdatatype.from_text(said["type"]), said["data"]
    if kind == dns.rdatatype.TXT:
        octets = data.encode()
        return TXT(dns.rdataclass.IN, kind, [octets[start : start + 255] for start in range(0, len(octets), 255)])
    if kind == dns.rdatatype.CAA:
        text = f'{said["flags"]} {said["tag"]} "{data}"'
    elif said["type"] in TARGETS:
        target = zone if data == "@" else f"{data.removesuffix('.')}."
        numbers = {"MX": ("priority",), "SRV": ("priority", "weight", "port")}.get(said["type"], ())
        text = " ".join([*(str(said[number]) for number in numbers), target])
    else:
        text = data
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text, relativize=False)


def page(request: Request, what: str, items: list[Any], filters: set[str]) -> dict[str, Any]:
    """Return one page of a list, as `per_page` and `page` ask for it."""
    query = {"per_page": "20", "page": "1", **request.query}
    size, number = query["per_page"], query["page"]
    if set(query) - {"per_page", "page", *filters} or not (size.isdigit() and number.isdigit()):
        raise Refused(400, {"id": "bad_request", "message": "invalid query"})
    if not 1 <= int(size) <= 200 or int(number) < 1:
        raise Refused(400, {"id": "bad_request", "message": "per_page must be between 1 and 200"})
    last = max(math.ceil(len(items) / int(size)), 1)
    link = f"https://api.digitalocean.com{request.path}?per_page={size}&page="
    pages = {}
    if int(number) > 1:
        pages |= {"first": f"{link}1", "prev": f"{link}{int(number) - 1}"}
    if int(number) < last:
        pages |= {"next": f"{link}{int(number) + 1}", "last": f"{link}{last}"}
    start = (int(number) - 1) * int(size)
    links = {"pages": pages} if pages else {}
    return {what: items[start : start + int(size)], "links": links, "meta": {"total": len(items)}}


def whole(value: Any, least: int, most: int) -> bool:
    """Return whether `value` is a whole number from `least` to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def missing() -> Refused:
    """Return the answer to a request for what is not there."""
    return Refused(404, {"id": "not_found", "message": "The resource you were accessing could not be found."})


def unprocessable(message: str) -> Refused:
    """Return the answer to a record that is refused."""
    return Refused(422, {"id": "unprocessable_entity", "message": message})
