# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the fakes of providers have in common: an HTTP API in front, and a name server that says what the API holds.

A fake keeps records as its provider does, and refuses what its provider refuses. What it takes from a client is proven
by the provider's own client (test_fakes.py), which knows nothing of us.
"""

from __future__ import annotations

import json
import math
import socketserver
import struct
import threading
import urllib.parse
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone
from integration.dns.servers import ADDRESS, SECRET, NameServer, counted_requests

Record = tuple[dns.name.Name, int, dns.rdata.Rdata]


class Refused(Exception):
    """What the API answers instead of doing what was asked."""

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, headers


@dataclass
class Request:
    """What a client sent, parsed."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class FakeProvider(NameServer):
    """A provider in memory. A subclass keeps the records, and answers requests.

    Attributes:
        requests: all that came, for tests that count or look at them.
        fail_next: answers to give instead, one a request, from the next one on.
    """

    types: ClassVar[frozenset[str]] = frozenset()  # that the provider takes; others of the nasty zone are not loaded

    requests: list[Request] = field(default_factory=list)
    fail_next: list[Refused] = field(default_factory=list)

    def answer(self, request: Request) -> Any:
        """Return what the API answers with 200, or a pair of status and body; raise Refused. One request at a time."""
        raise NotImplementedError

    def load(self, zone: str, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        """Keep a record that somebody else wrote, as the provider's own web page would have."""
        raise NotImplementedError

    def records(self, zone: str) -> Iterable[Record]:
        """Return what the provider's name servers serve."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://{ADDRESS}:{self._http.server_port}"

    def start(self) -> None:
        """Load the zones and listen."""
        self._lock = threading.RLock()
        for zone, text in self.zones.items():
            parsed = dns.zone.from_text(text, zone, relativize=False, check_origin=False)
            for name, ttl, rdata in parsed.iterate_rdatas():
                if dns.rdatatype.to_text(rdata.rdtype) in self.types:
                    self.load(zone, name, ttl, rdata)
        self._listening = [self._api(), *self._name_server()]
        for listening in self._listening:
            listening.daemon_threads = True
            threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()

    def _api(self) -> socketserver.BaseServer:
        """Return the server of the API, which listens."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or every body waits 40 ms for the acknowledgement of its headers

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body, headers = fake.respond(self.command, self.path, dict(self.headers), data)
                wire = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(wire)))
                self.end_headers()
                self.wfile.write(wire)

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self._http = ThreadingHTTPServer((ADDRESS, 0), Handler)
        return self._http

    def _name_server(self) -> tuple[socketserver.BaseServer, socketserver.BaseServer]:
        """Listen on a port that is free for both; one that was free a moment ago may be somebody's by now."""
        fake = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, socket = self.request
                socket.sendto(fake.resolve(data), self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while len(prefix := self.rfile.read(2)) == 2:
                    wire = fake.resolve(self.rfile.read(struct.unpack("!H", prefix)[0]))
                    self.wfile.write(struct.pack("!H", len(wire)) + wire)

        for _attempt in range(20):
            first = socketserver.ThreadingUDPServer((ADDRESS, 0), Udp)
            self.port = first.server_address[1]
            try:
                return first, socketserver.ThreadingTCPServer((ADDRESS, self.port), Tcp)
            except OSError:
                first.server_close()
        raise AssertionError("no port is free for UDP and TCP")

    def stop(self) -> None:
        """Stop listening."""
        for listening in self._listening:
            listening.shutdown()
            listening.server_close()

    def respond(
        self, method: str, target: str, headers: dict[str, str], data: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers of the answer to a request."""
        parts = urllib.parse.urlsplit(target)
        body = json.loads(data) if data else None
        request = Request(
            method, urllib.parse.unquote(parts.path), dict(urllib.parse.parse_qsl(parts.query)), headers, body
        )
        with self._lock:
            self.requests.append(request)
            try:
                if self.fail_next:
                    raise self.fail_next.pop(0)
                answer = self.answer(request)
            except Refused as refused:
                return refused.status, refused.body, refused.headers
        return (*answer, {}) if isinstance(answer, tuple) else (200, answer, {})

    def put(self, zone: str, name: str, ttl: int, *values: dns.rdata.Rdata) -> None:
        with self._lock:
            for value in values:
                self.load(zone, dns.name.from_text(name), ttl, value)

    def writes(self, refused_from: float = math.inf, *, arrives: bool = False) -> AbstractContextManager[list[str]]:
        return counted_requests(refused_from, arrives)

    def traffic(self) -> AbstractContextManager[list[str]]:
        return counted_requests(math.inf, False, reads=True)

    def resolve(self, wire: bytes) -> bytes:
        """Return the answer of the provider's name server to a question, as an authoritative server gives it."""
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        asked, kind = query.question[0].name.canonicalize(), query.question[0].rdtype
        zones = sorted((dns.name.from_text(zone) for zone in self.zones), key=lambda zone: -len(zone.labels))
        zone = next((zone for zone in zones if asked.is_subdomain(zone)), None)
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire()
        with self._lock:
            sets: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rrset.RRset]] = defaultdict(dict)
            for name, ttl, rdata in self.records(str(zone)):
                rrset = sets[name.canonicalize()].setdefault(
                    rdata.rdtype, dns.rrset.RRset(name, dns.rdataclass.IN, rdata.rdtype)
                )
                rrset.add(rdata, ttl)
        self._fill(response, zone, asked, kind, sets)
        return response.to_wire(max_size=65535)

    def _fill(
        self,
        response: dns.message.Message,
        zone: dns.name.Name,
        asked: dns.name.Name,
        kind: dns.rdatatype.RdataType,
        sets: Mapping[dns.name.Name, Mapping[dns.rdatatype.RdataType, dns.rrset.RRset]],
    ) -> None:
        """Answer as RFC 1034 section 4.3.2 says."""
        above = [dns.name.Name(asked.labels[i:]) for i in range(len(asked.labels) - len(zone.labels) + 1)]
        for name in reversed(above[:-1]):
            if referral := sets.get(name, {}).get(dns.rdatatype.NS):
                response.authority.append(referral)
                return
        response.flags |= dns.flags.AA
        nodes = {dns.name.Name(name.labels[i:]) for name in sets for i in range(len(name.labels))}
        here = sets.get(asked, {})
        if asked not in nodes:
            encloser = next(name for name in above if name in nodes or name == zone)
            here = sets.get(dns.name.Name((b"*", *encloser.labels)), {})
            if not here:
                response.set_rcode(dns.rcode.NXDOMAIN)
        for found in (here.get(kind), here.get(dns.rdatatype.CNAME)):
            if found:
                answer = dns.rrset.RRset(asked, dns.rdataclass.IN, found.rdtype)
                answer.update(found)
                answer.ttl = found.ttl
                response.answer.append(answer)
                return

    def credential(self, **changed: Any) -> dict[str, Any]:
        raise NotImplementedError

    def bearer(self, request: Request) -> None:
        """Refuse a request without the token."""
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            raise Refused(401, {"message": "the token is wrong"})
