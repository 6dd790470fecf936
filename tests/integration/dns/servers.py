# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Real name servers on loopback, on ports that nobody uses, gone with the test."""

from __future__ import annotations

import base64
import json
import math
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import dns.exception
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.tsig
import dns.update
import dns.zone
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import api, wire
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import powerdns, rfc2136

ADDRESS = "127.0.0.1"
START_TIMEOUT = 20.0  # seconds
ANSWER_TIMEOUT = 5.0  # seconds; a busy machine lets a server wait
KEY_NAME = "sendyard."
SECRET = base64.b64encode(b"a secret that only tests know 32").decode()


def free_port() -> int:
    """Return a port that neither UDP nor TCP uses."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((ADDRESS, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((ADDRESS, port))
            except OSError:
                continue
            return port


@dataclass
class NameServer:
    """A running name server with zones that its key may change."""

    backend: ClassVar[type] = rfc2136.Rfc2136
    keeps_all: ClassVar[bool] = True  # whether writers that meet lose nothing

    directory: Path
    zones: Mapping[str, str]  # zone name with its last dot -> zone file
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the first zone is served."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for zone, text in self.zones.items():
            (self.directory / f"{zone}zone").write_bytes(text.encode("latin-1"))
        self.configure()
        self.run()

    def configure(self) -> None:
        """Write the configuration."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return how to start it in the foreground."""
        raise NotImplementedError

    def run(self) -> None:
        """Start the process and wait for it."""
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(self.command(), cwd=self.directory, stdout=log, stderr=log)
        expires = time.monotonic() + START_TIMEOUT
        while time.monotonic() < expires and self.process.poll() is None:
            try:
                if self.ask(next(iter(self.zones)), "SOA").rcode() != dns.rcode.SERVFAIL:
                    return
            except (OSError, dns.exception.DNSException):
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.command()} did not start: {(self.directory / 'log').read_text()}")

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def ask(self, name: str, kind: str) -> dns.message.Message:
        """Return the answer to one question, asked until it is answered."""
        query = dns.message.make_query(name, kind, flags=0)
        expires = time.monotonic() + ANSWER_TIMEOUT
        while True:
            try:
                answer, _ = dns.query.udp_with_fallback(query, ADDRESS, port=self.port, timeout=0.5)
            except dns.exception.Timeout:
                if time.monotonic() >= expires:
                    raise
            else:
                return answer

    def values(self, name: str, kind: str) -> list[str]:
        """Return the values of a record set as in a zone file, sorted."""
        found = self.ask(name, kind).get_rrset(
            dns.message.ANSWER, dns.name.from_text(name), 1, dns.rdatatype.from_text(kind)
        )
        return sorted(rdata.to_text() for rdata in found) if found else []

    def ttl(self, name: str, kind: str) -> int:
        """Return the TTL of a record set, in seconds."""
        found = self.ask(name, kind).get_rrset(
            dns.message.ANSWER, dns.name.from_text(name), 1, dns.rdatatype.from_text(kind)
        )
        return int(found.ttl)

    def serial(self, zone: str) -> int:
        """Return the serial number of a zone."""
        return int(self.ask(zone, "SOA").answer[0][0].serial)

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        """Return every record of a zone but its SOA: name, type, TTL and the exact bytes."""
        transferred = dns.zone.from_xfr(
            dns.query.xfr(ADDRESS, zone, port=self.port, relativize=False), relativize=False, check_origin=False
        )
        return {
            (str(name), int(rdataset.rdtype), int(rdataset.ttl), rdata.to_wire())
            for name, rdataset in transferred.iterate_rdatasets()
            if rdataset.rdtype != dns.rdatatype.SOA
            for rdata in rdataset
        }

    def credential(self, **changed: Any) -> dict[str, Any]:
        """Return the credential that changes its zones, as the owner writes it."""
        return {
            "provider": "rfc2136",
            "server": ADDRESS,
            "port": self.port,
            "key_name": KEY_NAME,
            "key_algorithm": "hmac-sha256",
            "secret": SECRET,
            **changed,
        }

    def put(self, zone: str, name: str, ttl: int, *values: dns.rdata.Rdata) -> None:
        """Add values, as somebody else does it."""
        update = dns.update.UpdateMessage(zone)
        for value in values:
            update.add(name, ttl, value)
        assert self.update(update) == dns.rcode.NOERROR

    def writes(self, refused_from: float = math.inf, *, arrives: bool = False) -> AbstractContextManager[list[str]]:
        """Give a list of what is written meanwhile; from the write with that number on, from 0, there is no answer.

        `arrives`: what is not answered is done all the same.
        """
        return counted_updates(refused_from, arrives)

    def traffic(self) -> AbstractContextManager[list[str]]:
        """Give a list of all that is asked of the provider meanwhile, to read and to write."""
        return counted_updates(math.inf, False, reads=True)

    def update(self, update: dns.update.UpdateMessage) -> int:
        """Send an update as somebody else who has the key, without prerequisites of ours; return the response code."""
        update.use_tsig(dns.tsig.Key(KEY_NAME, SECRET, "hmac-sha256"))
        return int(dns.query.tcp(update, ADDRESS, port=self.port, timeout=5).rcode())


