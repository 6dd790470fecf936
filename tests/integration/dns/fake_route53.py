# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Route 53 as moto has it, made as strict as AWS is where moto is not.

moto looks whether what is to be deleted was ever there, and not whether it is there now: no test of a lost race would
fail. It also takes a CREATE of what exists, a TXT without quotes, and a CNAME beside others. The texts are AWS's own.
"""

from __future__ import annotations

import math
import re
import socketserver
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import botocore.client
import botocore.exceptions
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import route53
from integration.dns.fakes import FakeProvider, Record
from integration.dns.servers import ADDRESS, SECRET
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.route53 import models
from moto.route53.exceptions import Route53ClientError
from werkzeug.serving import make_server

ACCOUNT = "123456789012"
LOCK = threading.RLock()


def texts_of(value: str) -> list[str]:
    """Return the strings of a TXT as AWS reads them."""
    if not re.fullmatch(r'\s*("([^"\\]|\\.)*"\s*)+', value):
        raise ValueError("InvalidCharacterString (Value should be enclosed in quotation marks)")
    return [match[1] for match in re.finditer(r'"((?:[^"\\]|\\.)*)"', value)]


def strict(self: models.Route53Backend, zoneid: str, change_list: list[dict[str, Any]]) -> None:
    """Apply a batch as AWS does: all of it, checked in its order against what is there, or nothing."""
    with LOCK:
        zone = self.get_hosted_zone(zoneid)
        sets = {(rrset.name, rrset.type, rrset.set_identifier): rrset for rrset in zone.rrsets}
        errors: list[str] = []
        for change in change_list:
            said = change["ResourceRecordSet"]
            name = said["Name"].lower().rstrip(".") + "."
            key = (name, said["Type"], said.get("SetIdentifier"))
            values = [record["Value"] for record in said.get("ResourceRecords") or ()]
            what = f"resource record set [name='{name}', type='{said['Type']}']"
            there = sets.get(key)
            if change["Action"] == "DELETE":
                if there is None:
                    errors.append(f"Tried to delete {what} but it was not found")
                elif (int(there.ttl), sorted(there.records)) != (int(said["TTL"]), sorted(values)):
                    errors.append(f"Tried to delete {what} but the values provided do not match the current values")
                else:
                    del sets[key]
                continue
            if change["Action"] == "CREATE" and there is not None:
                errors.append(f"Tried to create {what} but it already exists")
            errors += complaints(said["Type"], values)
            sets[key] = models.RecordSet({**said, "Name": name, "ResourceRecords": values})
        for name, kind, _identifier in sets:
            if kind == "CNAME" and len({other for other in sets if other[0] == name}) > 1:
                errors.append(
                    f"RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records "
                    f"with the same DNS name in zone {zone.name}"
                )
        if errors:
            raise Route53ClientError("InvalidChangeBatch", f"[{', '.join(errors)}]")
        zone.rrsets = list(sets.values())


def complaints(kind: str, values: list[str]) -> Iterator[str]:
    """Yield what AWS has against values."""
    if len(set(values)) < len(values):
        yield f"Duplicate Resource Record: '{values[0]}'"
    for value in values:
        try:
            if kind == "TXT" and any(len(re.sub(r"\\([0-7]{3}|.)", "x", text)) > 255 for text in texts_of(value)):
                yield f"Invalid Resource Record: 'FATAL problem: CharacterStringTooLong encountered with '{value}''"
        except ValueError as error:
            yield f"Invalid Resource Record: 'FATAL problem: {error} encountered with '{value}''"


class FakeRoute53(FakeProvider):
    """A moto of its own account; its zones are answered for from what it holds."""

    backend = route53.Route53
    types = frozenset({"A", "AAAA", "CAA", "CNAME", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT"})
    is_strict = True

    def start(self) -> None:
        self._patch = pytest.MonkeyPatch()
        if self.is_strict:
            self._patch.setattr(models.Route53Backend, "change_resource_record_sets", strict)
        self.moto.reset()
        super().start()

    def stop(self) -> None:
        super().stop()
        self._patch.undo()

    @property
    def moto(self) -> Any:
        """What moto keeps."""
        return models.route53_backends[ACCOUNT]["aws"]

    def _api(self) -> socketserver.BaseServer:
        app = DomainDispatcherApplication(create_backend_app)
        self._http = make_server(ADDRESS, 0, app, threaded=True, request_handler=QuietHandler)
        return self._http

    def zone(self, name: str) -> Any:
        """Return moto's public zone of a name, made where there is none."""
        for zone in self.moto.zones.values():
            if zone.name == name and not zone.private_zone:
                return zone
        zone = self.moto.create_hosted_zone(name, private_zone=False)
        zone.rrsets = [rrset for rrset in zone.rrsets if rrset.type == "SOA"]
        return zone

    def load(self, zone: str, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        with LOCK:
            kept, kind = self.zone(zone), dns.rdatatype.to_text(rdata.rdtype)
            owner, text = route53._octal(name.canonicalize().to_text()), route53._octal(rdata.to_text())
            for rrset in kept.rrsets:
                if (rrset.name, rrset.type) == (owner, kind):
                    rrset.records.append(text)
                    return
            kept.add_rrset({"Name": owner, "Type": kind, "TTL": ttl, "ResourceRecords": [text]})

    def records(self, zone: str) -> Iterable[Record]:
        with LOCK:
            for rrset in self.zone(zone).rrsets:
                kind = dns.rdatatype.from_text(rrset.type)
                for text in rrset.records if rrset.type != "SOA" else ():
                    rdata = dns.rdata.from_text(
                        dns.rdataclass.IN, kind, route53._decimal(text), origin=dns.name.root, relativize=False
                    )
                    yield dns.name.from_text(route53._decimal(rrset.name)), int(rrset.ttl), rdata

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        with LOCK:
            return {
                (rrset.name, rrset.type, int(rrset.ttl or 0), rrset.set_identifier, str(rrset.alias_target), text)
                for rrset in self.zone(zone).rrsets
                if rrset.type != "SOA"
                for text in rrset.records or [""]
            }

    def credential(self, **changed: Any) -> dict[str, Any]:
        return {
            "provider": "route53",
            "url": self.url,
            "access_key_id": "AKIAOFTHETESTSALONE0",
            "secret": SECRET,
            **changed,
        }

    def writes(self, refused_from: float = math.inf, *, arrives: bool = False) -> AbstractContextManager[list[str]]:
        return counted_calls(refused_from, arrives)

    def traffic(self) -> AbstractContextManager[list[str]]:
        return counted_calls(math.inf, False, reads=True)


class QuietHandler(MotoRequestHandler):
    """moto's own, without a line for each request."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing is logged."""


@contextmanager
def counted_calls(refused_from: float, arrives: bool, *, reads: bool = False) -> Iterator[list[str]]:
    """As NameServer.writes and, with `reads`, NameServer.traffic, for calls of boto3."""
    real = botocore.client.BaseClient._make_api_call
    seen: list[str] = []

    def counting(self: Any, operation: str, said: Mapping[str, Any]) -> Any:
        write = operation == "ChangeResourceRecordSets"
        if write or reads:
            seen.append(operation)
        answered = not write or len(seen) <= refused_from
        answer = real(self, operation, said) if answered or arrives else None
        if not answered:
            raise botocore.exceptions.ReadTimeoutError(endpoint_url="http://the.test")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", counting)
        yield seen
