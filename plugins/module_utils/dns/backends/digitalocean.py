# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DigitalOcean by its API (v2). Every value is a record of its own with an id, so that others' are never sent.

It has neither conditions nor batches: what is to change is read again right before, and records are written singly.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .. import reader
from ..api import Api, NotFound, quoted
from ..model import Change, DnsError, Key, RecordError, RRset, Value, parse_name, parse_value, read_value
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
    check_options,
    check_secret,
    longest_zones,
    refuse_if_changed,
)

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.exception
    import dns.name
    import dns.rdatatype

NEEDS_SECRET = True
OPTIONS = frozenset({"url"})
PAGE = 200  # the most that the API gives at once
TYPES = frozenset({"A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"})  # that can be created; a SOA is there
NUMBERS = {"MX": ("priority",), "SRV": ("priority", "weight", "port")}  # that stand before the target
LONGEST_TXT = 509  # characters with quotes and escapes; the limit is told as 512, and some below it are refused
BY_HAND = "Enter it with a provider that holds such records, and name that one's credential for it."


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> DigitalOcean:
    """Return the backend of the credential `name`; `secret` is an API token.

    Options: `url` of the API ("https://api.digitalocean.com").

    Raises:
        AuthError: an option is none, or the address is not https.
    """
    check_options(name, "digitalocean", said, OPTIONS)
    url = str(said.get("url") or "https://api.digitalocean.com")
    return DigitalOcean(Api(name, url, {"Authorization": f"Bearer {check_secret(name, secret)}"}, secret), url)


class DigitalOcean(Backend):
    """One account, as far as its token sees it."""

    caps = Caps(atomic="record", compare_and_swap=False, value_level=True, sees_delegations=False)

    def __init__(self, api: Api, where: str) -> None:
        self._api = api
        self._where = where

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name, from the list of all."""
        known: dict[dns.name.Name, list[Zone]] = {}
        for page in self._pages(quoted("v2", "domains"), "domains"):
            for said in page["domains"]:
                name = parse_name(said["name"])
                known.setdefault(name, []).append(Zone(name, said["name"]))
        return longest_zones(names, known, self._where)

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the targets of the zone's NS records."""
        key = Key(zone.name, dns.rdatatype.NS)
        rrset = self.read(zone, [key]).rrsets.get(key)
        return tuple(sorted(value.text.lower() for value in rrset.values)) if rrset else ()

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, out of the whole zone or name by name, whatever takes fewer requests."""
        wanted = list(dict.fromkeys(keys))
        there: dict[tuple[dns.name.Name, str], list[Mapping[str, Any]]] = defaultdict(list)
        for record in self._records(zone, list(dict.fromkeys(key.name for key in wanted))):
            with suppress(dns.exception.DNSException, UnicodeError):  # a name that is none is not one of ours
                name = dns.name.from_text(record["name"], origin=zone.name).canonicalize()
                there[name, record["type"]].append(record)

        def at(key: Key) -> RRset | None:
            return _rrset(zone, key, there.get((key.name, dns.rdatatype.to_text(key.type)), ()))

        return reader.listed(wanted, at)

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return every change alone: nothing holds several together."""
        return [[change] for change in changes]

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Write the values of `changes` one by one, where what stands there is what was read."""
        for change in changes:
            steps = change.steps
            create = [_fields(zone, change.key, value, _ttl(change)) for value in steps.create]
            update = [(old.token, _fields(zone, change.key, new, _ttl(change, old))) for old, new in steps.update]
            refuse_if_changed(self.read(zone, [change.key]), change, _tokens)
            path = _path(zone)
            for fields in create:
                self._api.send("POST", path, fields)
            for token, fields in update:
                try:
                    self._api.send("PUT", path + quoted(str(token["id"])), fields)
                except NotFound as error:
                    raise Conflict(f"{change.key} changed while it was written: {error}") from error
            for value in steps.delete:
                with suppress(NotFound):
                    self._api.send("DELETE", path + quoted(str(value.token["id"])))

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read: the API does not tell what a token may do."""
        self.read(zone, keys)

    def settled(self, seconds: float) -> None:
        """The API does not tell; the name servers are asked."""

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _records(self, zone: Zone, names: Sequence[dns.name.Name]) -> Iterator[Mapping[str, Any]]:
        """Yield at least the records at `names`."""
        try:
            if len(names) > 1:
                for page in self._pages(_path(zone), "domain_records"):
                    if page.get("meta", {}).get("total", 0) > PAGE * (1 + len(names)):
                        break
                    yield from page["domain_records"]
                else:
                    return
            for name in names:
                for page in self._pages(_path(zone), "domain_records", name=name.to_text(omit_final_dot=True)):
                    yield from page["domain_records"]
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error

    def _pages(self, path: str, what: str, **query: str) -> Iterator[Mapping[str, Any]]:
        number = 1
        while True:
            page = self._api.get(path, per_page=PAGE, page=number, **query)
            if not isinstance(page, Mapping) or not isinstance(page.get(what), list):
                raise Transient(f"{self._where} answers GET {path} without {what}.")
            yield page
            if not ((page.get("links") or {}).get("pages") or {}).get("next"):
                return
            number += 1


