# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS messages on the wire, many at a time: over one TCP connection (RFC 7766 section 6.2.1.1), and over UDP."""

from __future__ import annotations

import errno
import secrets
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from .model import DnsError, Key, RRset, Value

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.resolver
    import dns.rrset
    import dns.tsig

TCP_WINDOW = 64  # queries under way on a connection; servers hold back beyond about that many
UDP_WINDOW = 32
UDP_TRIES = (1.0, 2.0)  # seconds to wait for an answer, try by try
UDP_PAYLOAD = 1232  # octets; larger answers are fragmented and get lost
SILENT_AFTER = 4  # queries without any answer, after which the rest is asked over TCP
NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
RESOLVE_TIMEOUT = 5.0  # seconds
PROBE = (b"sendyard-probe", b"*")  # labels below a name that no zone has


class WireError(DnsError):
    """A server cannot be reached or does not speak DNS; the message says what happened."""


@dataclass(frozen=True, order=True)
class Server:
    """One address of a name server; `name` is how people know it."""

    name: str
    address: str
    port: int = 53

    def __str__(self) -> str:
        where = self.address if self.port == 53 else f"{self.address} port {self.port}"
        return where if self.name == self.address else f"{self.name} ({where})"


# A server says BADKEY where it does not know the key, and Knot also where the key is not allowed in the one zone.
Answer: TypeAlias = "dns.message.Message | dns.tsig.PeerBadKey"


@dataclass
class Answers:
    """What a server said: the answers, and why it did not say more where it stopped.

    `no_route` is true where this machine has no way to any address of that family, so that nobody can blame the server.
    """

    messages: dict[Key, dns.message.Message] = field(default_factory=dict)
    silence: str = ""
    no_route: bool = False


def query(key: Key) -> dns.message.QueryMessage:
    """Return a question for an authoritative server: no recursion wanted."""
    return dns.message.make_query(key.name, key.type, flags=0, use_edns=0, payload=UDP_PAYLOAD)


def rrset_in(message: dns.message.Message, key: Key) -> RRset | None:
    """Return the record set of `key` in an answer, None where there is none."""
    found = message.get_rrset(dns.message.ANSWER, key.name, dns.rdataclass.IN, key.type)
    return RRset(key, found.ttl, tuple(Value(rdata) for rdata in found)) if found else None


def alias_in(message: dns.message.Message, name: dns.name.Name) -> dns.name.Name | None:
    """Return the target of the CNAME at `name` in an answer, None where there is none."""
    found = message.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
    return found[0].target.canonicalize() if found else None


def probe(key: Key) -> Key | None:
    """Return where a server has an answer only if a wildcard lends the name of `key` its own (RFC 4592 section 3.3.1).

    Where the name is no node of the zone, nothing below it is, and the wildcard that answers for it answers there too.
    Where it is one, the closest encloser of the probe is the name, which has no wildcard below it, or that wildcard,
    which lends nothing to what is below itself (section 2.2.1, ghost.*.example). None where the probe is too long.
    """
    try:
        return Key(dns.name.Name([*PROBE, *key.name.labels]), key.type)
    except dns.name.NameTooLong:
        return None


def is_authoritative(message: dns.message.Message) -> bool:
    """Return whether an answer speaks for the zone: NOERROR or NXDOMAIN with the AA bit."""
    return bool(message.flags & dns.flags.AA) and message.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)


def referral_in(message: dns.message.Message) -> dns.rrset.RRset | None:
    """Return the NS records by which a server says that it is not the one to ask, None where it answers itself."""
    if message.flags & dns.flags.AA:
        return None
    return next((rrset for rrset in message.authority if rrset.rdtype == dns.rdatatype.NS), None)


def addresses(name: str, resolvers: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the addresses of a host, IPv4 first; an address stands for itself.

    Args:
        resolvers: addresses of the servers to ask, each with `@port` if that is not 53; none means the system's.

    Raises:
        WireError: it has none, or nobody answers.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, name)
            return (name,)
    try:
        asked = resolver(resolvers)
        found: list[str] = []
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            with suppress(dns.resolver.NoAnswer):
                found += [rdata.address for rdata in asked.resolve(_absolute(name), kind, lifetime=RESOLVE_TIMEOUT)]
    except dns.exception.DNSException as error:
        raise WireError(f"the address of {name} cannot be found: {error}") from error
    if not found:
        raise WireError(f"{name} has no address")
    return tuple(found)