@dataclass
class Knot(NameServer):
    """Knot DNS as a primary.

    `grants` restricts the key, as lines of an acl; zones in `closed` do not know it; `secondary` is a port to notify.
    """

    grants: str = ""
    closed: tuple[str, ...] = ()
    secondary: int = 0

    def configure(self) -> None:
        zones = "\n".join(
            f"  - domain: {zone}\n    file: {zone}zone\n    acl: [{'' if zone in self.closed else 'update, '}transfer]"
            for zone in self.zones
        )
        remote = f"remote:\n  - id: secondary\n    address: {ADDRESS}@{self.secondary}\n" if self.secondary else ""
        (self.directory / "knot.conf").write_text(
            f"""server:
    listen: {ADDRESS}@{self.port}
    rundir: {self.directory}
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
database:
    storage: {self.directory}
log:
  - target: stderr
    any: info
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {SECRET}
{remote}acl:
  - id: update
    key: {KEY_NAME}
    action: update
{self.grants}
  - id: transfer
    address: {ADDRESS}
    action: transfer
template:
  - id: default
    storage: {self.directory}
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    {"notify: secondary" if self.secondary else ""}
zone:
{zones}
"""
        )

    def command(self) -> list[str]:
        return ["/usr/sbin/knotd", "-c", str(self.directory / "knot.conf"), "-s", str(self.directory / "knot.sock")]


@dataclass
class Bind(NameServer):
    """BIND, as a primary or, with `primary`, as a secondary of the server at that port.

    `policy` is what stands in update-policy; without it the key may do everything.
    """

    primary: int = 0
    policy: str = ""

    def configure(self) -> None:
        changing = f"update-policy {{ {self.policy} }};" if self.policy else f'allow-update {{ key "{KEY_NAME}"; }};'
        kind = (
            f"type secondary; primaries port {self.primary} {{ {ADDRESS}; }}; min-refresh-time 3600;"
            if self.primary
            else f"type primary; {changing}"
        )
        zones = "\n".join(f'zone "{zone}" {{ {kind} file "{zone}zone"; }};' for zone in self.zones)
        (self.directory / "named.conf").write_text(
            f"""options {{
    directory "{self.directory}";
    listen-on port {self.port} {{ {ADDRESS}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile none;
    lock-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer {{ {ADDRESS}; }};
}};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{SECRET}"; }};
{zones}
"""
        )
        if self.primary:
            for zone in self.zones:
                (self.directory / f"{zone}zone").unlink()

    def command(self) -> list[str]:
        # AppArmor ties Debian's named to its own directories, by the path of the program.
        program = self.directory / "named"
        if not program.exists():
            shutil.copy("/usr/sbin/named", program)
        return [str(program), "-g", "-n", "1", "-c", str(self.directory / "named.conf")]


