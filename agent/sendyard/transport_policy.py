# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a domain's mail must be transported: DANE first, MTA-STS second, else as TLS as it can be.

Postfix asks by smtp_tls_policy_maps for each next-hop, and on NOTFOUND does what smtp_tls_security_level = dane says.
mta-sts-daemon knows policies and nothing of DANE, which they must not override (RFC 8461 section 2); so we stand before
it and let it answer only where DANE does not. While it is away, its cache answers: a policy that is known is enforced,
and mail to everybody else goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import enum
import os
import re
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import idna

from . import socketmap, sts_cache

NOTFOUND = "NOTFOUND "
_HELD_SECONDS = 60  # what a policy that was just published or withdrawn takes until it counts, beside the records' TTL
_HELD_DOMAINS = 10_000
_CONNECTIONS = 512  # one for each process of smtp(8), of which there are 150
_MX_HOSTS = 10  # Postfix tries five addresses (smtp_mx_address_limit)
_DNS_SECONDS = 5.0
_DAEMON_SECONDS = 10.0  # it gives 4 to the look-up of the record and 4 to the policy
_PING_SECONDS = (10.0, 2.0)  # between looks at the daemon while it is up, and while it is down
_EVENT_SECONDS = 60.0
_PRUNE_SECONDS = 3600.0
_DIGESTS = {1: 32, 2: 64}  # octets of SHA-256 and SHA-512 (RFC 6698 section 2.1.3)
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ANSWER = re.compile(r"OK secure match=(\S+)( servername=hostname)?")


def domain_of(next_hop: str) -> str:
    """The domain that a next-hop means, as A-labels in lower case; "" where it is none that has MX records.

    Those are "[host]", "host:port" and addresses; ".parent" is a question of Postfix's of its own.
    """
    name = next_hop.lower().removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            return ""
    return name if _DOMAIN.fullmatch(name) else ""


class Dane(enum.Enum):
    """Whose certificates the MX hosts of a domain show by secure TLSA records (RFC 7672 section 2.2)."""

    ALL = "of every host"
    SOME = "of some hosts, or it cannot be known of all"
    NONE = "of no host, or the MX records are not secure"
    UNKNOWN = "the MX records cannot be looked up"


def decide(dane: Dane, policy: str | None) -> str:
    """The reply to Postfix. `policy` is what MTA-STS wants, "" for nothing, None where that cannot be known."""
    if dane is Dane.ALL or policy == "":
        return NOTFOUND
    if dane is Dane.SOME:
        # As policy and DANE both want it: hosts with TLSA records by those, and no other host.
        return "OK dane-only"
    if dane is Dane.UNKNOWN or policy is None:
        return "TEMP it cannot be known now what this domain's policy is"
    return f"OK {policy}"


class LookupFailed(Exception):
    """The resolver gave no answer, or found one that does not validate."""


@dataclass(frozen=True)
class Found:
    """An answer of the resolver; no records where there are none."""

    records: tuple[Any, ...]
    secure: bool  # validated by the resolver (RFC 4035 section 3.2.3)
    name: str  # whose records they are, after aliases
    ttl: float  # seconds


class Resolver:
    """The validating resolver of this host."""

    def __init__(self, address: str, port: int = 53) -> None:
        self.address, self.port = address, port
        self._sockets: Any = dns.asyncbackend.get_backend("asyncio")

    async def ask(self, name: str, kind: str) -> Found:
        """The records of a type. Raises LookupFailed."""
        query = dns.message.make_query(name, kind, use_edns=0, payload=1232)
        query.flags |= dns.flags.AD  # RFC 6840 section 5.7: tell us whether it is secure
        try:
            # A connected socket: nobody else can send to it, and it hears at once that the resolver is down.
            where = (self.address, self.port)
            async with await self._sockets.make_socket(socket.AF_INET, socket.SOCK_DGRAM, 0, None, where) as udp:
                reply, _by_tcp = await dns.asyncquery.udp_with_fallback(
                    query, self.address, timeout=_DNS_SECONDS, port=self.port, udp_sock=udp
                )
            answered = reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
            if not (answered and isinstance(reply, dns.message.QueryMessage)):
                raise LookupFailed(f"{name} {kind}: {dns.rcode.to_text(reply.rcode())}")
            chain = reply.resolve_chaining()
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f"{name} {kind}: {error or type(error).__name__}") from error
        secure = bool(reply.flags & dns.flags.AD)
        return Found(tuple(chain.answer or ()), secure, chain.canonical_name.to_text(), float(chain.minimum_ttl))


def usable(record: Any) -> bool:
    """True for a TLSA record that Postfix compares certificates with (RFC 7672 section 3.1)."""
    if record.usage not in {2, 3} or record.selector not in {0, 1}:
        return False
    return record.mtype == 0 or len(record.cert) == _DIGESTS.get(record.mtype)