def name_servers(zone: dns.name.Name, resolvers: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the servers that the world asks for `zone`, absolute and sorted; () where it knows none.

    `resolvers` as for `addresses`. Raises WireError where nobody answers.
    """
    try:
        found = resolver(resolvers).resolve(zone, dns.rdatatype.NS, lifetime=RESOLVE_TIMEOUT)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except dns.exception.DNSException as error:
        raise WireError(f"the name servers of {zone} cannot be found: {error}") from error
    return tuple(sorted(str(rdata.target.canonicalize()) for rdata in found))


def texts(name: dns.name.Name, kind: dns.rdatatype.RdataType, resolvers: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the values that the world finds at a name, CNAMEs followed, as `Value.text`; () where there are none.

    `resolvers` as for `addresses`. Raises WireError where nobody answers.
    """
    try:
        found = resolver(resolvers).resolve(name, kind, lifetime=RESOLVE_TIMEOUT)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except dns.exception.DNSException as error:
        raise WireError(f"{Key(name, kind)} cannot be found: {error}") from error
    return tuple(Value(rdata).text for rdata in found)


def has_soa(name: dns.name.Name, resolvers: Sequence[str] = ()) -> bool:
    """Return whether `name` is the apex of a zone.

    `resolvers` as for `addresses`. Raises WireError where nobody answers.
    """
    try:
        answer = resolver(resolvers).resolve(name, dns.rdatatype.SOA, lifetime=RESOLVE_TIMEOUT)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return False
    except dns.exception.DNSException as error:
        raise WireError(f"the zone of {name} cannot be found: {error}") from error
    return bool(answer.canonical_name == name)  # not that of what it is a CNAME to


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name, origin=dns.name.root)


def resolver(resolvers: Sequence[str]) -> dns.resolver.Resolver:
    """Return what asks `resolvers` (`address@port` for another port than 53), or those of the system where none is."""
    if not resolvers:
        return dns.resolver.Resolver()
    made = dns.resolver.Resolver(configure=False)
    ports = {address: int(port or 53) for address, _at, port in (text.partition("@") for text in resolvers)}
    made.nameservers = list(ports)
    made.nameserver_ports = ports
    return made


