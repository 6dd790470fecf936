# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Gandi LiveDNS, API v5, in memory.

It follows https://api.gandi.net/docs/livedns/ (paths, bodies, 401 and 403), and what clients report of the rest: lists
in pages with their length in Total-Count, a TTL from 300 to 2592000 s, names in values relative to the zone or with a
last dot, TXT in quotes or, one word, without, ALIAS at the apex only, "DNS Record Created" with 201, "A DNS Record
already exists with same value" with 200. That a CNAME and other records refuse each other with 409 is a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import gandi
from integration.dns.fakes import FakeProvider, Record, Refused, Request
from integration.dns.servers import SECRET

LISTED = "A AAAA ALIAS CAA CDS CNAME DNAME DS KEY LOC MX NAPTR NS OPENPGPKEY PTR RP SPF SRV SSHFP TLSA TXT WKS"
FIELDS = {"rrset_name", "rrset_type", "rrset_ttl", "rrset_values"}


@dataclass
class FakeGandi(FakeProvider):
    """An organisation with all the zones; a record set is a TTL and values as text.

    Attributes:
        longest_page: items at most, however many are asked for.
    """

    backend = gandi.Gandi
    keeps_all = False
    types: ClassVar[frozenset[str]] = frozenset(LISTED.split())

    longest_page: int = 1000
    stored: dict[str, dict[tuple[str, str], dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))

    def credential(self, **changed: Any) -> dict[str, Any]:
        return {"provider": "gandi", "url": f"{self.url}/v5/livedns", "secret": SECRET, **changed}

    def load(self, zone: str, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        origin = dns.name.from_text(zone)
        key = (name.relativize(origin).to_text(), dns.rdatatype.to_text(rdata.rdtype))
        there = self.stored[zone].get(key, {"rrset_values": []})
        values = [*there["rrset_values"], rdata.to_text(origin=origin, relativize=True)]
        self.stored[zone][key] = {"rrset_ttl": ttl, "rrset_values": values}

    def records(self, zone: str) -> Iterable[Record]:
        origin = dns.name.from_text(zone)
        for (name, kind), rrset in self.stored[zone].items():
            for value in rrset["rrset_values"] if kind != "ALIAS" else ():
                with suppress(dns.exception.DNSException):  # what cannot be read is not served
                    yield dns.name.from_text(name, origin), rrset["rrset_ttl"], parsed(zone, kind, value)

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        with self._lock:
            return {
                (*key, rrset["rrset_ttl"], value)
                for key, rrset in self.stored[zone].items()
                for value in rrset["rrset_values"]
            }

    def answer(self, request: Request) -> Any:
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            raise error(401, "HTTPUnauthorized", "Unauthorized", "The server could not verify that you are authorized.")
        if authorization != f"Bearer {SECRET}":
            raise error(403, "HTTPForbidden", "Forbidden", "Access was denied to this resource.")
        match request.method, *request.path.strip("/").split("/"):
            case "GET", "v5", "livedns", "domains":
                return self._page(request, [self._domain(zone) for zone in self.zones])
            case "GET", "v5", "livedns", "domains", fqdn:
                return {**self._domain(self._zone(fqdn)), "automatic_snapshots": True}
            case "GET", "v5", "livedns", "domains", fqdn, "nameservers":
                servers = self.stored[self._zone(fqdn)]["@", "NS"]["rrset_values"]
                return [server.removesuffix(".") for server in servers]
            case method, "v5", "livedns", "domains", fqdn, "records", *rest:
                return self._records(request, method, self._zone(fqdn), *rest)
        raise error(404, "HTTPNotFound", "Not Found", "The resource could not be found.")

    def _zone(self, fqdn: str) -> str:
        if f"{fqdn}." not in self.zones:
            raise error(404, "LocalizedHTTPNotFound", "Not Found", "Unknown domain")
        return f"{fqdn}."

    def _domain(self, zone: str) -> dict[str, str]:
        fqdn = zone.removesuffix(".")
        href = f"https://api.gandi.net/v5/livedns/domains/{fqdn}"
        return {"fqdn": fqdn, "domain_href": href, "domain_records_href": f"{href}/records"}

    def _page(self, request: Request, items: list[Any]) -> Any:
        query = {"page": "1", "per_page": "100", **request.query}
        if set(query) - {"page", "per_page", "sharing_id"} or not (query["page"] + query["per_page"]).isdigit():
            raise invalid("query", "page", "not a number")
        size = min(int(query["per_page"]), self.longest_page)
        start = (int(query["page"]) - 1) * size
        raise Refused(200, items[start : start + size], Total_Count=str(len(items)))

    def _records(self, request: Request, method: str, zone: str, *rest: str) -> Any:
        body = request.body
        match method, *rest:
            case ("GET",):
                return self._page(request, [self._shown(zone, key) for key in self.stored[zone]])
            case "POST", *_:
                return self._create(zone, rest, body)
            case "GET", name:
                found = [self._shown(zone, key) for key in self.stored[zone] if key[0] == name]
                if not found:
                    raise error(404, "dns-record", "Not Found", f"Can't find the DNS record {name} in the zone")
                return found
            case "GET", name, kind:
                return self._shown(zone, self._there(zone, name, kind))
            case "DELETE", name, kind:
                del self.stored[zone][self._there(zone, name, kind)]
                return 204, None
            case "PUT", name, kind:
                self.stored[zone][name, kind] = self._valid(zone, name, kind, body)
                return 201, {"message": "DNS Record Created"}
        raise error(405, "HTTPMethodNotAllowed", "Method Not Allowed", "The method is not allowed for this resource.")

    def _create(self, zone: str, rest: tuple[str, ...], body: Any) -> Any:
        body = body if isinstance(body, dict) else {}
        named = dict(zip(("rrset_name", "rrset_type"), rest, strict=False)) | body
        key = (str(named.get("rrset_name") or ""), str(named.get("rrset_type") or ""))
        new = self._valid(zone, *key, body)
        if key in self.stored[zone]:
            if self.stored[zone][key] == new:
                return {"message": "A DNS Record already exists with same value"}
            raise error(409, "dns-record", "Conflict", "A DNS Record already exists with same name and type")
        self.stored[zone][key] = new
        return 201, {"message": "DNS Record Created"}

    def _there(self, zone: str, name: str, kind: str) -> tuple[str, str]:
        if (name, kind) not in self.stored[zone]:
            raise error(404, "dns-record", "Not Found", f"Can't find the DNS record {name}/{kind} in the zone")
        return name, kind

    def _shown(self, zone: str, key: tuple[str, str]) -> dict[str, Any]:
        href = f"https://api.gandi.net/v5/livedns/domains/{zone.removesuffix('.')}/records/{key[0]}/{key[1]}"
        return {"rrset_name": key[0], "rrset_type": key[1], **self.stored[zone][key], "rrset_href": href}

    def _valid(self, zone: str, name: str, kind: str, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict) or not set(body) <= FIELDS:
            raise invalid("body", "rrset", "unknown fields")
        if not name or name.endswith("."):
            raise invalid("body", "rrset_name", "not a name in the zone")
        if kind not in self.types or (kind == "ALIAS" and name != "@"):
            raise invalid("body", "rrset_type", f'"{kind}" is not one of {LISTED}')
        ttl, values = body.get("rrset_ttl", 10800), body.get("rrset_values")
        if not isinstance(ttl, int) or isinstance(ttl, bool) or not 300 <= ttl <= 2592000:
            raise invalid("body", "rrset_ttl", f"{ttl} is not between 300 and 2592000")
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise invalid("body", "rrset_values", "a list of texts is required")
        for value in values if kind != "ALIAS" else ():
            try:
                parsed(zone, kind, value)
            except (dns.exception.DNSException, ValueError) as caught:
                raise invalid("body", "rrset_values", f"invalid value: {caught}") from caught
        if len(set(values)) < len(values) or (kind == "CNAME" and len(values) > 1):
            raise invalid("body", "rrset_values", "duplicate values")
        others = {other for there, other in self.stored[zone] if there == name and other != kind}
        if others and "CNAME" in {kind, *others}:
            raise error(409, "dns-record", "Conflict", "A CNAME record can't stand beside other records")
        quoted = [value if kind != "TXT" or value.startswith('"') else f'"{value}"' for value in values]
        return {"rrset_ttl": ttl, "rrset_values": quoted}


def parsed(zone: str, kind: str, value: str) -> dns.rdata.Rdata:
    """Return what the name servers make of a value."""
    origin = dns.name.from_text(zone)
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), value, origin, relativize=False)


def error(status: int, what: str, cause: str, message: str) -> Refused:
    """Return an error as the API shows it."""
    return Refused(status, {"code": status, "message": message, "object": what, "cause": cause})


def invalid(location: str, name: str, description: str) -> Refused:
    """Return the answer to a request that the API does not take."""
    errors = [{"location": location, "name": name, "description": description}]
    return Refused(400, {"status": "error", "errors": errors})
