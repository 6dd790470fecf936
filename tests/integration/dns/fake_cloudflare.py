# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Cloudflare's API v4 in memory: zones and DNS records, one by one and in batches.

Where it is stricter than Cloudflare, that is to find mistakes of ours: it refuses fields that Cloudflare does not have.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import cloudflare
from dns.rdtypes.ANY.TXT import TXT
from integration.dns.fakes import FakeProvider, Record, Refused, Request
from integration.dns.servers import SECRET

ROOT = "/client/v4"
ADDRESS_TYPES = frozenset({"A", "AAAA", "CNAME"})
HOSTS = frozenset({"CNAME", "MX", "NS", "PTR"})
DATA: dict[str, tuple[str, ...]] = {
    "CAA": ("flags", "tag", "value"),
    "SRV": ("priority", "weight", "port", "target"),
    "TLSA": ("usage", "selector", "matching_type", "certificate"),
}
TEXTS = frozenset({"tag", "value", "target", "certificate"})  # parts of data that are no numbers
FIELDS = frozenset({"type", "name", "content", "data", "ttl", "priority", "proxied", "comment", "tags", "settings"})
RECORDS_QUERY = frozenset({"page", "per_page", "name", "name.exact", "type", "content.exact", "order", "direction"})
ZONES_QUERY = frozenset({"page", "per_page", "name", "status", "order", "direction"})
WHEN = "2026-01-01T00:00:00.000000Z"
Stored = dict[str, Any]


def errors(status: int, code: int, message: str, *chain: tuple[int, str], **headers: str) -> Refused:
    """Return an answer that says what is wrong, as all of Cloudflare's do."""
    causes = [{"code": number, "message": text} for number, text in chain]
    error = {"code": code, "message": message, **({"error_chain": causes} if causes else {})}
    return Refused(status, {"success": False, "errors": [error], "messages": [], "result": None}, **headers)


def invalid(code: int, message: str) -> Refused:
    """Return the answer to a record that is none."""
    return errors(400, 1004, "DNS Validation Error", (code, message))


def too_fast(after: int) -> Refused:
    """Return the answer to too many requests."""
    return errors(429, 971, "Please wait and consider throttling your request speed", Retry_After=str(after))