async def _host_has_dane(resolver: Resolver, host: str) -> tuple[bool | None, float]:
    """Whether Postfix authenticates a host by TLSA records, None where it has no address, and for how many seconds.

    Raises:
        LookupFailed: Postfix does not use the host then either (RFC 7672 section 2.1.2).
    """
    address = await resolver.ask(host, "A")
    if not address.records:
        address = await resolver.ask(host, "AAAA")
    if not (address.records and address.secure):
        return (False if address.records else None), address.ttl
    # RFC 7672 section 2.2.2: where the host is an alias, at what it stands for, then at its own name.
    for name in dict.fromkeys((address.name, host)):
        found = await resolver.ask(f"_25._tcp.{name}", "TLSA")
        if found.secure and any(map(usable, found.records)):
            return True, min(address.ttl, found.ttl)
    return False, min(address.ttl, found.ttl)


async def dane_of(resolver: Resolver, domain: str) -> tuple[Dane, float]:
    """How far DANE governs mail to `domain`, and for how many seconds that holds.

    Where the MX records are not secure it does not, though Postfix heeds the TLSA records of their hosts when nothing
    else is said: whoever forges the MX records names hosts whose TLSA records are theirs.
    """
    try:
        mx = await resolver.ask(domain, "MX")
    except LookupFailed:
        return Dane.UNKNOWN, 0
    if not mx.secure:
        return Dane.NONE, mx.ttl
    ordered = sorted(mx.records, key=lambda record: int(record.preference))
    hosts = list(dict.fromkeys(record.exchange.to_text().lower() for record in ordered)) or [f"{domain}."]
    if hosts == ["."]:  # RFC 7505: takes no mail
        return Dane.NONE, mx.ttl
    looked = await asyncio.gather(
        *(_host_has_dane(resolver, host) for host in hosts[:_MX_HOSTS]), return_exceptions=True
    )
    if any(isinstance(one, LookupFailed) for one in looked):
        return Dane.SOME, 0
    having: set[bool | None] = {False} if len(hosts) > _MX_HOSTS else set()
    ttl = mx.ttl
    for one in looked:
        if isinstance(one, BaseException):
            raise one
        having.add(one[0])
        ttl = min(ttl, one[1])
    having.discard(None)
    return (Dane.ALL if having == {True} else Dane.SOME if True in having else Dane.NONE), ttl


class StsDaemon:
    """mta-sts-daemon, or what it left in its cache."""

    def __init__(self, path: str, cache: Path) -> None:
        self.path, self.cache = path, cache
        self.down_since: float | None = None
        self._said = 0.0  # when it was last told that it is down
        self._counts = {"enforced": 0, "without-policy": 0, "waiting": 0}

    async def policy(self, domain: str) -> tuple[str | None, bool]:
        """What MTA-STS wants, as for `decide`, and whether the daemon itself says so."""
        if self.down_since is None:
            try:
                reply = await socketmap.ask(self.path, "tls", domain, _DAEMON_SECONDS)
            except (OSError, socketmap.ProtocolError) as error:  # TimeoutError among them
                self._is_down(error)
            else:
                return self._read(domain, reply), True
        try:
            known: str | None = await asyncio.to_thread(sts_cache.enforced, self.cache, domain, time.time())
        except (sqlite3.Error, OSError, ValueError, TypeError, KeyError) as error:
            print(f"event mta-sts-cache-unreadable domain={domain}: {error}; its mail waits", flush=True)
            known = None
        self._counts["waiting" if known is None else "enforced" if known else "without-policy"] += 1
        return known, False

    @staticmethod
    def _read(domain: str, reply: str) -> str | None:
        if reply == NOTFOUND:
            return ""
        try:
            answer = _ANSWER.fullmatch(reply)
            return sts_cache.tls_policy(answer[1] if answer else reply)
        except ValueError:
            print(f"event mta-sts-policy-odd domain={domain} answer={reply[:200]!r}; its mail waits", flush=True)
            return None

    def _is_down(self, error: Exception) -> None:
        if self.down_since is None:
            self.down_since = self._said = time.monotonic()
            print(f"event mta-sts-down: {error or type(error).__name__}; policies that are known hold", flush=True)

    async def look(self) -> float:
        """See whether it answers, and tell how it stands; returns the seconds until it should be looked at again."""
        try:
            await socketmap.ask(self.path, "tls", ".sendyard", _PING_SECONDS[1])  # a parent domain: no look-up
        except (OSError, socketmap.ProtocolError) as error:
            self._is_down(error)
            now = time.monotonic()
            if self.down_since is not None and now - self._said >= _EVENT_SECONDS:
                self._said = now
                print(f"event mta-sts-down for={now - self.down_since:.0f} {self._tally()}", flush=True)
            return _PING_SECONDS[1]
        if self.down_since is not None:
            print(f"event mta-sts-up after={time.monotonic() - self.down_since:.0f} {self._tally()}", flush=True)
            self.down_since = None
            self._counts = dict.fromkeys(self._counts, 0)
        return _PING_SECONDS[0]

    def _tally(self) -> str:
        return " ".join(f"{name}={count}" for name, count in self._counts.items())

    def status(self) -> str:
        """ "up", or "down" and for how long."""
        return "up" if self.down_since is None else f"down for {time.monotonic() - self.down_since:.0f} s"