class Connection:
    """A TCP connection that carries many signed or plain messages at once.

    One thread uses it at a time. After an error it is closed and of no more use.
    """

    def __init__(self, server: Server, timeout: float, key: dns.tsig.Key | None = None) -> None:
        """Connect within `timeout` seconds, which is also how long each answer may take; `key` signs every message.

        Raises:
            WireError: nobody listens there.
        """
        self.server = server
        self._timeout = timeout
        self._key = key
        try:
            self._socket = socket.create_connection((server.address, server.port), timeout)
        except OSError as error:
            raise WireError(f"{server} does not take a TCP connection ({error.strerror or error})") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, messages: Sequence[dns.message.Message]) -> list[Answer]:
        """Send `messages` and return their answers in the same order.

        Raises:
            WireError: the connection broke or an answer did not come in time.
            dns.exception.DNSException: an answer cannot be read, or its signature is missing or wrong.
        """
        answers: list[Answer | None] = [None] * len(messages)
        under_way: dict[int, int] = {}
        following = 0
        try:
            while following < len(messages) or under_way:
                while following < len(messages) and len(under_way) < TCP_WINDOW:
                    self._send(messages[following], under_way)
                    under_way[messages[following].id] = following
                    following += 1
                wire = self._receive()
                index = under_way.pop(struct.unpack("!H", wire[:2])[0], None)
                if index is not None:
                    answers[index] = self._parse(wire, messages[index])
        except OSError as error:
            self.close()
            raise WireError(f"{self.server}: the connection broke ({error.strerror or error})") from error
        except dns.exception.DNSException:
            self.close()
            raise
        return [answer for answer in answers if answer is not None]

    def _send(self, message: dns.message.Message, taken: Mapping[int, int]) -> None:
        while message.id in taken:
            message.id = secrets.randbelow(65536)
        if self._key:
            message.use_tsig(self._key)
        wire = message.to_wire(max_size=65535)
        self._socket.sendall(struct.pack("!H", len(wire)) + wire)

    def _receive(self) -> bytes:
        expires = time.monotonic() + self._timeout
        (length,) = struct.unpack("!H", self._exactly(2, expires))
        if length < 12:
            raise OSError("an answer shorter than a DNS header")
        return self._exactly(length, expires)

    def _exactly(self, count: int, expires: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._socket.settimeout(max(0.001, expires - time.monotonic()))
            try:
                part = self._socket.recv(count - len(data))
            except TimeoutError as error:
                raise OSError(f"no answer within {self._timeout:.0f} s") from error
            if not part:
                raise OSError("closed by the server")
            data += part
        return bytes(data)

    def _parse(self, wire: bytes, question: dns.message.Message) -> Answer:
        try:
            answer = dns.message.from_wire(wire, keyring=self._key, request_mac=question.mac)
        except dns.tsig.PeerBadKey as error:
            return error
        except dns.exception.FormError:
            answer = dns.message.from_wire(wire)  # refusals may come unsigned, and newer releases of dnspython mind
        if not question.is_response(answer):
            raise dns.exception.FormError("an answer to something else")  # type: ignore[no-untyped-call]
        if self._key and not answer.had_tsig and answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise dns.tsig.BadSignature("the answer is not signed")  # type: ignore[no-untyped-call]
        return answer

    def close(self) -> None:
        """Close; closing twice does no harm."""
        with suppress(OSError):
            self._socket.close()


def ask_udp(server: Server, keys: Iterable[Key], expires: float) -> Answers:
    """Ask `server` for every key over UDP, over TCP what does not fit or does not come, and return what it said.

    `expires` is in terms of `time.monotonic()`.
    """
    exchange = _UdpExchange(server, keys, expires)
    answers, left = exchange.run()
    if left and not answers.silence and (remaining := expires - time.monotonic()) > 0:
        try:
            connection = Connection(server, min(remaining, sum(UDP_TRIES)))
            try:
                said = connection.ask([query(key) for key in left])
                answers.messages |= {
                    k: m for k, m in zip(left, said, strict=True) if isinstance(m, dns.message.Message)
                }
            finally:
                connection.close()
        except (WireError, dns.exception.DNSException) as error:
            answers.silence = str(error)
    return answers


@dataclass
class _Asked:
    key: Key
    message: dns.message.QueryMessage
    tries: int
    expires: float


class _UdpExchange:
    """One run of questions to one server; used once."""

    def __init__(self, server: Server, keys: Iterable[Key], expires: float) -> None:
        self._server = server
        self._waiting = deque(keys)
        self._expires = expires
        self._under_way: dict[int, _Asked] = {}
        self._answers = Answers()
        self._for_tcp: list[Key] = []

    def run(self) -> tuple[Answers, list[Key]]:
        """Return what was answered, and the keys to ask over TCP."""
        family = socket.AF_INET6 if ":" in self._server.address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as udp:
                udp.connect((self._server.address, self._server.port))
                udp.setblocking(False)
                while (self._waiting or self._under_way) and not self._answers.silence:
                    self._turn(udp)
        except OSError as error:
            self._answers.silence = f"{self._server} does not answer ({error.strerror or error})"
            self._answers.no_route = error.errno in NO_ROUTE
        return self._answers, self._for_tcp

    def _turn(self, udp: socket.socket) -> None:
        while self._waiting and len(self._under_way) < UDP_WINDOW:
            self._send(udp, self._waiting.popleft(), 0)
        soonest = min(asked.expires for asked in self._under_way.values())
        if select.select([udp], [], [], max(0.0, soonest - time.monotonic()))[0]:
            with suppress(BlockingIOError):
                while self._under_way:
                    self._take(udp.recv(65535))
        self._give_up_on_the_late(udp)

    def _send(self, udp: socket.socket, key: Key, tries: int) -> None:
        message = query(key)
        while message.id in self._under_way:
            message.id = secrets.randbelow(65536)
        udp.send(message.to_wire())
        expires = min(time.monotonic() + UDP_TRIES[tries], self._expires)
        self._under_way[message.id] = _Asked(key, message, tries, expires)

    def _take(self, wire: bytes) -> None:
        asked = self._under_way.get(struct.unpack("!H", wire[:2])[0]) if len(wire) >= 12 else None
        if asked is None:
            return
        try:
            answer = dns.message.from_wire(wire, ignore_trailing=True)
        except dns.exception.DNSException:
            return  # not from the server we asked, or not worth more than silence
        if not asked.message.is_response(answer):
            return
        del self._under_way[asked.message.id]
        if answer.flags & dns.flags.TC:
            self._for_tcp.append(asked.key)
        else:
            self._answers.messages[asked.key] = answer

    def _give_up_on_the_late(self, udp: socket.socket) -> None:
        now = time.monotonic()
        for asked in [asked for asked in self._under_way.values() if asked.expires <= now]:
            del self._under_way[asked.message.id]
            if asked.tries + 1 < len(UDP_TRIES) and now < self._expires:
                self._send(udp, asked.key, asked.tries + 1)
            else:
                self._for_tcp.append(asked.key)
        if not self._answers.messages and (len(self._for_tcp) >= SILENT_AFTER or now >= self._expires):
            self._for_tcp += [*(asked.key for asked in self._under_way.values()), *self._waiting]
            self._waiting.clear()
            self._under_way.clear()
