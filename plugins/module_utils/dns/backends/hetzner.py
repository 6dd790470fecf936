# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hetzner DNS by the Hetzner Cloud API. A record set changes at a time, by an action that is waited for.

Values are added and removed one by one. Only what takes another's place goes with its whole record set, since there
must be one SPF record at every moment; so the set is read again just before. What a third writer does between that and
the write, some milliseconds, is lost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .. import reader
from ..api import Api, NotFound, quoted
from ..hetzner_cloud import ACTION_SECONDS, FIRST_PAUSE, LONGEST_PAUSE, connect, pages, project, wait
from ..model import Change, DnsError, Key, RRset, Value, read_value
from ..planner import Found
from ..verify import Directory
from . import (
    Backend,
    Caps,
    Conflict,
    Transient,
    Unsupported,
    Zone,
    ZoneNotFound,
    longest_zones,
)

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

NEEDS_SECRET = True
ZONES_A_PAGE, RRSETS_A_PAGE = 50, 100  # the most that the API gives
PROBE = "_sendyard-may-write"  # a name that nobody has
PROTECTED = "the record set is protected from changes at Hetzner. Lift its protection in the Hetzner Console."


@dataclass(frozen=True)
class Token:
    """A value as the API gives it, and the TTL of its record set there, None where the zone's holds."""

    value: str
    comment: str | None
    ttl: int | None


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> Hetzner:
    """Return the backend of the credential `name`; `secret` is an API token of the project that has the zones.

    Options: `url` of the API, with its version.

    Raises:
        AuthError: an option is none, or the address is not https.
    """
    return Hetzner(connect(name, said, secret), project(name))