class Judge:
    """Replies to Postfix, each held for a minute at most, and found out once for all who ask at the same time."""

    def __init__(self, resolver: Resolver, daemon: StsDaemon) -> None:
        self.resolver, self.daemon = resolver, daemon
        self._held: dict[str, tuple[float, str]] = {}
        self._pending: dict[str, asyncio.Task[str]] = {}

    async def reply(self, name: str, key: str) -> str:
        """The reply to a request. Whatever goes wrong here means TEMP: mail waits."""
        if name == "status":
            return f"OK {self.daemon.status()}"
        if name != "tls":
            return "PERM there is no such map"
        domain = domain_of(key)
        if not domain:
            return NOTFOUND
        until, held = self._held.get(domain, (0.0, ""))
        if until > time.monotonic():
            return held
        task = self._pending.get(domain)
        if task is None:
            task = self._pending[domain] = asyncio.create_task(self._judge(domain))
            task.add_done_callback(lambda _: self._pending.pop(domain))
        try:
            return await asyncio.shield(task)
        except Exception as error:
            print(f"event transport-policy-failed domain={domain}: {error!r}; its mail waits", flush=True)
            return "TEMP this domain's policy cannot be found out"

    async def _judge(self, domain: str) -> str:
        dane, ttl = await dane_of(self.resolver, domain)
        if dane is Dane.ALL:
            answer, lasting = decide(dane, ""), True
        else:
            policy, lasting = await self.daemon.policy(domain)
            answer = decide(dane, policy)
        self._held.pop(domain, None)
        if lasting and not answer.startswith("TEMP") and (seconds := min(ttl, _HELD_SECONDS)) > 0:
            while len(self._held) >= _HELD_DOMAINS:
                del self._held[next(iter(self._held))]
            self._held[domain] = (time.monotonic() + seconds, answer)
        return answer


class Server:
    """The socket that Postfix asks."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests, one after the other, until the client leaves."""
        self._open += 1
        try:
            requests = socketmap.Netstrings(reader, socketmap.REQUEST_LIMIT)
            while self._open <= _CONNECTIONS and (payload := await requests.next()) is not None:
                reply = await self.judge.reply(*socketmap.parse_request(payload))
                writer.write(socketmap.encode(reply.encode()))
                await writer.drain()
        except (socketmap.ProtocolError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()


def _tell_systemd(state: str) -> None:
    """Send `state` as sd_notify(3) does, where systemd started us."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


async def _watch(daemon: StsDaemon) -> None:
    """Look at the daemon, and tell systemd that we are alive, for ever."""
    while True:
        seconds = await daemon.look()
        _tell_systemd("WATCHDOG=1")
        await asyncio.sleep(seconds)


async def _keep_small(cache: Path) -> None:
    """Keep the daemon's cache within its bounds, for ever."""
    while True:
        await asyncio.sleep(_PRUNE_SECONDS)
        try:
            gone = await asyncio.to_thread(sts_cache.prune, cache, time.time())
            if gone:
                print(f"{cache}: {gone} policies were over or too many", flush=True)
        except sqlite3.Error as error:
            print(f"{cache}: cannot be kept small ({error})", flush=True)


async def _run(options: Any) -> None:
    address, _at, port = options.resolver.partition("@")
    daemon = StsDaemon(options.daemon, options.cache)
    judge = Judge(Resolver(address, int(port or 53)), daemon)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_unix_server(Server(judge).serve, options.socket, backlog=_CONNECTIONS)
    tasks = [asyncio.create_task(_watch(daemon)), asyncio.create_task(_keep_small(options.cache))]
    _tell_systemd("READY=1")
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    server.close()
    for task in filter(asyncio.Task.done, tasks):
        task.result()  # neither ends but by an error; systemd starts us anew


def _ask(path: str, key: str) -> int:
    """Print what is answered for `key`, or without one how the daemon is; the exit status, 0 where all is well."""
    try:
        reply = asyncio.run(socketmap.ask(path, "tls" if key else "status", key, 2 * _DAEMON_SECONDS))
    except (OSError, socketmap.ProtocolError) as error:
        print(f"{path}: {error or type(error).__name__}; mail waits until sendyard-transport-policy.service answers")
        return 2
    print(reply if key else f"mta-sts-daemon is {reply.removeprefix('OK ')}")
    return int(reply.startswith("TEMP" if key else "OK down"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop, or ask the one that serves; returns the exit status."""
    parser = argparse.ArgumentParser(prog="sendyard.transport_policy", description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="where Postfix connects")
    parser.add_argument("--daemon", help="where mta-sts-daemon listens")
    parser.add_argument("--cache", type=Path, help="its SQLite cache")
    parser.add_argument("--resolver", default="127.0.0.1", help="the validating resolver, as ADDRESS[@PORT]")
    parser.add_argument("--ask", metavar="DOMAIN", help='print what Postfix is told of a domain, or "": of the daemon')
    options = parser.parse_args(arguments)
    if options.ask is not None:
        return _ask(options.socket, options.ask)
    asyncio.run(_run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
