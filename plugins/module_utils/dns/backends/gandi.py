# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gandi LiveDNS by its API (v5). A record set is written as a whole, one at a time.

It has no conditions: a record set is read again right before it is written, and what another writer adds in the
milliseconds between is lost. What a writer that read before us puts back is noticed and mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .. import reader
from ..api import Api, NotFound, quoted
from ..model import Change, DnsError, Key, RRset, Value, parse_name, read_value
from ..planner import Found
from ..verify import Directory
from . import (
    Backend,
    Caps,
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
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

NEEDS_SECRET = True
OPTIONS = frozenset({"url", "sharing_id"})
PAGE = 500
TTLS = range(300, 2592001)  # seconds that the provider takes
ADDRESSES = frozenset({"A", "AAAA"})


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> Gandi:
    """Return the backend of the credential `name`; `secret` is a personal access token.

    Options: `url` of the API ("https://api.gandi.net/v5/livedns"); `sharing_id`, the organisation whose domains to
    list, where the token sees several.

    Raises:
        AuthError: an option is none, or the address is not https.
    """
    check_options(name, "gandi", said, OPTIONS)
    url = str(said.get("url") or "https://api.gandi.net/v5/livedns")
    api = Api(name, url, {"Authorization": f"Bearer {check_secret(name, secret)}"}, secret)
    return Gandi(api, url, str(said.get("sharing_id") or ""))


class Gandi(Backend):
    """The domains that a token sees."""

    caps = Caps(atomic="rrset", compare_and_swap=False, value_level=False, sees_delegations=False)

    def __init__(self, api: Api, where: str, sharing_id: str) -> None:
        self._api = api
        self._where = where
        self._sharing = {"sharing_id": sharing_id} if sharing_id else {}

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name, from the list of all."""
        known: dict[dns.name.Name, list[Zone]] = {}
        for said in self._pages(quoted("domains"), **self._sharing):
            name = parse_name(said["fqdn"])
            known.setdefault(name, []).append(Zone(name, said["fqdn"]))
        return longest_zones(names, known, self._where)

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the name servers that Gandi gave the zone."""
        try:
            said = self._api.get(quoted("domains", zone.token, "nameservers"))
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error
        return tuple(sorted(str(parse_name(name)) for name in said))

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, out of the whole zone; a single name is asked for alone."""
        wanted = list(dict.fromkeys(keys))
        there: dict[tuple[dns.name.Name, str], Mapping[str, Any]] = {}
        for said in self._rrsets(zone, list(dict.fromkeys(key.name for key in wanted))):
            with suppress(dns.exception.DNSException, UnicodeError):  # a name that is none is not one of ours
                name = dns.name.from_text(said["rrset_name"], origin=zone.name).canonicalize()
                there[name, said["rrset_type"]] = said

        def at(key: Key) -> RRset | None:
            kind = dns.rdatatype.to_text(key.type)
            rrset = _rrset(zone, key, there.get((key.name, kind)))
            other = there.get((key.name, "ALIAS")) if kind in ADDRESSES else None
            return _locked(key, rrset, other) if other else rrset

        return reader.listed(wanted, at)

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return every change alone: nothing holds several together."""
        return [[change] for change in changes]

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Replace the record sets of `changes`, where what stands there is what was read."""
        for change in changes:
            body = _body(zone, change)
            refuse_if_changed(self.read(zone, [change.key]), change, _said)
            path = _path(zone, change.key.name) + quoted(dns.rdatatype.to_text(change.key.type))
            try:
                self._api.send("PUT" if body else "DELETE", path, body)
            except NotFound as error:
                if body:
                    raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read: the API does not tell what a token may do."""
        self.read(zone, keys)

    def settled(self, seconds: float) -> None:
        """The API does not tell; the name servers are asked."""

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _rrsets(self, zone: Zone, names: Sequence[dns.name.Name]) -> Iterator[Mapping[str, Any]]:
        """Yield at least the record sets at `names`."""
        try:
            if len(names) > 1:
                yield from self._pages(quoted("domains", zone.token, "records"))
                return
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error
        for name in names:
            with suppress(NotFound):  # nothing stands at the name
                yield from self._api.get(_path(zone, name))

    def _pages(self, path: str, **query: str) -> Iterator[Mapping[str, Any]]:
        """Yield what a list has, up to an empty page: how long a page may be is nowhere said.

        A server that has no pages gives the same again.
        """
        number, last = 1, None
        while True:
            page = self._api.get(path, per_page=PAGE, page=number, **query)
            if not isinstance(page, list):
                raise Transient(f"{self._where} answers GET {path} with no list.")
            if not page or page == last:
                return
            yield from page
            number, last = number + 1, page


def _path(zone: Zone, name: dns.name.Name) -> str:
    return quoted("domains", zone.token, "records", name.relativize(zone.name).to_text())


def _rrset(zone: Zone, key: Key, said: Mapping[str, Any] | None) -> RRset | None:
    if not said or not said["rrset_values"]:
        return None
    return RRset(key, int(said["rrset_ttl"]), tuple(_value(zone, key, text) for text in said["rrset_values"]))


def _value(zone: Zone, key: Key, text: str) -> Value:
    """Return a value as in a zone file of the zone: names without a last dot are below it."""
    return read_value(key.type, text, text, zone.name)


def _locked(key: Key, there: RRset | None, alias: Mapping[str, Any]) -> RRset:
    target = ", ".join(alias["rrset_values"])
    why = f"Gandi serves the addresses of {target} there (ALIAS). Remove the ALIAS, or have {target} hold the record."
    return RRset(key, there.ttl if there else int(alias["rrset_ttl"]), there.values if there else (), locked=why)


def _body(zone: Zone, change: Change) -> dict[str, Any] | None:
    """Return the record set as it should stand, None where it should not.

    Raises:
        Unsupported: the provider does not take its TTL.
    """
    if not change.after or not change.after.values:
        return None
    ttl = change.after.ttl
    if ttl not in TTLS:
        raise Unsupported(f"{change.key}: Gandi takes a TTL from {TTLS[0]} to {TTLS[-1]} seconds, not {ttl}.")
    return {"rrset_ttl": ttl, "rrset_values": [_content(zone, change.key, value) for value in change.after.values]}


def _content(zone: Zone, key: Key, value: Value) -> str:
    """Return a value as the provider said it, to the byte, where it did say it; else as ours.

    What takes the place of a value has its handle, and says something else.
    """
    if value.token is not None and _value(zone, key, value.token).wire == value.wire:
        return str(value.token)
    return value.rdata.to_text()


def _said(rrset: RRset | None) -> tuple[int, str, list[str]] | None:
    return (rrset.ttl, rrset.locked, sorted(str(value.token) for value in rrset.values)) if rrset else None