@dataclass
class Cloudflare(FakeProvider):
    """Cloudflare with one account on the free plan and one API token.

    Attributes:
        zone_objects: what GET /zones says of each, by id.
        stored: the records of each zone, by the zone's id and their own.
        may_write: whether the token has DNS Write, and not only DNS Read.
        meanwhile: called once before the next batch, as somebody else who is faster.
    """

    backend = cloudflare.Cloudflare
    keeps_all = False
    types: ClassVar[frozenset[str]] = frozenset(
        {"A", "AAAA", "CAA", "CNAME", "HTTPS", "LOC", "MX", "NAPTR", "NS", "SRV", "SSHFP", "TLSA", "TXT"}
    )

    zone_objects: dict[str, Stored] = field(default_factory=dict)
    stored: dict[str, dict[str, Stored]] = field(default_factory=dict)
    may_write: bool = True
    meanwhile: Callable[[], None] | None = None
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self) -> None:
        for zone in self.zones:
            self.add_zone(zone)
        super().start()

    def add_zone(self, name: str, **said: Any) -> str:
        """Add a zone, and return its id."""
        zone = {
            "id": f"{next(self.ids):032x}",
            "name": name.rstrip("."),
            "status": "active",
            "type": "full",
            "paused": False,
            "development_mode": 0,
            "name_servers": ["ns1.lab.example"],
            "original_name_servers": None,
            "original_registrar": None,
            "original_dnshost": None,
            "created_on": WHEN,
            "modified_on": WHEN,
            "activated_on": WHEN,
            "meta": {"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": False},
            "owner": {"id": None, "type": "user", "email": None},
            "account": {"id": f"{1:032x}", "name": "lab"},
            "plan": {"id": f"{2:032x}", "name": "Free Website", "legacy_id": "free"},
            "permissions": ["#dns_records:edit", "#dns_records:read", "#zone:read"],
            **said,
        }
        self.zone_objects[zone["id"]] = zone
        self.stored[zone["id"]] = {}
        return str(zone["id"])

    def zone_id(self, name: str) -> str:
        """Return the id of the zone `name`."""
        return next(one["id"] for one in self.zone_objects.values() if one["name"] == name.rstrip("."))

    def load(self, zone: str, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata, **said: Any) -> None:
        kind = dns.rdatatype.to_text(rdata.rdtype)
        if kind == "NS" and str(name) == zone:
            return  # those that Cloudflare assigned are no records
        record: Stored = {"type": kind, "name": name.to_text(omit_final_dot=True), "content": rdata.to_text()}
        if isinstance(rdata, TXT):
            pass
        elif kind == "MX":
            record |= {"content": str(rdata.exchange).removesuffix(".") or ".", "priority": rdata.preference}
        elif kind in HOSTS:
            record["content"] = str(rdata.target).removesuffix(".")
        elif kind in DATA:
            parts = zip(DATA[kind], rdata.to_text().replace('"', "").split(), strict=True)
            record |= _from_data(
                kind, {part: text.removesuffix(".") if part in TEXTS else int(text) for part, text in parts}
            )
        self.add(zone, **{**record, "ttl": ttl, "comment": "do not touch", "tags": ["owner:them"], **said})

    def add(self, zone: str, **said: Any) -> str:
        """Keep a record as it is, whatever it says, and return its id."""
        identity = f"{next(self.ids):032x}"
        self.stored[self.zone_id(zone)][identity] = self._completed(identity, said)
        return identity

    def records(self, zone: str) -> Iterable[Record]:
        apex = dns.name.from_text(zone)
        for server in self.zone_objects[self.zone_id(zone)]["name_servers"]:
            yield apex, 86400, dns.rdata.from_text("IN", "NS", f"{server}.")
        for record in list(self.stored[self.zone_id(zone)].values()):
            yield dns.name.from_text(record["name"]), 300 if record["ttl"] == 1 else record["ttl"], _rdata(record)

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        with self._lock:
            return {
                (identity, *(str(record.get(said)) for said in sorted(FIELDS)))
                for identity, record in self.stored[self.zone_id(zone)].items()
            }

    def credential(self, **changed: Any) -> dict[str, Any]:
        return {"provider": "cloudflare", "url": f"{self.url}{ROOT}", "secret": SECRET, **changed}

    def answer(self, request: Request) -> Any:
        self._authenticate(request)
        path = request.path.removeprefix(ROOT).strip("/").split("/")
        match (request.method, path):
            case "GET", ["zones"]:
                return self._zones(request.query)
            case "GET", ["zones", zone]:
                return _result(self._zone(zone))
            case "GET", ["zones", zone, "dns_records"]:
                return self._list(zone, request.query)
        if request.method not in ("POST", "PATCH", "PUT", "DELETE") or path[2:3] != ["dns_records"]:
            raise errors(404, 7000, "No route for that URI")
        if not self.may_write:
            raise errors(403, 10000, "Authentication error")
        _only(request.query, frozenset())
        return _result(self._write(self._zone(path[1])["id"], request.method, path[3:], request.body))

    def _write(self, zone: str, method: str, path: list[str], body: Any) -> Stored:
        records = dict(self.stored[zone])  # a transaction: kept where all of it can be
        match (method, path):
            case "POST", ["batch"]:
                return self._batch(zone, body)
            case "POST", []:
                done = self._create(zone, records, body)
            case "PATCH" | "PUT", [identity]:
                done = self._change(zone, records, identity, body, method)
            case "DELETE", [identity]:
                self._existing(records, identity)
                done = {"id": records.pop(identity)["id"]}
            case _:
                raise errors(405, 10405, "Method not allowed for this authentication scheme")
        self.stored[zone] = records
        return done

    def _authenticate(self, request: Request) -> None:
        said = request.headers.get("Authorization")
        if said is None:
            raise errors(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
        if not re.fullmatch(r"Bearer [A-Za-z0-9_=-]{20,}", said):
            raise errors(400, 6003, "Invalid request headers", (6111, "Invalid format for Authorization header"))
        if said != f"Bearer {SECRET}":
            raise errors(403, 9109, "Invalid access token")

    def _zones(self, query: Mapping[str, str]) -> Any:
        _only(query, ZONES_QUERY)
        found = [
            zone
            for zone in self.zone_objects.values()
            if query.get("name", zone["name"]) == zone["name"] and query.get("status", zone["status"]) == zone["status"]
        ]
        return _page(found, query, 20, 5, 50)

    def _zone(self, identity: str) -> Stored:
        if identity not in self.zone_objects:
            raise errors(
                404, 7003, f"Could not route to /client/v4/zones/{identity}, perhaps your object identifier is invalid?"
            )
        return self.zone_objects[identity]

    def _list(self, zone: str, query: Mapping[str, str]) -> Any:
        _only(query, RECORDS_QUERY)
        self._zone(zone)
        name = query.get("name.exact", query.get("name", "")).lower()
        found = [
            record
            for record in self.stored[zone].values()
            if name in ("", record["name"].lower()) and query.get("type", record["type"]) == record["type"]
        ]
        return _page(sorted(found, key=lambda record: record["type"]), query, 100, 1, 5_000_000)

    def _batch(self, zone: str, body: Any) -> Stored:
        if not isinstance(body, dict) or not body or set(body) - {"deletes", "patches", "puts", "posts"}:
            raise errors(400, 9207, "Request body is invalid.")
        if sum(len(entries) for entries in body.values()) > 200:
            raise errors(400, 81100, "Batch contains more than 200 records, which this plan does not allow.")
        if self.meanwhile:
            ahead, self.meanwhile = self.meanwhile, None
            ahead()
        records = dict(self.stored[zone])
        done: dict[str, list[Stored]] = {"deletes": [], "patches": [], "puts": [], "posts": []}
        for entry in body.get("deletes", ()):
            self._existing(records, entry["id"])
            done["deletes"].append(records.pop(entry["id"]))
        for part, method in (("patches", "PATCH"), ("puts", "PUT")):
            for entry in body.get(part, ()):
                said = {name: value for name, value in entry.items() if name != "id"}
                done[part].append(self._change(zone, records, entry["id"], said, method))
        for entry in body.get("posts", ()):
            done["posts"].append(self._create(zone, records, entry))
        self.stored[zone] = records
        return done

    def _existing(self, records: Mapping[str, Stored], identity: str) -> Stored:
        if identity not in records:
            raise errors(404, 81044, "Record does not exist.")
        record = records[identity]
        if record["meta"].get("read_only"):
            raise errors(400, 1046, "This record is managed by Email Routing. Disable Email Routing to modify it.")
        return record

    def _create(self, zone: str, records: dict[str, Stored], said: Any) -> Stored:
        identity = f"{next(self.ids):032x}"
        record = self._completed(identity, self._valid(zone, said, whole=True))
        _free(records, record)
        records[identity] = record
        return record

    def _change(self, zone: str, records: dict[str, Stored], identity: str, said: Any, method: str) -> Stored:
        there = self._existing(records, identity)
        valid = self._valid(zone, {"type": there["type"], **said}, whole=method == "PUT")
        if valid["type"] != there["type"]:
            raise errors(400, 81055, "The type of a record cannot be changed.")
        base = {name: there[name] for name in FIELDS & set(there)} if method == "PATCH" else {}
        record = self._completed(identity, {**base, **valid})
        _free({other: one for other, one in records.items() if other != identity}, record)
        records[identity] = record
        return record

    def _valid(self, zone: str, said: Any, *, whole: bool) -> Stored:
        """Return what a client says of a record as Cloudflare keeps it."""
        if not isinstance(said, dict) or set(said) - FIELDS:
            raise errors(400, 9207, f"Request body is invalid: {said}")
        record = dict(said)
        kind = record.get("type")
        if not isinstance(kind, str) or kind not in {*ADDRESS_TYPES, *HOSTS, *DATA, "TXT"}:
            raise invalid(9000, f"Invalid DNS record type {kind}.")
        if whole and not isinstance(record.get("name"), str):
            raise invalid(9000, "DNS name is invalid.")
        if "name" in record:
            record["name"] = _full(record["name"], self.zone_objects[zone]["name"])
        _check_ttl(record.get("ttl", 1))
        _check_proxied(kind, record.get("proxied", False))
        if record.get("proxied"):
            record["ttl"] = 1
        if kind in DATA:
            if whole or "data" in record:
                record |= _from_data(kind, record.get("data"))
        elif whole or "content" in record:
            record["content"] = _content(kind, record.get("content"))
        if kind == "MX" and (whole or "priority" in record):
            _check_priority(record.get("priority"))
        return record

    def _completed(self, identity: str, said: Mapping[str, Any]) -> Stored:
        return {
            "proxied": False,
            "ttl": 1,
            "settings": {},
            "meta": {},
            "comment": None,
            "tags": [],
            **said,
            "id": identity,
            "proxiable": said["type"] in ADDRESS_TYPES,
            "created_on": WHEN,
            "modified_on": WHEN,
        }


def _result(result: Any) -> Stored:
    return {"success": True, "errors": [], "messages": [], "result": result}


def _only(query: Mapping[str, str], known: frozenset[str]) -> None:
    if unknown := sorted(set(query) - known):
        raise errors(400, 1000, f"unknown parameters {unknown}")


def _page(found: list[Stored], query: Mapping[str, str], usual: int, least: int, most: int) -> Stored:
    page, size = int(query.get("page", 1)), int(query.get("per_page", usual))
    if page < 1 or not least <= size <= most:
        raise errors(400, 1001, f"per_page must be between {least} and {most}")
    here = found[(page - 1) * size : page * size]
    info = {
        "page": page,
        "per_page": size,
        "count": len(here),
        "total_count": len(found),
        "total_pages": math.ceil(len(found) / size),
    }
    return {**_result(here), "result_info": info}


def _full(name: str, zone: str) -> str:
    name = zone if name == "@" else name.rstrip(".").lower()
    if name != zone and not name.endswith(f".{zone}"):
        name = f"{name}.{zone}"
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException:
        raise invalid(9000, "DNS name is invalid.") from None
    return name


def _check_ttl(ttl: Any) -> None:
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not (ttl == 1 or 60 <= ttl <= 86400):
        raise invalid(9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")


def _check_proxied(kind: str, proxied: Any) -> None:
    if not isinstance(proxied, bool):
        raise invalid(9003, "Invalid 'proxied' value, must be a boolean.")
    if proxied and kind not in ADDRESS_TYPES:
        raise invalid(9004, "This record type cannot be proxied.")


def _check_priority(priority: Any) -> None:
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 65535:
        raise invalid(9101, "priority is a required data field.")


def _content(kind: str, content: Any) -> str:
    if not isinstance(content, str):
        raise invalid(9101, "content is a required data field.")
    try:
        if kind == "A":
            return str(ipaddress.IPv4Address(content))
        if kind == "AAAA":
            return str(ipaddress.IPv6Address(content))
    except ValueError:
        raise invalid(9005, f"Content for {kind} record must be a valid IP address.") from None
    if kind in HOSTS:
        if not re.fullmatch(r"\.|([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?", content):
            raise invalid(9009, f"Content for {kind} record must be a hostname.")
        return content.removesuffix(".") or "."
    try:
        _rdata({"type": kind, "content": content})
    except (dns.exception.DNSException, ValueError):
        raise invalid(9026, "Content for TXT record must be properly quoted.") from None
    return content


def _from_data(kind: str, data: Any) -> Stored:
    if not isinstance(data, dict) or set(data) != set(DATA[kind]):
        raise invalid(9101, f"{', '.join(DATA[kind])} are required data fields.")
    texts = [str(data[part]) for part in DATA[kind]]
    record: Stored = {"data": dict(data)}
    if kind == "SRV":
        record["priority"] = data["priority"]
        record["content"] = " ".join(texts[1:])
    elif kind == "CAA":
        record["content"] = f'{texts[0]} {texts[1]} "{texts[2]}"'
    else:
        record["content"] = " ".join(texts)
    numbers = [part for part in DATA[kind] if part not in TEXTS]
    if any(isinstance(data[part], bool) or not isinstance(data[part], int) for part in numbers):
        raise invalid(9101, f"{', '.join(numbers)} must be numbers.")
    try:
        _rdata({"type": kind, **record})
    except (dns.exception.DNSException, ValueError) as error:
        raise invalid(9026, f"Data for {kind} record is invalid: {error}") from None
    return record


def _free(records: Mapping[str, Stored], new: Stored) -> None:
    """Refuse a record that cannot stand beside those of its name."""
    beside = [record for record in records.values() if record["name"].lower() == new["name"]]
    same = [record for record in beside if record["type"] == new["type"]]
    if any((r["content"], r.get("priority")) == (new["content"], new.get("priority")) for r in same):
        raise errors(400, 81058, "An identical record already exists.")
    if new["type"] == "CNAME" and any(record["type"] in ADDRESS_TYPES for record in beside):
        raise errors(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
    if new["type"] in ("A", "AAAA") and any(record["type"] == "CNAME" for record in beside):
        raise errors(400, 81054, "A CNAME record with that host already exists.")
    if any((record["type"] == "NS") != (new["type"] == "NS") for record in beside):
        raise errors(400, 81056, "NS records with that host already exist.")
    if new["type"] == "TXT" and sum(len(record["content"]) for record in [*same, new]) > 8192:
        raise errors(400, 81060, "The combined content of the TXT records of this name is too long.")


def _rdata(record: Mapping[str, Any]) -> dns.rdata.Rdata:
    """Return what Cloudflare's name servers answer for a record."""
    kind, text = record["type"], record["content"]
    if kind == "TXT" and not text.startswith('"'):
        data = text.encode()
        return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [data[i : i + 255] for i in range(0, len(data), 255)] or [b""])
    if kind in ("MX", "SRV"):
        text = f"{record['priority']} {text}"
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False)