@dataclass
class PowerDns(NameServer):
    """PowerDNS with an SQLite database, changed by its HTTP API; every zone has something disabled and a comment."""

    backend = powerdns.PowerDns
    keeps_all = False

    api_port: int = field(default_factory=free_port)

    def configure(self) -> None:
        database = self.directory / "zones.sqlite"
        schema = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql").read_text()
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(schema)
        (self.directory / "pdns.conf").write_text(
            f"""launch=gsqlite3
gsqlite3-database={database}
gsqlite3-pragma-synchronous=0
local-address={ADDRESS}
local-port={self.port}
socket-dir={self.directory}
api=yes
api-key={SECRET}
webserver-address={ADDRESS}
webserver-port={self.api_port}
webserver-allow-from={ADDRESS}
webserver-loglevel=none
cache-ttl=0
negquery-cache-ttl=0
query-cache-ttl=0
zone-cache-refresh-interval=0
zone-metadata-cache-ttl=0
receiver-threads=1
distributor-threads=1
"""
        )

    def command(self) -> list[str]:
        return ["/usr/sbin/pdns_server", f"--config-dir={self.directory}", "--guardian=no", "--daemon=no"]

    def run(self) -> None:
        super().run()
        for zone, text in self.zones.items():
            self.call("POST", "", {"name": zone, "kind": "Native", "zone": text, "soa_edit_api": "INCREASE"})
            self.call(
                "PATCH",
                f"/{zone}",
                {
                    "rrsets": [
                        {
                            "name": zone,
                            "type": "TXT",
                            "changetype": "REPLACE",
                            "ttl": 1800,
                            "records": [
                                *self.rrset(zone, zone, "TXT")["records"],
                                {"content": '"disabled"', "disabled": True},
                            ],
                            "comments": [{"content": "do not touch", "account": "", "modified_at": 1}],
                        }
                    ]
                },
            )

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Use the API as somebody else."""
        request = urllib.request.Request(
            f"http://{ADDRESS}:{self.api_port}/api/v1/servers/localhost/zones{path}",
            method=method,
            headers={"X-API-Key": SECRET},
            data=json.dumps(body).encode() if body else None,
        )
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def rrset(self, zone: str, name: str, kind: str) -> dict[str, Any]:
        """Return what the API says of a record set."""
        found = [r for r in self.call("GET", f"/{zone}")["rrsets"] if (r["name"], r["type"]) == (name, kind)]
        return found[0] if found else {"name": name, "type": kind, "ttl": 3600, "records": []}

    def content(self, zone: str) -> set[tuple[Any, ...]]:
        return {
            (rrset["name"], rrset["type"], rrset["ttl"], record["content"], record["disabled"], str(rrset["comments"]))
            for rrset in self.call("GET", f"/{zone}")["rrsets"]
            if rrset["type"] != "SOA"
            for record in rrset["records"]
        }

    def put(self, zone: str, name: str, ttl: int, *values: dns.rdata.Rdata) -> None:
        if not values:
            return
        kind = dns.rdatatype.to_text(values[0].rdtype)
        there = self.rrset(zone, name, kind)
        there["records"] += [{"content": value.to_text(), "disabled": False} for value in values]
        self.call("PATCH", f"/{zone}", {"rrsets": [there | {"ttl": ttl, "changetype": "REPLACE"}]})

    def writes(self, refused_from: float = math.inf, *, arrives: bool = False) -> AbstractContextManager[list[str]]:
        return counted_requests(refused_from, arrives)

    def traffic(self) -> AbstractContextManager[list[str]]:
        return counted_requests(math.inf, False, reads=True)

    def credential(self, **changed: Any) -> dict[str, Any]:
        return {"provider": "powerdns", "url": f"http://{ADDRESS}:{self.api_port}", "secret": SECRET, **changed}


@contextmanager
def counted_updates(refused_from: float, arrives: bool, *, reads: bool = False) -> Iterator[list[str]]:
    """As NameServer.writes and, with `reads`, NameServer.traffic, for dynamic updates."""
    real = wire.Connection.ask
    seen: list[str] = []

    def counting(self: wire.Connection, messages: Sequence[dns.message.Message]) -> list[wire.Answer]:
        codes = [dns.opcode.to_text(message.opcode()) for message in messages]
        update = "UPDATE" in codes
        if update or reads:
            seen.extend(codes)
        answered = not update or len(seen) <= refused_from
        answers = real(self, messages) if answered or arrives else []
        if not answered:
            raise wire.WireError("no answer, says the test")
        return answers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire.Connection, "ask", counting)
        yield seen


@contextmanager
def counted_requests(refused_from: float, arrives: bool, *, reads: bool = False) -> Iterator[list[str]]:
    """As NameServer.writes and, with `reads`, NameServer.traffic, for HTTP APIs: method and path."""
    real = api.Api._request
    seen: list[str] = []

    def counting(self: api.Api, method: str, path: str, body: Any) -> tuple[int, Mapping[str, str], str]:
        if reads or method != "GET":
            seen.append(f"{method} {path}")
        answered = method == "GET" or len(seen) <= refused_from
        answer = real(self, method, path, body) if answered or arrives else None
        return answer if answered and answer else (500, {}, '{"error": "no answer, says the test"}')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.Api, "_request", counting)
        yield seen


def soa(zone: str, *name_servers: str) -> str:
    """Return the beginning of a zone file with SOA and NS; other values follow in the TTL of an hour."""
    servers = name_servers or ("ns1.lab.example.",)
    lines = [f"$ORIGIN {zone}", "$TTL 3600", f"@ SOA {servers[0]} hostmaster.{zone} 1 3600 900 86400 300"]
    return "\n".join([*lines, *(f"@ NS {server}" for server in servers)]) + "\n"


def nasty(zone: str) -> str:
    """Return a zone of other people's: everything in it must stay as it is, whatever we do beside it."""
    return soa(zone) + (
        "a 3600 A 10.9.0.1\n"
        '@ 1800 TXT "v=spf1 include:_spf.vendor.example a:mail.vendor.example ?all"\n'
        '@ 1800 TXT "google-site-verification=abc"\n'
        '@ 1800 TXT "weird \\"quoted\\" ; semi \\\\ back"\n'
        '@ 1800 TXT "part one " "part two"\n'
        '@ 1800 TXT ""\n'
        '@ 1800 TXT "\\255\\254 not utf-8"\n'
        f'chunks TXT "{"x" * 255}" "{"y" * 200}"\n'
        '@ 7200 CAA 0 issue "ca.example"\n'
        "@ MX 10 mail.vendor.example.\n"
        "_sip._tcp SRV 1 2 5060 sip.vendor.example.\n"
        "loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\n"
        "ssh SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789\n"
        'naptr NAPTR 100 50 "s" "z3950+I2L+I2C" "" _z3950._tcp.vendor.example.\n'
        "www HTTPS 1 . alpn=h2\n"
        'hinfo HINFO "PC" "Linux"\n'
        "odd TYPE65400 \\# 4 DEADBEEF\n"
        '*.wild 300 TXT "from a wildcard"\n'
        "*.alias CNAME vendor.example.\n"
        "s1._domainkey CNAME s1.dkim.vendor.example.\n"
        "_25._tcp.mail TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
        "child NS ns1.child\nns1.child A 10.9.0.2\n"
    )