def _path(zone: Zone) -> str:
    return quoted("v2", "domains", zone.token, "records")


def _rrset(zone: Zone, key: Key, said: Sequence[Mapping[str, Any]]) -> RRset | None:
    kind = dns.rdatatype.to_text(key.type)
    if kind not in TYPES:
        return RRset(key, 0, (), locked=f"DigitalOcean holds no {kind} records. {BY_HAND}")
    if not said:
        return None
    # Every record has a TTL; resolvers take the lowest of a set (RFC 2181 section 5.2).
    return RRset(key, min(int(one["ttl"] or 0) for one in said), tuple(_value(zone, key, one) for one in said))


def _value(zone: Zone, key: Key, said: Mapping[str, Any]) -> Value:
    data, kind = str(said["data"]), said["type"]
    if kind == "TXT":
        if re.fullmatch(r'("([^"\\]|\\.)*"\s*)+', data):  # somebody entered it as in a zone file
            with suppress(RecordError):
                return read_value(key.type, data, said)
        try:
            return Value(parse_value(key.type, data).rdata, said)
        except UnicodeError as error:
            raise RecordError(f"{data!r} is no text") from error
    if kind == "CAA":
        escaped = data.replace("\\", r"\\").replace('"', r"\"")
        return read_value(key.type, f'{said["flags"]} {said["tag"]} "{escaped}"', said)
    if kind in ("A", "AAAA"):
        return read_value(key.type, data, said)
    target = str(zone.name) if data == "@" else data.rstrip(".") + "."
    return read_value(key.type, " ".join([*(str(said[number]) for number in NUMBERS.get(kind, ())), target]), said)


def _fields(zone: Zone, key: Key, value: Value, ttl: int) -> dict[str, Any]:
    """Return a value of ours as the API takes it.

    Names end with a dot there, although answers have none; without it, the API refuses even what it said itself.

    Raises:
        Unsupported: the provider cannot keep it as it is.
    """
    rdata: Any = value.rdata
    kind, text = dns.rdatatype.to_text(key.type), value.rdata.to_text()
    fields = {"type": kind, "name": key.name.relativize(zone.name).to_text(), "ttl": ttl}
    if kind == "CAA":
        data, tag = rdata.value.decode("latin-1"), rdata.tag.decode("latin-1")
        if tag == "iodef" or re.fullmatch(r"[A-Za-z0-9.-]*[A-Za-z0-9]", data):
            return {**fields, "data": data + "." * (tag != "iodef"), "flags": rdata.flags, "tag": tag}
    elif kind == "TXT":
        data = value.identity.decode("latin-1")
        if re.fullmatch(r"[ !#-\[\]-~][ -\[\]-~]*", data) and len(text) <= LONGEST_TXT:
            return {**fields, "data": data}
        text = f"this, only up to {LONGEST_TXT} characters of ASCII without a backslash or a quote in front: {text}"
    elif kind in TYPES:
        *numbers, data = text.split()
        return {**fields, "data": data, **dict(zip(NUMBERS.get(kind, ()), map(int, numbers), strict=True))}
    raise Unsupported(f"{key}: DigitalOcean cannot hold {text}. {BY_HAND}")


def _ttl(change: Change, old: Value | None = None) -> int:
    """Return the TTL of a value that comes, or takes the place of `old`, which keeps its own unless all change."""
    before, after = change.before, change.after or change.before
    if old and before and after and before.ttl == after.ttl:
        return int(old.token["ttl"])
    return after.ttl if after else 0


def _tokens(rrset: RRset | None) -> list[Mapping[str, Any]]:
    return sorted((value.token for value in rrset.values), key=lambda token: int(token["id"])) if rrset else []
