# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world as it is: name servers asked for what they hold, and listeners for their certificates. Each thing once."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from ..dns import wire
from ..dns.model import DnsError, Key, parse_name
from ..smtp.session import Endpoint, Listener, SmtpError, session, tls_context
from .model import Certificate, Unreachable

with suppress(ImportError):  # controllers have them: mail_dns and ansible-core need them
    import dns.exception
    import dns.message
    import dns.name
    import dns.rdatatype
    import dns.resolver
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PACKAGES = {"dnspython": "dns", "cryptography": "cryptography"}  # and their modules
ASK_SECONDS = 2.0  # for one name server
SERVERS_ASKED = 3  # of a zone, before the resolver is asked instead
RESOLVE_SECONDS = 4.0
SESSION_SECONDS = 5.0
ALIASES = 8  # CNAMEs that are followed


class Network:
    """Looks things up for many threads at once.

    The zone's own name servers are asked, since a resolver may still have what stood there before. Where none of them
    answers as such, the resolver is.

    Args:
        resolvers: addresses, `address@port` for another port than 53; the system's where there are none.
        instead: (address, port) to ask in place of a name server, by its name with its last dot.
    """

    def __init__(
        self, resolvers: Sequence[str] = (), instead: Mapping[str, Sequence[tuple[str, int]]] | None = None
    ) -> None:
        self._resolvers = tuple(resolvers)
        self._instead = instead or {}
        self._known: dict[tuple[Any, ...], Future[Any]] = {}
        self._lock = threading.Lock()

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def ask(self, name: str, kind: str) -> tuple[str, ...]:
        """As World.ask."""
        try:
            key = Key(parse_name(name), dns.rdatatype.from_text(kind))
        except DnsError:
            return ()  # what is no name has nothing
        found: tuple[str, ...] = self._once(("ask", key), lambda: self._ask(key, ALIASES))
        return found

    def zone(self, name: str) -> str:
        """As World.zone."""
        apex, exists = self._apex(parse_name(name))
        return apex.to_text(omit_final_dot=True) if exists and apex != dns.name.root else ""

    def served(self, name: str, address: str, port: int, *, implicit: bool) -> Certificate:
        """As World.served."""
        endpoint = Endpoint(name, address, Listener(port, implicit))
        found: Certificate = self._once(("served", endpoint), lambda: _handshake(endpoint))
        return found

    def _once(self, key: tuple[Any, ...], work: Callable[[], Any]) -> Any:
        with self._lock:
            future = self._known.get(key)
            mine = future is None
            if future is None:
                future = self._known[key] = Future()
        if mine:
            try:
                future.set_result(work())
            except Exception as error:  # whoever asks next has the same
                future.set_exception(error)
        try:
            return future.result()
        except DnsError as error:
            raise Unreachable(str(error)) from error

    def _ask(self, key: Key, aliases: int) -> tuple[str, ...]:
        for server in self._servers(self._apex(key.name)[0])[:SERVERS_ASKED]:
            message = wire.ask_udp(server, [key], time.monotonic() + ASK_SECONDS).messages.get(key)
            if message is None or not wire.is_authoritative(message):
                continue
            if rrset := wire.rrset_in(message, key):
                return tuple(value.text for value in rrset.values)
            target = wire.alias_in(message, key.name)
            if target is None or not aliases:
                return ()
            return self._ask(Key(target, key.type), aliases - 1)
        return wire.texts(key.name, key.type, self._resolvers)

    def _servers(self, zone: dns.name.Name) -> list[wire.Server]:
        """Return the addresses of a zone's name servers that are known; of the root's and a top-level domain's none."""
        if len(zone) <= 2:
            return []
        found: list[wire.Server] = self._once(("servers", zone), lambda: self._look_for_servers(zone))
        return found

    def _look_for_servers(self, zone: dns.name.Name) -> list[wire.Server]:
        found: list[wire.Server] = []
        with suppress(DnsError):
            for name in wire.name_servers(zone, self._resolvers):
                if name in self._instead:
                    found += [wire.Server(name, *place) for place in self._instead[name]]
                    continue
                with suppress(DnsError):
                    found += [wire.Server(name, address) for address in wire.addresses(name, self._resolvers)]
        return sorted(found, key=lambda server: ":" in server.address)  # where there is no IPv6, the others come first

    def _apex(self, name: dns.name.Name) -> tuple[dns.name.Name, bool]:
        """Return the zone that a name stands in, and whether the name exists."""
        found: tuple[dns.name.Name, bool] = self._once(("apex", name), lambda: self._look_for_apex(name))
        return found

    def _look_for_apex(self, name: dns.name.Name) -> tuple[dns.name.Name, bool]:
        if name == dns.name.root:
            return name, True
        resolver = wire.resolver(self._resolvers)
        try:
            answer = resolver.resolve(name, dns.rdatatype.SOA, raise_on_no_answer=False, lifetime=RESOLVE_SECONDS)
        except dns.resolver.NXDOMAIN as error:
            return _authority(error.response(name), name), False  # type: ignore[no-untyped-call]
        except dns.exception.DNSException as error:
            raise wire.WireError(f"the zone of {name} cannot be found: {error}") from error
        if answer.canonical_name != name:  # what stands beside a CNAME is in the zone above
            return self._apex(name.parent())[0], True
        return (name if answer.rrset else _authority(answer.response, name)), True


def _authority(response: dns.message.Message, name: dns.name.Name) -> dns.name.Name:
    """Return the zone whose SOA record says that there is nothing (RFC 2308 section 3)."""
    zones = [rrset.name for rrset in response.authority if rrset.rdtype == dns.rdatatype.SOA]
    return zones[0] if zones else name.parent()


def _handshake(endpoint: Endpoint) -> Certificate:
    """Return the certificate that a client is shown, whatever it is worth.

    Raises:
        Unreachable: no connection.
        SmtpError: no TLS.
    """
    try:
        with session(endpoint, tls_context(verify=False), timeout=SESSION_SECONDS, whole=SESSION_SECONDS) as opened:
            if opened.tls is None:
                opened.ehlo("prover.invalid")  # no name of anyone's (RFC 2606)
                opened.start_tls()
            shown = opened.sock.getpeercert(binary_form=True)  # type: ignore[attr-defined]  # it is an SSLSocket now
    except SmtpError as error:
        if error.kind in ("unreachable", "timeout", "busy"):
            raise Unreachable(str(error)) from error
        raise
    if not shown:
        raise SmtpError(f"{endpoint}: the handshake showed no certificate", kind="certificate")
    parsed = x509.load_der_x509_certificate(shown)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        alternatives = tuple(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        alternatives = ()
    key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(alternatives, parsed.not_valid_after_utc, key, shown)


def missing_packages() -> list[str]:
    """Return the Python packages without which nothing can be looked up."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]
