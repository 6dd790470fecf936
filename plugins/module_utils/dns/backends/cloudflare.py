# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloudflare by its API v4. What changes in a zone is one batch, record by record: others' records are never sent.

It has no conditions. What is to change is read once more right before it is written; who writes the same record in the
milliseconds between is overwritten, or stands beside ours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from .. import reader
from ..api import Api, NotFound, quoted
from ..model import Change, DnsError, Key, RRset, Value, parse_name, parse_value, read_value
from ..planner import Found
from ..verify import Directory
from . import (
    AuthError,
    Backend,
    Caps,
    Conflict,
    Transient,
    Unsupported,
    Zone,
    ZoneNotFound,
    check_options,
    check_secret,
    longest_zones,
    portions,
    refuse_if_changed,
)

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

NEEDS_SECRET = True
OPTIONS = frozenset({"url"})
URL = "https://api.cloudflare.com/client/v4"
ZONES_A_PAGE = 50  # no more are given
RECORDS_A_PAGE = 5000  # up to 5,000,000 are allowed; this many are about 3 MB
RECORDS_A_BATCH = 200  # of a zone on the free plan; others may 3,500
READINGS = 3  # of a list of several pages that changes meanwhile
AUTOMATIC, AUTOMATIC_SECONDS = 1, 300  # the TTL "automatic", and what is served for it
TTLS = range(30, 86401)  # seconds; from 60 on where the zone is not on the enterprise plan
NOBODY = "0" * 32  # an id that no record has
PROXIABLE = ("A", "AAAA", "CNAME")
MANAGERS = {
    "email_routing": "Email Routing",
    "managed_by_apps": "an app of Cloudflare",
    "managed_by_argo_tunnel": "a Cloudflare Tunnel",
    "origin_worker_id": "a Worker",
    "read_only": "Cloudflare",
}
PROXIED = (
    "a record here is proxied: the world is told addresses of Cloudflare, which take no mail. Set it to DNS only "
    "(dashboard: DNS, Records), or use another name."
)
# Cloudflare says most of what is wrong with status 400 and a code of its own.
CHANGED = frozenset({81044, 81057, 81058})  # no such record; there is such a record; there is an identical one
NOT_ACCEPTED = frozenset({6003, 6111, 9106, 9109, 10000})
NO_SUCH_ZONE = frozenset({7000, 7003})
TOO_FAST = frozenset({971})


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> Cloudflare:
    """Return the backend of the credential `name`; `secret` is an API token.

    Options: `url` of the API, where it is not Cloudflare's own.

    Raises:
        AuthError: an option is none, the secret is no token, or the address is not https.
    """
    check_options(name, "cloudflare", said, OPTIONS)
    url = str(said.get("url") or URL)
    headers = {"Authorization": f"Bearer {check_secret(name, secret)}"}
    return Cloudflare(Api(name, url, headers, secret, told=_by_code))


def _by_code(error: DnsError, said: Any) -> DnsError:
    """Return what the codes of an answer say of an error."""
    codes = set(_codes(said))
    if codes & CHANGED:
        return Conflict(str(error))
    if codes & TOO_FAST:
        return Transient(str(error))
    if codes & NO_SUCH_ZONE:
        return NotFound(str(error))
    if codes & NOT_ACCEPTED and not isinstance(error, AuthError):
        return AuthError(f"{error}. Its secret is no API token (docs/dns-backends.md).")
    return error


@dataclass(frozen=True)
class Handle:
    """A record's id, and its own TTL as Cloudflare has it."""

    id: str
    ttl: int


