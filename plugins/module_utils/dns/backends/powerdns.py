# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PowerDNS by its HTTP API. All record sets of a change are written at once, each as a whole.

It has no conditions: what another writer adds between our reading and our writing, some milliseconds, is lost, and what
a writer that read before us puts back is noticed and mended. Where several write, let them use rfc2136 (dnsupdate).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .. import reader
from ..api import Api, NotFound, quoted
from ..model import Change, DnsError, Key, RRset, Value, read_value
from ..planner import Found
from ..verify import Directory
from . import Backend, Caps, Zone, ZoneNotFound, check_options, check_secret, longest_zones, portions

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

NEEDS_SECRET = True
OPTIONS = frozenset({"url", "server_id", "ca_file"})
CHANGES_AT_A_TIME = 500


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> PowerDns:
    """Return the backend of the credential `name`; `secret` is the server's api-key.

    Options: `url` of the web server, without /api; `server_id` ("localhost"); `ca_file`, PEM of the authority of its
    certificate where that is no public one.

    Raises:
        AuthError: an option is none, or the address is not https.
    """
    check_options(name, "powerdns", said, OPTIONS)
    url = str(said.get("url") or "http://127.0.0.1:8081")
    api = Api(name, url, {"X-API-Key": check_secret(name, secret)}, secret, ca_file=said.get("ca_file"))
    return PowerDns(api, str(said.get("server_id") or "localhost"), url)


class PowerDns(Backend):
    """One server and key."""

    caps = Caps(atomic="batch", compare_and_swap=False, value_level=False, sees_delegations=False)

    def __init__(self, api: Api, server_id: str, where: str) -> None:
        self._api = api
        self._zones = quoted("api", "v1", "servers", server_id, "zones")
        self._where = where

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name, from the list of all."""
        known: dict[dns.name.Name, list[Zone]] = {}
        for said in self._api.get(self._zones, dnssec="false"):
            name = dns.name.from_text(said["name"]).canonicalize()
            known.setdefault(name, []).append(Zone(name, said["id"]))
        return longest_zones(names, known, self._where)

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the targets of the zone's NS records."""
        key = Key(zone.name, dns.rdatatype.NS)
        rrset = self.read(zone, [key]).rrsets[key]
        return tuple(sorted(value.text for value in rrset.values)) if rrset else ()

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, out of the whole zone: asked for by name, it hides what is disabled."""
        try:
            said = self._api.get(self._path(zone))["rrsets"]
        except NotFound as error:
            raise ZoneNotFound(f"zone {zone.name} is gone: {error}") from error
        there = {(rrset["name"].lower(), rrset["type"]): rrset for rrset in said}
        return reader.listed(keys, lambda key: _rrset(key, there.get((str(key.name), dns.rdatatype.to_text(key.type)))))

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return `changes` in requests of a size that a web server takes."""
        return portions(changes, lambda _change: 1, CHANGES_AT_A_TIME)

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Replace the record sets of `changes`; comments, which are not sent, stay."""
        self._api.send("PATCH", self._path(zone), {"rrsets": [_patch(change) for change in changes]})

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read: a key that may read may write."""
        self.read(zone, keys)

    def settled(self, seconds: float) -> None:
        """The server itself has what it took; whether the others have it, they are asked."""

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _path(self, zone: Zone) -> str:
        return self._zones + quoted(zone.token)


def _rrset(key: Key, said: Mapping[str, Any] | None) -> RRset | None:
    if said is None:
        return None
    values = [(record, read_value(key.type, record["content"], record["content"])) for record in said["records"]]
    served = tuple(value for record, value in values if not record.get("disabled"))
    disabled = tuple(value for record, value in values if record.get("disabled"))
    return RRset(key, said["ttl"], served, disabled=disabled) if served or disabled else None


def _patch(change: Change) -> dict[str, Any]:
    patch: dict[str, Any] = {"name": str(change.key.name), "type": dns.rdatatype.to_text(change.key.type)}
    disabled = change.before.disabled if change.before else ()
    served = change.after.values if change.after else ()
    if not served and not disabled:
        return {**patch, "changetype": "DELETE"}
    ttl = change.after.ttl if change.after else change.before.ttl if change.before else 0
    records = [
        *({"content": _content(value, change), "disabled": False} for value in served),
        *({"content": value.token, "disabled": True} for value in disabled),
    ]
    return {**patch, "changetype": "REPLACE", "ttl": ttl, "records": records}


def _content(value: Value, change: Change) -> str:
    """Return a value as it stands there already, to the byte, or as ours."""
    stands = value.token is not None and any(value.wire == other.wire for other in change.stay)
    return str(value.token) if stands else value.rdata.to_text()
