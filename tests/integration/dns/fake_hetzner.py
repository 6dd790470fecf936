# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Hetzner DNS in memory: zones and record sets of the Hetzner Cloud API v1, as its OpenAPI document describes them."""

from __future__ import annotations

import functools
import re
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import hetzner
from integration.dns.fakes import FakeProvider, Record, Refused, Request
from integration.dns.servers import SECRET

ZONE_TTL = 3600  # seconds
RECORDS_AT_A_TIME = 50
SHORTEST_TTL, LONGEST_TTL = 60, 2147483647
NAME = re.compile(r"@|(\*|[a-z0-9_-]{1,63})(\.[a-z0-9_-]{1,63})*")
WHEN = "2026-01-30T23:55:00Z"

RRsets = dict[tuple[str, str], dict[str, Any]]


def refused(status: int, code: str, message: str, **headers: str) -> Refused:
    """Return an error as the API words it."""
    return Refused(status, {"error": {"code": code, "message": message, "details": None}}, **headers)


def invalid(name: str, why: str) -> Refused:
    """Return the error of a field."""
    details = {"fields": [{"name": name, "messages": [why]}]}
    message = f"invalid input in field '{name}': {why}"
    return Refused(422, {"error": {"code": "invalid_input", "message": message, "details": details}})


@functools.lru_cache(4096)
def parsed(kind: str, value: str, origin: str) -> dns.rdata.Rdata:
    """Return a value as the name servers understand it."""
    return dns.rdata.from_text("IN", kind, value, origin=dns.name.from_text(origin), relativize=False)


@dataclass
class FakeZone:
    """A zone; its id is the key that it is found by."""

    name: str  # with its last dot
    mode: str = "primary"
    status: str = "ok"
    ttl: int = ZONE_TTL
    rrsets: RRsets = field(default_factory=dict)
    busy_until: float = 0.0


