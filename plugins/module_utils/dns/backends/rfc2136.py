# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones that take dynamic updates (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot, PowerDNS and others.

Needs no zone transfer, and a key that may change no more than our names. Every update demands that what it touches is
still as it was read, so that a concurrent writer is noticed and never overwritten.
"""

from __future__ import annotations

import base64
import ipaddress
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from .. import reader, wire
from ..model import Change, DnsError, Key, RecordError, parse_name, parse_value
from ..planner import Found
from ..verify import Directory
from . import (
    AuthError,
    Caps,
    ClockError,
    Conflict,
    Delegated,
    Transient,
    Unsupported,
    Zone,
    ZoneNotFound,
    check_options,
    check_secret,
    portions,
)

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.tsig
    import dns.update

TIMEOUT = 10.0  # seconds for a connection, and for each answer
TRIES = 3  # of what may be repeated without harm
BATCH_OCTETS = 60_000  # a message has at most 65,535; the rest is for the header, the zone and the signature
RR_OCTETS = 10  # type, class, TTL and length of a resource record (RFC 1035 section 3.2.1)
NEEDS_SECRET = True
OPTIONS = frozenset({"server", "port", "key_name", "key_algorithm"})
# What no zone has, by type, so that removing it changes nothing, and may be tried to see whether it is allowed.
NOBODYS_VALUES = {
    "A": "0.0.0.0",
    "AAAA": "::",
    "CAA": '0 issue "sendyard-may-write-here.invalid"',
    "MX": "65535 sendyard-may-write-here.invalid.",
    "PTR": "sendyard-may-write-here.invalid.",
    "TXT": "sendyard-may-write-here",
}


@dataclass(frozen=True)
class Options:
    """How to reach a server and sign for it. `secret` is base64."""

    name: str  # of the credential
    server: str  # host name or address
    port: int
    key_name: str
    key_algorithm: str
    secret: str = field(repr=False)


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> Rfc2136:
    """Return the backend of the credential `name`. Raises AuthError for options that are none."""
    return Rfc2136(options(name, said, secret), directory.resolvers)


def options(name: str, said: Mapping[str, Any], secret: str) -> Options:
    """Return the options of the credential `name`.

    Raises:
        AuthError: one is missing, unknown or no such thing; the secret's value is never shown.
    """
    here = f'DNS credential "{name}"'
    check_options(name, "rfc2136", said, OPTIONS)
    for required in ("server", "key_name"):
        if not said.get(required):
            raise AuthError(f"{here}: {required} is missing.")
    check_secret(name, secret)
    try:
        base64.b64decode(secret, validate=True)
    except ValueError as error:
        raise AuthError(
            f"{here}: the secret is not base64; it is what stands as secret in the server's key."
        ) from error
    algorithm = str(said.get("key_algorithm") or "hmac-sha256").lower().rstrip(".")
    if algorithm not in ("hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"):
        raise AuthError(f'{here}: "{algorithm}" is no key_algorithm; use hmac-sha256 or stronger (RFC 8945 section 6).')
    _require_name(f"{here}: key_name", said["key_name"], "Write it as it is in the server's configuration.")
    if not _is_address(said["server"]):
        _require_name(f"{here}: server", said["server"], "Write a host name or an address.")
    return Options(name, said["server"], _port(here, said.get("port")), said["key_name"], algorithm, secret)


def _require_name(here: str, value: Any, todo: str) -> None:
    if not isinstance(value, str):
        raise AuthError(f"{here}: {value!r} is no text. {todo}")
    try:
        parse_name(value)
    except RecordError as error:
        raise AuthError(f"{here}: {str(error).removesuffix('.')}. {todo}") from error


def _is_address(value: Any) -> bool:
    """Return whether `value` is an address as text; a number would be one too."""
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _port(here: str, value: Any) -> int:
    try:
        port = int(value or 53)
    except (TypeError, ValueError):
        port = 0
    if not 1 <= port <= 65535:
        raise AuthError(f'{here}: "{value}" is no port; it is a number from 1 to 65535.')
    return port


class Rfc2136:
    """One server and key. Keeps a connection per thread that works at the same time."""

    caps = Caps(atomic="batch", compare_and_swap=True, value_level=True, sees_delegations=True)

    def __init__(self, said: Options, resolvers: Sequence[str] = ()) -> None:
        self._said = said
        self._resolvers = resolvers
        self._key = dns.tsig.Key(said.key_name, said.secret, said.key_algorithm)
        self._key_text = f'key "{said.key_name}" of credential "{said.name}"'
        self._idle: list[wire.Connection] = []
        self._lock = threading.Lock()
        self._where = said.server if said.port == 53 else f"{said.server} port {said.port}"

    # --- zones

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name by asking the server for its SOA (RFC 2308 section 3)."""
        found: dict[dns.name.Name, Zone | DnsError] = {}
        aliases: dict[dns.name.Name, dns.name.Name] = {}
        strangers: list[dns.name.Name] = []
        for name, answer in zip(names, self._query(_soa_keys(names)), strict=True):
            if isinstance(answer, dns.tsig.PeerBadKey) or answer.rcode() == dns.rcode.NOTAUTH:
                strangers.append(name)
            elif wire.alias_in(answer, name):
                aliases[name] = name.parent()
            else:
                found[name] = self._zone_of(name, answer)
        if aliases:  # what the server says beside a CNAME is of its target's zone; no apex is a CNAME, so ask above
            above = self.find_zones(sorted(set(aliases.values())))
            found |= {name: above[parent] for name, parent in aliases.items()}
        return found | self._why_bad_key(strangers)

    def _why_bad_key(self, names: Sequence[dns.name.Name]) -> dict[dns.name.Name, Zone | DnsError]:
        """Return what is wrong with names for which the key is not accepted; the server may have no zone for them."""
        found: dict[dns.name.Name, Zone | DnsError] = {}
        for name, answer in zip(names, self._query(_soa_keys(names), signed=False), strict=True):
            zone = self._zone_of(name, answer) if isinstance(answer, dns.message.Message) else None
            found[name] = zone if isinstance(zone, DnsError) else self._bad_key(zone.name if zone else name, name)
        return found

    def _bad_key(self, zone: dns.name.Name, name: dns.name.Name) -> AuthError:
        nearest = "" if name == zone else f", the nearest it has to {name}; if a nearer one is missing, create it"
        return AuthError(
            f"{self._where} does not accept {self._key_text} in zone {zone} (NOTAUTH){nearest}. Create the key there, "
            "or correct key_name or key_algorithm; where it exists, allow it in that zone (Knot: an acl with action "
            "update)."
        )

    def _zone_of(self, name: dns.name.Name, answer: dns.message.Message) -> Zone | DnsError:
        sections = (*answer.answer, *answer.authority)
        if wire.is_authoritative(answer):
            for rrset in sections:
                if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
                    return Zone(rrset.name.canonicalize())
        for rrset in sections:
            if rrset.rdtype == dns.rdatatype.NS and name.is_subdomain(rrset.name) and not answer.flags & dns.flags.AA:
                return self._delegated(name, rrset)
        code = dns.rcode.to_text(answer.rcode())
        return ZoneNotFound(
            f"{self._where} has no zone that holds {name} (it answered {code}"
            f"{'' if answer.flags & dns.flags.AA else ', not authoritative'}). Create the zone there, or name the "
            f'credential of the server that has it instead of "{self._said.name}".'
        )

    def _delegated(self, name: dns.name.Name, rrset: dns.rrset.RRset) -> Delegated:
        servers = ", ".join(sorted(str(rdata.target) for rdata in rrset))
        return Delegated(
            f"{name} is delegated away: {self._where} says that zone {rrset.name} is at {servers}. What credential "
            f'"{self._said.name}" writes above would never be seen. Name the credential that changes {rrset.name}.'
        )

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the targets of the zone's NS records."""
        (answer,) = self._messages(zone, [Key(zone.name, dns.rdatatype.NS)])
        rrset = wire.rrset_in(answer, Key(zone.name, dns.rdatatype.NS))
        return tuple(sorted(value.text for value in rrset.values)) if rrset else ()

    # --- reading

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, as the server answers."""

        def fault(key: Key, answer: dns.message.Message) -> DnsError:
            zone_of_key = self._zone_of(key.name, answer)
            if isinstance(zone_of_key, DnsError):
                return zone_of_key
            return Unsupported(f"{self._where} does not answer for {key}")

        return reader.read(keys, lambda asked: self._messages(zone, asked), fault)

    # --- writing

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return `changes` in messages of at most BATCH_OCTETS, each of which is written wholly or not at all."""
        return portions(changes, _octets, BATCH_OCTETS)

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Send one UPDATE whose prerequisites are that every record set is as it was read, and no name a CNAME."""
        message = dns.update.UpdateMessage(zone.name)
        for change in changes:
            _add(message, change)
        self._update(zone, message)

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Send one UPDATE that removes at every key a value which nobody has: allowed or not, it changes nothing."""
        message = dns.update.UpdateMessage(zone.name)
        for key in keys:
            if (text := NOBODYS_VALUES.get(dns.rdatatype.to_text(key.type))) is not None:
                message.delete(key.name, parse_value(key.type, text).rdata)
        message.present(zone.name, dns.rdatatype.SOA)
        self._update(zone, message)

    def _update(self, zone: Zone, message: dns.update.UpdateMessage) -> None:
        try:
            with self._connection() as connection, self._explained():
                (answer,) = connection.ask([message])
        except wire.WireError as error:
            raise Transient(str(error)) from error
        if isinstance(answer, dns.tsig.PeerBadKey):  # the key is known, since reading came before
            raise self._denied(zone, "NOTAUTH, BADKEY")
        code = answer.rcode()
        said = f"{self._where} refused the update of zone {zone.name} ({dns.rcode.to_text(code)})"
        if code in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN):
            raise Conflict(f"{said}: somebody else changes the same records again and again. Run again later.")
        if code in (dns.rcode.NOTAUTH, dns.rcode.REFUSED, dns.rcode.NOTZONE):
            raise self._denied(zone, dns.rcode.to_text(code))
        if code in (dns.rcode.NOTIMP, dns.rcode.FORMERR):
            raise Unsupported(f"{said}: it does not take dynamic updates of these records. Enter them there by hand.")
        if code != dns.rcode.NOERROR:
            raise Transient(f"{said}. Its log says why.")

    def _denied(self, zone: Zone, code: str) -> AuthError:
        return AuthError(
            f"{self._where} refused the update of zone {zone.name} ({code}): {self._key_text} may not change these "
            "records. Allow it there (Knot: an acl with action update; BIND: update-policy or allow-update), or name "
            "another credential (sendyard_dns_credential for a server's own names, dns in a domain's file)."
        )

    def settled(self, seconds: float) -> None:
        """The server itself has what it took; whether the others have it, they are asked."""

    # --- connections

    def _messages(self, zone: Zone, keys: Sequence[Key]) -> list[dns.message.Message]:
        """Return the answers to `keys` of a zone, in their order.

        Raises:
            AuthError: the key is not accepted.
            Transient: the server cannot be reached.
        """
        answers = self._query(keys)
        if any(isinstance(answer, dns.tsig.PeerBadKey) for answer in answers):
            raise self._bad_key(zone.name, zone.name)
        return [answer for answer in answers if isinstance(answer, dns.message.Message)]

    def _query(self, keys: Sequence[Key], *, signed: bool = True) -> list[wire.Answer]:
        """Return the answers to `keys`, in their order, over one connection; what breaks on the way is asked again."""
        for attempt in range(1, TRIES + 1):
            try:
                with self._connection(signed=signed) as connection, self._explained():
                    return connection.ask([wire.query(key) for key in keys]) if keys else []
            except wire.WireError as error:
                if attempt == TRIES:
                    raise Transient(f"{error}. Tried {TRIES} times.") from error
                time.sleep(random.uniform(0.1, 0.3) * attempt)  # noqa: S311  # no secret hangs on it
        raise AssertionError("unreachable")

    @contextmanager
    def _connection(self, *, signed: bool = True) -> Iterator[wire.Connection]:
        """Lend a connection that nobody else uses; one that failed is not kept."""
        with self._lock:
            connection = self._idle.pop() if self._idle and signed else None
        connection = connection or self._connect(self._key if signed else None)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if not signed:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self, key: dns.tsig.Key | None) -> wire.Connection:
        failure: wire.WireError | None = None
        for address in wire.addresses(self._said.server, self._resolvers):
            try:
                return wire.Connection(wire.Server(self._said.server, address, self._said.port), TIMEOUT, key)
            except wire.WireError as error:
                failure = error
        raise failure or wire.WireError(f"{self._said.server} has no address")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what dnspython says of signatures into what to do."""
        try:
            yield
        except (dns.tsig.PeerBadSignature, dns.tsig.PeerBadTruncation) as error:
            raise AuthError(
                f"{self._where} knows {self._key_text} with another secret or algorithm (BADSIG). "
                "Compare secret and key_algorithm."
            ) from error
        except (dns.tsig.PeerBadTime, dns.tsig.BadTime) as error:
            raise ClockError(
                f"{self._where} and this machine differ by more than five minutes (BADTIME). "
                "Check the time here (timedatectl) and there."
            ) from error
        except dns.exception.DNSException as error:
            raise AuthError(
                f"{self._where} gave an answer that cannot be trusted or read: {error or type(error).__name__}"
            ) from error

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


def _soa_keys(names: Sequence[dns.name.Name]) -> list[Key]:
    return [Key(name, dns.rdatatype.SOA) for name in names]


def _add(message: dns.update.UpdateMessage, change: Change) -> None:
    """Add one change with its prerequisites (RFC 2136 sections 2.4 and 2.5) to an UPDATE."""
    name, kind = change.key.name, change.key.type
    if change.before:
        message.present(name, *(value.rdata for value in change.before.values))
    else:
        message.absent(name, kind)
    if kind != dns.rdatatype.CNAME:  # servers say NOERROR and drop what is put beside a CNAME
        message.absent(name, dns.rdatatype.CNAME)
    if change.after is None:
        message.delete(name, kind)
    elif change.before and change.before.ttl != change.after.ttl:
        message.delete(name, kind)
        for value in change.after.values:
            message.add(name, change.after.ttl, value.rdata)
    else:
        for value in change.remove:
            message.delete(name, value.rdata)
        for value in change.add:
            message.add(name, change.after.ttl, value.rdata)


def _octets(change: Change) -> int:
    """Return an upper bound of what a change takes in a message, names not compressed."""
    owner = len(change.key.name.to_wire() or b"") + RR_OCTETS
    values = [*(change.before.values if change.before else ()), *(change.after.values if change.after else ())]
    return 4 * owner + sum(2 * (owner + len(value.wire)) for value in values)