class Cloudflare(Backend):
    """One API token."""

    caps = Caps(atomic="batch", compare_and_swap=False, value_level=True, sees_delegations=False)

    def __init__(self, api: Api) -> None:
        self._api = api
        self._servers: dict[str, tuple[str, ...]] = {}  # by the id of a zone, as told with it

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name: from the list of all, or asked for by name where that is fewer requests.

        A zone that the world cannot be asking hides those above it, since what it will hold once it is asked is not
        to be written elsewhere.
        """
        candidates = {dns.name.Name(name.labels[i:]) for name in names for i in range(len(name.labels) - 2)}
        said = self._list("/zones", ZONES_A_PAGE, at_most=len(candidates))
        if said is None:
            texts = sorted(name.to_text(omit_final_dot=True) for name in candidates)
            said = [zone for text in texts for zone in self._list("/zones", ZONES_A_PAGE, {"name": text}) or ()]
        known: dict[dns.name.Name, list[Zone]] = defaultdict(list)
        asleep: dict[dns.name.Name, str] = {}
        for one in said:
            name = parse_name(one["name"])
            self._servers[one["id"]] = _servers(one)
            if reason := _asleep(one):
                asleep[name] = reason
            else:
                known[name].append(Zone(name, one["id"]))
        unused = {name: [Zone(name)] for name in asleep if name not in known}
        return {
            name: ZoneNotFound(asleep[zone.name]) if isinstance(zone, Zone) and not zone.token else zone
            for name, zone in longest_zones(names, {**known, **unused}, "Cloudflare").items()
        }

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the name servers that Cloudflare assigned to the zone, and the owner's own names of them."""
        if zone.token not in self._servers:
            self._servers[zone.token] = _servers(self._api.get(quoted("zones", zone.token))["result"])
        return self._servers[zone.token]

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, out of the whole zone, or by name where that is fewer requests."""
        wanted = list(dict.fromkeys(keys))
        there: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for record in self._records(zone, {key.name for key in wanted}):
            there[record["name"].lower(), record["type"]].append(record)

        def at(key: Key) -> RRset | None:
            return _rrset(key, there[key.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(key.type)])

        found = reader.listed(wanted, at)
        if zone.name not in found.aliases:
            return found
        # Others may stand beside a CNAME at the apex; what Cloudflare makes of it are addresses.
        aliases = {name: target for name, target in found.aliases.items() if name != zone.name}
        flattened = Unsupported(
            f"zone {zone.name}: the zone itself is a CNAME to {found.aliases[zone.name]}, which Cloudflare serves as "
            "addresses (CNAME flattening). Use another name, or remove the CNAME."
        )
        addresses = [
            key for key in wanted if key.name == zone.name and dns.rdatatype.to_text(key.type) in ("A", "AAAA")
        ]
        return Found(found.rrsets, aliases, {**found.faults, **{key: flattened for key in addresses if key in wanted}})

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return `changes` in portions of as many records as Cloudflare takes at once."""
        return portions(changes, _records_of, RECORDS_A_BATCH)

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Write `changes` in one batch, if what is there is still as it was read.

        Cloudflare deletes first and creates last. Nobody sees what is between: a batch is one transaction, and where
        one part of it is refused, nothing is done.
        """
        now = self.read(zone, [change.key for change in changes])
        for change in changes:
            refuse_if_changed(now, change, _state)
        body: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for change in changes:
            steps = change.steps
            body["deletes"] += [{"id": value.token.id} for value in steps.delete]
            # Patches, since puts would drop comments, tags and settings of a record that others made.
            body["patches"] += [_patch(change, old, new) for old, new in steps.update]
            body["posts"] += [_record(change) | _content(value) for value in steps.create]
        self._api.send("POST", _path(zone, "batch"), {part: entries for part, entries in body.items() if entries})

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read, and ask to change a record that is not there: who may not write is told so, and others that it is not.

        Raises:
            AuthError: the token may not read or not write.
        """
        self.read(zone, keys)
        with suppress(Conflict, NotFound, Unsupported):
            self._api.send("PATCH", _path(zone, NOBODY), {"ttl": AUTOMATIC}, repeatable=True)

    def settled(self, seconds: float) -> None:
        """Cloudflare does not tell; its name servers are asked."""

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _records(self, zone: Zone, names: set[dns.name.Name]) -> Sequence[Mapping[str, Any]]:
        try:
            said = self._list(_path(zone), RECORDS_A_PAGE, at_most=len(names)) if len(names) > 1 else None
            if said is not None:
                return said
            texts = sorted(name.to_text(omit_final_dot=True) for name in names)
            by_name = [self._list(_path(zone), RECORDS_A_PAGE, {"name.exact": text}) or () for text in texts]
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error
        return [record for records in by_name for record in records]

    def _list(
        self, path: str, size: int, query: Mapping[str, str] | None = None, at_most: float = math.inf
    ) -> Sequence[Mapping[str, Any]] | None:
        """Return what all pages of a list hold, None where behind the first there are more than `at_most`.

        Raises:
            Transient: entries moved from page to page while they were read, again and again.
        """
        for _reading in range(READINGS):
            found: dict[str, Mapping[str, Any]] = {}
            page, pages, total = 0, 1, 0
            while page < pages:
                page += 1
                said = self._api.get(path, page=page, per_page=size, **(query or {}))
                total = said["result_info"]["total_count"]
                pages = math.ceil(total / said["result_info"]["per_page"])
                if pages - page > at_most:
                    return None
                found |= {entry["id"]: entry for entry in said["result"]}
            if pages <= 1 or len(found) == total:
                return list(found.values())
        raise Transient(f"Cloudflare's list {path} changed {READINGS} times while it was read. Run again.")


def _records_of(change: Change) -> int:
    steps = change.steps
    return len(steps.create) + len(steps.update) + len(steps.delete)


def _path(zone: Zone, *more: str) -> str:
    return quoted("zones", zone.token, "dns_records", *more)


def _codes(said: Any) -> Iterator[int]:
    """Yield the codes of an answer's errors, and of their causes."""
    errors = said.get("errors") or said.get("error_chain") if isinstance(said, Mapping) else None
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, Mapping):
            yield error.get("code") or 0
            yield from _codes(error)


def _servers(zone: Mapping[str, Any]) -> tuple[str, ...]:
    names = [*(zone.get("name_servers") or ()), *(zone.get("vanity_name_servers") or ())]
    return tuple(sorted({str(parse_name(name)) for name in names}))