@dataclass
class Hetzner(FakeProvider):
    """One project. Every write is an action that says "running" first.

    Attributes:
        action_seconds: how long an action runs; the zone is locked meanwhile.
        fail_actions: code and message of the actions that fail, from the next one on.
        read_only: whether the token may only read.
    """

    backend = hetzner.Hetzner
    keeps_all = False
    types: ClassVar[frozenset[str]] = frozenset(
        (
            "A",
            "AAAA",
            "CAA",
            "CNAME",
            "DS",
            "HINFO",
            "HTTPS",
            "MX",
            "NS",
            "PTR",
            "RP",
            "SOA",
            "SRV",
            "SVCB",
            "TLSA",
            "TXT",
        )
    )

    action_seconds: float = 0.0
    fail_actions: list[tuple[str, str]] = field(default_factory=list)
    read_only: bool = False
    projects_zones: dict[int, FakeZone] = field(default_factory=dict)
    actions: dict[int, dict[str, Any]] = field(default_factory=dict)
    ids: Iterable[int] = field(default_factory=lambda: count(1000))

    def named(self, zone: str) -> FakeZone:
        """Return a zone by its name with the last dot, made where it is not there."""
        found = [one for one in self.projects_zones.values() if one.name == zone]
        if not found:
            found = [FakeZone(zone)]
            self.projects_zones[next(self.ids)] = found[0]
        return found[0]

    def load(self, zone: str, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        label = name.canonicalize().relativize(dns.name.from_text(zone)).to_text()
        kind = dns.rdatatype.to_text(rdata.rdtype)
        new = {"ttl": None if ttl == ZONE_TTL else ttl, "labels": {"of": "others"}, "change": False, "records": []}
        rrset = self.named(zone).rrsets.setdefault((label, kind), new)
        comment = f"not ours, {len(rrset['records'])}" if len(rrset["records"]) % 2 == 0 else None
        rrset["records"].append({"value": rdata.to_text(), "comment": comment})

    def records(self, zone: str) -> Iterable[Record]:
        here = self.named(zone)
        origin = dns.name.from_text(zone)
        for (label, kind), rrset in here.rrsets.items():
            name = origin if label == "@" else dns.name.from_text(label, origin)
            for record in rrset["records"]:
                yield name, rrset["ttl"] or here.ttl, parsed(kind, record["value"], zone)

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        with self._lock:
            return {
                (name, kind, rrset["ttl"], str(rrset["labels"]), rrset["change"], record["value"], record["comment"])
                for (name, kind), rrset in self.named(zone).rrsets.items()
                if kind != "SOA"
                for record in rrset["records"]
            }

    def credential(self, **changed: Any) -> dict[str, Any]:
        return {"provider": "hetzner", "url": f"{self.url}/v1", "secret": SECRET, **changed}

    def respond(
        self, method: str, target: str, headers: dict[str, str], data: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        with self._lock:
            self._asked = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query, keep_blank_values=True)
            return super().respond(method, target, headers, data)

    def answer(self, request: Request) -> Any:
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            raise refused(401, "unauthorized", "unable to authenticate")
        if self.read_only and request.method != "GET":
            raise refused(401, "token_readonly", "the token is only allowed to perform GET requests")
        match request.method, request.path.split("/")[1:]:
            case "GET", ["v1", "zones"]:
                return self._list_zones()
            case "GET", ["v1", "actions", number] | ["v1", "zones", "actions", number]:
                return {"action": self._action(number)}
            case "GET", ["v1", "zones", zone, "actions"]:
                return self._list_actions(self._zone(zone)[0])
            case "GET", ["v1", "zones", zone]:
                return {"zone": self._said(*self._zone(zone))}
            case method, ["v1", "zones", zone, "rrsets", *rest]:
                number, here = self._zone(zone)
                if here.mode != "primary":
                    raise refused(422, "incorrect_zone_mode", "zone is not in primary mode")
                return self._rrsets(method, number, here, rest, request.body)
        raise refused(404, "not_found", "not found")

    def _rrsets(self, method: str, number: int, zone: FakeZone, rest: list[str], body: Any) -> Any:
        match method, rest:
            case "GET", []:
                return self._list_rrsets(number, zone)
            case "POST", []:
                return self._create(number, zone, body)
            case method, [name, kind, *what] if kind in self.types and NAME.fullmatch(name):
                if (name, kind) not in zone.rrsets and what != ["actions", "add_records"]:
                    raise refused(404, "not_found", f"rrset with ID '{name}/{kind}' not found")
                return self._one_rrset(method, number, zone, key=(name, kind), what=what, body=body)
        raise refused(404, "not_found", "not found")

    def _one_rrset(
        self, method: str, number: int, zone: FakeZone, *, key: tuple[str, str], what: list[str], body: Any
    ) -> Any:
        rrset = zone.rrsets.get(key, {"change": False, "ttl": None, "labels": {}, "records": []})
        match method, what:
            case "GET", []:
                return {"rrset": _shown(number, key, rrset)}
            case "PUT", []:
                if set(body) - {"labels"}:
                    raise refused(422, "invalid_input", "can't update records with this endpoint")
                rrset["labels"] = dict(body.get("labels", rrset["labels"]))
                return {"rrset": _shown(number, key, rrset)}
            case "POST", ["actions", "change_protection"]:
                _fields(body, {"change"})
                rrset["change"] = bool(body["change"])
                return 201, {"action": self._act(number, zone, "change_rrset_protection", lambda: None)}
            case ("DELETE", []) | ("POST", ["actions", _]):
                if rrset["change"]:
                    raise refused(423, "protected", "rrset is protected")
        after = {**rrset, "records": [dict(record) for record in rrset["records"]]}
        match method, what:
            case "DELETE", []:
                after["records"] = []
                command = "delete_rrset"
            case "POST", ["actions", "add_records" | "remove_records" | "set_records" | "update_records" as action]:
                command = action.replace("_", "_rrset_")
                _change(action, after, self._records(body, key[1], zone, action))
                if action == "add_records" and not rrset["records"]:
                    _alone(zone, key)
            case "POST", ["actions", "change_ttl"]:
                _fields(body, {"ttl"})
                after["ttl"] = _ttl(body["ttl"])
                command = "change_rrset_ttl"
            case _:
                raise refused(405, "method_not_allowed", "the request method is not allowed")
        return 201, {"action": self._act(number, zone, command, lambda: _put(zone, key, after))}

    def _create(self, number: int, zone: FakeZone, body: Any) -> Any:
        _fields(body, {"name", "type", "records"}, {"ttl", "labels"})
        name, kind = body["name"], body["type"]
        if kind not in self.types:
            raise invalid("type", "is not one of the accepted values")
        apex = zone.name.rstrip(".")
        if not NAME.fullmatch(name) or name == apex or name.endswith(f".{apex}"):
            raise invalid("name", "must be lower case, and must not end with a dot or the zone's name")
        if (name, kind) in zone.rrsets:
            raise refused(409, "uniqueness_error", f"rrset with ID '{name}/{kind}' already exists")
        _alone(zone, (name, kind))
        new = {
            "ttl": _ttl(body.get("ttl")),
            "labels": body.get("labels") or {},
            "change": False,
            "records": self._records(body, kind, zone, "create")["records"],
        }
        if kind == "CNAME" and len(new["records"]) > 1:
            raise invalid("records", "a CNAME has one record")
        action = self._act(number, zone, "create_rrset", lambda: _put(zone, (name, kind), new))
        return 201, {"rrset": _shown(number, (name, kind), new), "action": action}

    def _records(self, body: Any, kind: str, zone: FakeZone, action: str) -> dict[str, Any]:
        """Return the body of an action, checked."""
        _fields(body, {"records"}, {"ttl"} if action == "add_records" else set(body) if action == "create" else set())
        given = body["records"]
        if not isinstance(given, list) or not 1 <= len(given) <= RECORDS_AT_A_TIME:
            raise invalid("records", f"must have 1 to {RECORDS_AT_A_TIME} entries")
        for record in given:
            _fields(record, {"value", "comment"} if action == "update_records" else {"value"}, {"comment"})
            if not all(isinstance(text, str) for text in record.values()):
                raise invalid("records", "value and comment are strings")
            _check_value(kind, record["value"], zone.name)
        if len({record["value"] for record in given}) < len(given):
            raise invalid("records", "must only contain distinct record values")
        return {
            "ttl": _ttl(body.get("ttl")),
            "records": [{"value": record["value"], "comment": record.get("comment")} for record in given],
        }

    def _act(self, number: int, zone: FakeZone, command: str, write: Any) -> dict[str, Any]:
        now = time.monotonic()
        if now < zone.busy_until:
            raise refused(423, "locked", "zone is locked")
        zone.busy_until = now + self.action_seconds
        error = None
        if self.fail_actions:
            code, message = self.fail_actions.pop(0)
            error = {"code": code, "message": message}
        else:
            write()
        action = {"command": command, "zone": number, "until": zone.busy_until, "error": error}
        identity = next(self.ids)
        self.actions[identity] = action
        return self._action(str(identity), looked=False)

    def _list_actions(self, zone: int) -> dict[str, Any]:
        self._known({"status", "sort", "page", "per_page"})
        shown = [self._action(str(number)) for number, action in self.actions.items() if action["zone"] == zone]
        wanted = self._asked.get("status")
        return self._page("actions", [one for one in shown if not wanted or one["status"] in wanted], 50)

    def _action(self, number: str, *, looked: bool = True) -> dict[str, Any]:
        action = self.actions.get(int(number)) if number.isdecimal() else None
        if action is None:
            raise refused(404, "not_found", f"action with ID '{number}' not found")
        done = looked and time.monotonic() >= action["until"]
        error = action["error"] if done else None
        return {
            "id": int(number),
            "command": action["command"],
            "status": ("error" if error else "success") if done else "running",
            "progress": 100 if done else 0,
            "started": WHEN,
            "finished": WHEN if done else None,
            "resources": [{"id": action["zone"], "type": action.get("type", "zone")}],
            "error": error,
        }

    def _zone(self, id_or_name: str) -> tuple[int, FakeZone]:
        for number, zone in self.projects_zones.items():
            if id_or_name in (str(number), zone.name.rstrip(".")):
                return number, zone
        raise refused(404, "not_found", f"zone with ID or name '{id_or_name}' not found")

    def _said(self, number: int, zone: FakeZone) -> dict[str, Any]:
        servers = [record["value"] for record in zone.rrsets.get(("@", "NS"), {"records": []})["records"]]
        return {
            "id": number,
            "name": zone.name.rstrip("."),
            "created": WHEN,
            "mode": zone.mode,
            "ttl": zone.ttl,
            "labels": {},
            "primary_nameservers": [],
            "protection": {"delete": False},
            "status": "updating" if time.monotonic() < zone.busy_until else zone.status,
            "record_count": sum(len(rrset["records"]) for rrset in zone.rrsets.values()),
            "authoritative_nameservers": {
                "assigned": servers,
                "delegated": servers,
                "delegation_last_check": WHEN,
                "delegation_status": "valid",
            },
            "registrar": "other",
        }

    def _list_zones(self) -> dict[str, Any]:
        self._known({"name", "mode", "label_selector", "sort", "page", "per_page"})
        wanted = self._asked.get("name"), self._asked.get("mode")
        zones = [
            said
            for said in (self._said(*one) for one in self.projects_zones.items())
            if all(not want or said[what] in want for what, want in zip(("name", "mode"), wanted, strict=True))
        ]
        return self._page("zones", zones, 50)

    def _list_rrsets(self, number: int, zone: FakeZone) -> dict[str, Any]:
        self._known({"name", "type", "label_selector", "sort", "page", "per_page"})
        names, types = self._asked.get("name", []), self._asked.get("type", [])
        if len(names) > 1 or not set(types) <= self.types:
            raise refused(422, "invalid_input", "name takes one value, type those that there are")
        rrsets = [
            _shown(number, key, rrset)
            for key, rrset in sorted(zone.rrsets.items())
            if (not names or key[0] in names) and (not types or key[1] in types)
        ]
        return self._page("rrsets", rrsets, 100)

    def _known(self, parameters: set[str]) -> None:
        if unknown := set(self._asked) - parameters:
            raise refused(422, "invalid_input", f"unknown parameters {sorted(unknown)}")

    def _page(self, what: str, entries: list[Any], most: int) -> dict[str, Any]:
        page, size = int(self._asked.get("page", ["1"])[0]), int(self._asked.get("per_page", ["25"])[0])
        if page < 1 or not 1 <= size <= most:
            raise invalid("per_page", f"must be between 1 and {most}")
        last = max(1, -(-len(entries) // size))
        return {
            what: entries[(page - 1) * size : page * size],
            "meta": {
                "pagination": {
                    "page": page,
                    "per_page": size,
                    "previous_page": page - 1 or None,
                    "next_page": page + 1 if page < last else None,
                    "last_page": last,
                    "total_entries": len(entries),
                }
            },
        }


def _shown(number: int, key: tuple[str, str], rrset: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "/".join(key),
        "name": key[0],
        "type": key[1],
        "ttl": rrset["ttl"],
        "labels": dict(rrset["labels"]),
        "protection": {"change": rrset["change"]},
        "records": [dict(record) for record in rrset["records"]],
        "zone": number,
    }


def _put(zone: FakeZone, key: tuple[str, str], rrset: dict[str, Any]) -> None:
    if rrset["records"]:
        zone.rrsets[key] = rrset
    else:
        zone.rrsets.pop(key, None)


def _change(action: str, rrset: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Do to `rrset` what an action says, or refuse it wholly."""
    given = {record["value"]: record for record in body["records"]}
    there = {record["value"] for record in rrset["records"]}
    if action == "add_records":
        if body["ttl"] is not None and rrset["ttl"] not in (None, body["ttl"]):
            raise invalid("ttl", "must be the same as the TTL of the rrset")
        if there & set(given):
            raise invalid("records", "already exist in the rrset")
        rrset["ttl"] = rrset["ttl"] if body["ttl"] is None else body["ttl"]
        rrset["records"] += given.values()
    elif action == "set_records":
        rrset["records"] = list(given.values())
    elif not set(given) <= there:
        raise invalid("records", "do not exist in the rrset")
    elif action == "remove_records":
        rrset["records"] = [record for record in rrset["records"] if record["value"] not in given]
    else:
        rrset["records"] = [given.get(record["value"], record) for record in rrset["records"]]


def _alone(zone: FakeZone, key: tuple[str, str]) -> None:
    """Refuse what would stand beside a CNAME (RFC 1034 section 3.6.2)."""
    others = {kind for name, kind in zone.rrsets if name == key[0]}
    if "CNAME" in others or (key[1] == "CNAME" and others):
        raise invalid("type", "CNAME records cannot stand beside others")


def _fields(body: Any, needed: set[str], allowed: Iterable[str] = ()) -> None:
    if not isinstance(body, dict):
        raise refused(400, "json_error", "invalid JSON input")
    for name in sorted(needed - set(body)):
        raise invalid(name, "is required")
    for name in sorted(set(body) - needed - set(allowed)):
        raise invalid(name, "is unknown")


def _ttl(ttl: Any) -> int | None:
    if ttl is not None and (not isinstance(ttl, int) or not SHORTEST_TTL <= ttl <= LONGEST_TTL):
        raise invalid("ttl", f"must be between {SHORTEST_TTL} and {LONGEST_TTL}")
    return ttl


def _check_value(kind: str, value: str, zone: str) -> None:
    if kind == "TXT" and not (value.startswith('"') and value.endswith('"')):
        raise invalid("records", "TXT values are quoted strings")
    try:
        parsed(kind, value, zone)
    except (dns.exception.DNSException, ValueError) as error:
        raise invalid("records", str(error)) from error