class Hetzner(Backend):
    """One project and token."""

    caps = Caps(atomic="rrset", compare_and_swap=False, value_level=False, sees_delegations=False)

    def __init__(self, api: Api, where: str) -> None:
        self._api = api
        self._where = where
        self._known: dict[str, Mapping[str, Any]] = {}  # what the API says of zones, by their ids
        self._written: set[str] = set()

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name, from the list of all; one that is copied from elsewhere cannot be changed."""
        zones: dict[dns.name.Name, list[Zone]] = {}
        for said in self._all_zones():
            zone = Zone(dns.name.from_text(said["name"]).canonicalize(), str(said["id"]))
            zones.setdefault(zone.name, []).append(zone)
        found = longest_zones(names, zones, self._where)
        return {name: self._writable(zone) if isinstance(zone, Zone) else zone for name, zone in found.items()}

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the name servers that the zone was assigned."""
        assigned = self._said(zone)["authoritative_nameservers"]["assigned"]
        return tuple(sorted(str(dns.name.from_text(server).canonicalize()) for server in assigned))

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key: out of the whole zone, or name by name where that has more pages."""
        wanted = list(dict.fromkeys(keys))
        names = {_relative(key, zone) for key in wanted}
        types = [("type", kind) for kind in sorted({"CNAME", *(dns.rdatatype.to_text(key.type) for key in wanted)})]
        whole = math.ceil(self._said(zone)["record_count"] / RRSETS_A_PAGE) <= len(names)
        queries = [types] if whole else [[("name", name), *types] for name in sorted(names)]
        try:
            said = [
                rrset for query in queries for rrset in pages(self._api, _path(zone), "rrsets", RRSETS_A_PAGE, query)
            ]
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error
        there = {(rrset["name"], rrset["type"]): rrset for rrset in said}

        def at(key: Key) -> RRset | None:
            return self._rrset(zone, key, there.get((_relative(key, zone), dns.rdatatype.to_text(key.type))))

        return reader.listed(wanted, at)

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return `changes` one by one: an action is about one record set."""
        return [[change] for change in changes]

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Create record sets, add values, replace them, remove them, and last change TTLs; wait for each."""
        for change in changes:
            self._written.add(zone.token)
            self._change(zone, change)

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read, and ask to remove a value that is not there: a token that may only read is refused before."""
        self.read(zone, keys)
        path = _path(zone, PROBE, "TXT", "actions", "remove_records")
        with suppress(NotFound, Unsupported, Conflict):
            self._api.send("POST", path, {"records": [{"value": '"nothing"'}]})

    def settled(self, seconds: float) -> None:
        """Return when all zones that were written are said to be at the name servers."""
        expires = time.monotonic() + seconds
        pause = FIRST_PAUSE
        while self._written:
            late = {f"{said['name']} ({said['status']})" for said in self._all_zones() if self._is_late(said)}
            if not late:
                return
            if time.monotonic() + pause > expires:
                raise Transient(
                    f"{self._where}: after {seconds:.0f} s the name servers have not all that was written, of "
                    f"{', '.join(sorted(late))}. See the zone in the Hetzner Console; a later run looks again."
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _all_zones(self) -> list[Mapping[str, Any]]:
        zones = list(pages(self._api, "/zones", "zones", ZONES_A_PAGE))
        self._known.update({str(said["id"]): said for said in zones})
        return zones

    def _said(self, zone: Zone) -> Mapping[str, Any]:
        if zone.token not in self._known:
            self._known[zone.token] = self._api.get(quoted("zones", zone.token))["zone"]
        return self._known[zone.token]

    def _is_late(self, said: Mapping[str, Any]) -> bool:
        return str(said["id"]) in self._written and said["status"] != "ok"

    def _writable(self, zone: Zone) -> Zone | DnsError:
        if self._said(zone)["mode"] == "primary":
            return zone
        return Unsupported(
            f"zone {zone.name} is in mode {self._said(zone)['mode']} at {self._where}: it is copied from other name "
            "servers, and can only be changed there. Name the credential of those, or make the zone a primary one."
        )

    def _rrset(self, zone: Zone, key: Key, said: Mapping[str, Any] | None) -> RRset | None:
        if said is None or not said["records"]:
            return None
        values = tuple(read_value(key.type, token.value, token, zone.name) for token in _tokens(said))
        ttl = self._said(zone)["ttl"] if said["ttl"] is None else said["ttl"]
        return RRset(key, ttl, values, PROTECTED if said["protection"]["change"] else "")

    def _change(self, zone: Zone, change: Change) -> None:
        before, after, steps = change.before, change.after, change.steps
        if before is None:
            if after:
                self._create(zone, after)
            return
        if after and any(old.wire != new.wire for old, new in steps.update):
            self._expect(zone, change)
            self._act(zone, change, "set_records", records=[_record(zone, value) for value in after.values])
        elif steps.create:
            ttl = before.values[0].token.ttl  # said again, it must be what stands there
            timed = {} if ttl is None else {"ttl": ttl}
            self._act(zone, change, "add_records", records=[_record(zone, value) for value in steps.create], **timed)
        elif steps.delete:
            gone = [{"value": value.token.value} for value in steps.delete]
            self._act(zone, change, "remove_records", records=gone)
        if after and before.ttl != after.ttl:
            self._act(zone, change, "change_ttl", ttl=after.ttl)

    def _create(self, zone: Zone, rrset: RRset) -> None:
        """Create a record set; one that came since reading is a conflict."""
        body = {"name": _relative(rrset.key, zone), "type": dns.rdatatype.to_text(rrset.key.type), "ttl": rrset.ttl}
        records = [_record(zone, value) for value in rrset.values]
        try:
            answer = self._post(zone, _path(zone), {**body, "records": records})
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error
        wait(self._api, answer["action"], rrset.key, self._where)

    def _act(self, zone: Zone, change: Change, action: str, **body: Any) -> None:
        try:
            answer = self._post(zone, _rrset_path(zone, change.key) + quoted("actions", action), body)
        except NotFound as error:
            if action == "remove_records":
                return  # gone already
            raise Conflict(f"{change.key} is gone since it was read: {error}") from error
        except Unsupported:
            if action != "change_ttl":  # values are refused that are gone, or there already
                self._expect(zone, change)
            raise
        wait(self._api, answer["action"], change.key, self._where)

    def _post(self, zone: Zone, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a write; a conflict is raised when the actions that may lock the zone have ended."""
        try:
            return self._api.send("POST", path, body)
        except Conflict:
            expires = time.monotonic() + ACTION_SECONDS
            running = quoted("zones", zone.token, "actions")
            while self._api.get(running, status="running")["actions"] and time.monotonic() < expires:
                time.sleep(FIRST_PAUSE)
            raise

    def _expect(self, zone: Zone, change: Change) -> None:
        """Raise Conflict where the record set, comments and all, is not as it was read."""
        try:
            now = _tokens(self._api.get(_rrset_path(zone, change.key))["rrset"])
        except NotFound:
            now = []
        if set(now) != {value.token for value in (change.before.values if change.before else ())}:
            raise Conflict(f"{change.key} was changed by somebody else since it was read")


def _path(zone: Zone, *more: str) -> str:
    return quoted("zones", zone.token, "rrsets", *more)


def _rrset_path(zone: Zone, key: Key) -> str:
    return _path(zone, _relative(key, zone), dns.rdatatype.to_text(key.type))


def _relative(key: Key, zone: Zone) -> str:
    """Return the name of `key` as the API has it: below the zone, "@" for the zone itself."""
    return key.name.relativize(zone.name).to_text()


def _tokens(said: Mapping[str, Any]) -> list[Token]:
    return [Token(record["value"], record.get("comment"), said["ttl"]) for record in said["records"]]


def _record(zone: Zone, value: Value) -> dict[str, str]:
    """Return a value as it stands there already, to the byte, or as ours, with the comment of what it replaces."""
    token = value.token
    if token is None:
        return {"value": value.rdata.to_text()}
    stands = read_value(value.rdata.rdtype, token.value, None, zone.name).wire == value.wire
    comment = {} if token.comment is None else {"comment": token.comment}
    return {"value": token.value if stands else value.rdata.to_text(), **comment}