def _asleep(zone: Mapping[str, Any]) -> str:
    """Return why the world does not ask a zone, or why it cannot be changed, "" where neither is so."""
    name, status, kind = zone["name"], zone.get("status"), zone.get("type") or "full"
    if kind == "secondary":
        return f"zone {name} at Cloudflare is a copy (secondary) of another server's. Name the credential of that one."
    if kind != "full":
        return f"zone {name} at Cloudflare is no full one ({kind}): the world asks others. Name their credential."
    if status != "active":
        return (
            f"zone {name} at Cloudflare is {status}, so the world asks others for it. Enter its name servers "
            f"({', '.join(_servers(zone))}) at the registrar and wait until it is active, or remove it there."
        )
    return ""


def _rrset(key: Key, records: Sequence[Mapping[str, Any]]) -> RRset | None:
    if not records:
        return None
    values = tuple(_value(key.type, record) for record in records)
    # What is proxied is automatic too, but no TTL of ours is ever that one, so that its lock is always told.
    ttl = min(AUTOMATIC_SECONDS if r["ttl"] == AUTOMATIC and not r.get("proxied") else r["ttl"] for r in records)
    if any(record.get("proxied") for record in records):
        return RRset(key, ttl, values, PROXIED)
    for field, manager in MANAGERS.items():
        if any((record.get("meta") or {}).get(field) for record in records):
            return RRset(
                key,
                ttl,
                values,
                f"a record here is managed by {manager} and cannot be changed here. Turn off in the dashboard what "
                "made it, or use another name.",
            )
    return RRset(key, ttl, values)


def _value(kind: dns.rdatatype.RdataType, record: Mapping[str, Any]) -> Value:
    text, data = str(record.get("content")), record.get("data") or {}
    token = Handle(record["id"], record["ttl"])
    if kind == dns.rdatatype.TXT and not text.startswith('"'):  # kept as somebody sent it, and served as one string
        return replace(parse_value(kind, text), token=token)
    if kind == dns.rdatatype.MX:
        text = f"{record.get('priority', data.get('priority'))} {text}"
    elif kind == dns.rdatatype.SRV:
        text = " ".join(str(data.get(part)) for part in ("priority", "weight", "port", "target"))
    return read_value(kind, text, token)


def _state(rrset: RRset | None) -> Any:
    """Return what tells whether a record set is another than it was."""
    return rrset and (rrset.locked, {value.token: value.wire for value in rrset.values})


def _record(change: Change) -> dict[str, Any]:
    """Return what all new records of a change say."""
    kind = dns.rdatatype.to_text(change.key.type)
    record = {"name": change.key.name.to_text(omit_final_dot=True), "type": kind, "ttl": _ttl(change)}
    return {**record, "proxied": False} if kind in PROXIABLE else record


def _patch(change: Change, old: Value, new: Value) -> dict[str, Any]:
    before, after = change.before, change.after
    ttl = old.token.ttl if before and after and before.ttl == after.ttl else _ttl(change)
    patch = {**_record(change), "id": old.token.id, "ttl": ttl}
    patch.pop("proxied", None)  # it stays
    return patch if new is old else patch | _content(new)


def _ttl(change: Change) -> int:
    before, after = change.before, change.after
    if before and after and before.ttl == after.ttl:
        return AUTOMATIC if all(value.token.ttl == AUTOMATIC for value in before.values) else before.ttl
    ttl = after.ttl if after else 0
    if ttl not in TTLS:
        raise Unsupported(f"{change.key}: Cloudflare has no TTL of {ttl} s; it takes 60 to 86400.")
    return ttl


def _content(value: Value) -> dict[str, Any]:
    """Return a value of ours as Cloudflare wants it: by its fields, or as text."""
    rdata: Any = value.rdata
    kind = dns.rdatatype.to_text(rdata.rdtype)
    if kind in ("A", "AAAA", "TXT"):
        return {"content": rdata.to_text()}
    if kind in ("CNAME", "NS", "PTR"):
        return {"content": rdata.target.to_text(omit_final_dot=True)}
    if kind == "MX":
        return {"content": rdata.exchange.to_text(omit_final_dot=True), "priority": rdata.preference}
    if kind == "CAA":
        return {"data": {"flags": rdata.flags, "tag": rdata.tag.decode(), "value": rdata.value.decode()}}
    if kind == "SRV":
        target = rdata.target.to_text(omit_final_dot=True)
        return {
            "data": {"priority": rdata.priority, "weight": rdata.weight, "port": rdata.port, "target": target},
        }
    if kind == "TLSA":
        numbers = {"usage": rdata.usage, "selector": rdata.selector, "matching_type": rdata.mtype}
        return {"data": {**numbers, "certificate": rdata.cert.hex()}}
    raise Unsupported(f"{kind} records cannot be written at Cloudflare by this program; enter {value.text} by hand.")
