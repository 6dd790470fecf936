# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until every address of every authoritative server of a zone answers as wanted, and names those that do not."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from . import wire
from .model import DnsError, Key, RRset, parse_name
from .wire import Server

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.flags
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdatatype
    import dns.rrset

SERVERS_AT_A_TIME = 32
FIRST_PAUSE = 0.1  # seconds between rounds; doubled from round to round
LONGEST_PAUSE = 2.0
LONGEST_NEGATIVE = 10800  # seconds that a resolver should keep at most that there is nothing (RFC 2308 section 5)
LAST_ROUND = 1.0  # seconds that servers have to answer a round which begins just before the deadline

Override = Mapping[
    str, Sequence[tuple[str, int]]
]  # a name server's name, absolute, to the (address, port) to ask instead


class NotPropagated(DnsError):
    """A server that the world asks does not answer with what was published."""


class OtherZone(DnsError):
    """The world asks other servers for a zone than those of the one that the credential changes."""


@dataclass(frozen=True)
class Expectation:
    """What an answer for `key` must be: `holds` is given the record set, None where there is none but a wildcard's."""

    key: Key
    holds: Callable[[RRset | None], bool]


@dataclass(frozen=True)
class Failure:
    """A server that did not answer for `key` as it should, and what it did instead."""

    server: Server
    key: Key
    reason: str


class Directory:
    """Which name servers the world asks, and where they are; each looked up once."""

    def __init__(self, resolvers: Sequence[str], override: Override) -> None:
        self.resolvers = resolvers
        self._override = override
        self._known: dict[str, tuple[Server, ...] | DnsError] = {}
        self._apexes: dict[dns.name.Name, bool] = {}
        self._found: dict[Key, tuple[str, ...] | DnsError] = {}

    def zone_of(self, name: dns.name.Name) -> dns.name.Name | None:
        """Return the zone that holds `name`, None where the world knows none.

        Raises:
            WireError: nobody answers.
        """
        candidate = name
        while candidate != dns.name.root:
            if candidate not in self._apexes:
                self._apexes[candidate] = self._is_apex(candidate)
            if self._apexes[candidate]:
                return candidate
            candidate = candidate.parent()
        return None

    def _is_apex(self, name: dns.name.Name) -> bool:
        if not self._override:
            return wire.has_soa(name, self.resolvers)
        key = Key(name, dns.rdatatype.SOA)
        for server in self._overriding():
            answer = wire.ask_udp(server, [key], time.monotonic() + LAST_ROUND * 4).messages.get(key)
            if answer and wire.is_authoritative(answer) and wire.rrset_in(answer, key):
                return True
        return False

    def look_up(self, name: str, kind: str) -> tuple[str, ...]:
        """Return the values that the world finds at a name, as plain text; () where there are none.

        Raises:
            DnsError: that is no name, or nobody answers; asked once.
        """
        key = Key(parse_name(name), dns.rdatatype.from_text(kind))
        if key not in self._found:
            try:
                self._found[key] = self._look_up_values(key)
            except DnsError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, DnsError):
            raise found
        return found

    def _look_up_values(self, key: Key) -> tuple[str, ...]:
        if not self._override:
            return wire.texts(key.name, key.type, self.resolvers)
        for server in self._overriding():
            answer = wire.ask_udp(server, [key], time.monotonic() + LAST_ROUND * 4).messages.get(key)
            if answer and wire.is_authoritative(answer):
                rrset = wire.rrset_in(answer, key)
                return tuple(value.text for value in rrset.values) if rrset else ()
        raise wire.WireError(f"{key}: none of the name servers that are named instead of the world's knows it")

    def _overriding(self) -> Iterator[Server]:
        return (Server(host, *where) for host, places in self._override.items() for where in places)

    def world(self, zone: dns.name.Name, said: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the servers that are asked for `zone`: those that it names itself, and the world's.

        Where an override says where to ask, nobody else is asked.

        Args:
            said: the name servers of the zone that the credential changes.

        Raises:
            NotPropagated: nobody can find the zone.
            OtherZone: the world asks other servers: this is a view of the zone for inside, or what a former provider
                still has.
        """
        if self._override:
            return tuple(said) or tuple(sorted(self._override))
        asked = wire.name_servers(zone, self.resolvers)
        if not asked:
            raise NotPropagated(
                f"zone {zone}: the world finds no name server for it, so nobody would see what stands there. Enter "
                f"{', '.join(said) or 'its name servers'} for it at the registrar, or in the zone above."
            )
        if said and not set(said) & set(asked):
            raise OtherZone(
                f"zone {zone}: the world asks {', '.join(asked)}, but the zone that the credential changes names "
                f"{', '.join(said)}. It is another zone of the same name: a view for inside, or one that was moved "
                "away. Nothing was changed. Name the credential of the zone that is asked, or enter its name servers "
                "at the registrar first."
            )
        return tuple(sorted({*said, *asked}))

    def servers(self, zone: dns.name.Name, names: Sequence[str]) -> tuple[Server, ...]:
        """Return every address of the name servers `names` of `zone`.

        Raises:
            NotPropagated: there are none, or one has no address that can be found.
        """
        if not names:
            raise NotPropagated(f"zone {zone} has no NS records, so nobody can find what it holds")
        found: list[Server] = []
        for name in names:
            if name not in self._known:
                self._known[name] = self._look_up(name)
            said = self._known[name]
            if isinstance(said, DnsError):
                raise NotPropagated(f"name server {name} of zone {zone}: {said}")
            found += said
        return tuple(found)

    def _look_up(self, name: str) -> tuple[Server, ...] | DnsError:
        if name in self._override:
            return tuple(Server(name, address, port) for address, port in self._override[name])
        try:
            return tuple(Server(name, address) for address in wire.addresses(name, self.resolvers))
        except DnsError as error:
            return error


def held(zone: dns.name.Name, servers: Sequence[Server], key: Key | None = None) -> int:
    """Return for how many seconds a resolver that asks `servers` now keeps the answer, be it that there is nothing.

    The first server that answers is asked. Where something answers in its place that is not authoritative, or nobody
    does, it is the longest that it can be.

    Args:
        key: what the resolver asks for; None: something that does not exist in `zone`.
    """
    soa = Key(zone, dns.rdatatype.SOA)
    keys = [soa] if key is None else [key, soa]
    for server in servers:
        messages = wire.ask_udp(server, keys, time.monotonic() + LAST_ROUND * 4).messages
        if key in messages and (there := wire.rrset_in(messages[key], key)):
            return there.ttl
        if soa in messages and (apex := wire.rrset_in(messages[soa], soa)):
            minimum: int = apex.values[0].rdata.minimum  # type: ignore[attr-defined]  # of an SOA
            return min(apex.ttl, minimum) if wire.is_authoritative(messages[soa]) else minimum
    return LONGEST_NEGATIVE


def delegated(
    zone: dns.name.Name, servers: Sequence[Server], names: Sequence[dns.name.Name]
) -> dict[dns.name.Name, str]:
    """Return those of `names` that `servers` say belong to a zone below `zone`, each with where that is.

    The first server that answers is asked; where none does, nothing is known, and waiting for them will tell.
    """
    expires = time.monotonic() + LAST_ROUND * 4
    keys = {Key(name, dns.rdatatype.SOA): name for name in names if name != zone}
    for server in servers if keys else ():
        answers = wire.ask_udp(server, keys, expires)
        if answers.messages:
            referrals = ((keys[key], wire.referral_in(message)) for key, message in answers.messages.items())
            return {name: _elsewhere(referral, zone) for name, referral in referrals if referral}
    return {}


def _elsewhere(referral: dns.rrset.RRset, zone: dns.name.Name) -> str:
    servers = ", ".join(sorted(str(rdata.target) for rdata in referral))
    return (
        f"is delegated away: it belongs to the zone {referral.name}, which is at {servers}. What stood in {zone} would "
        f"never be seen. Name the credential that changes {referral.name}."
    )


def wait(expected: Mapping[Server, Sequence[Expectation]], seconds: float) -> list[Failure]:
    """Return what is not as expected when all is, or when `seconds` are over.

    Only what did not hold is asked again. An address of a family that this machine has no route for is passed over, as
    long as the same name server answers at another one.
    """
    expires = time.monotonic() + seconds
    pending = {server: list(expectations) for server, expectations in expected.items() if expectations}
    failures: dict[Server, list[Failure]] = {}
    passed_over: dict[Server, Sequence[Expectation]] = {}
    pause = FIRST_PAUSE
    with ThreadPoolExecutor(SERVERS_AT_A_TIME) as pool:
        while pending:
            outcomes = pool.map(partial(_round, expires), pending.keys(), pending.values())
            for server, outcome in zip(pending, outcomes, strict=True):
                failures[server] = outcome.failures
                if outcome.no_route and _has_other_address(server, expected, passed_over):
                    passed_over[server] = expected[server]
                    failures[server] = []
            pending = {server: _still(pending[server], failures[server]) for server in pending if failures[server]}
            if time.monotonic() >= expires:
                break
            if pending:
                time.sleep(max(0.0, min(pause, expires - time.monotonic())))
                pause = min(2 * pause, LONGEST_PAUSE)
    return [failure for server in pending for failure in failures[server]]


@dataclass(frozen=True)
class _Outcome:
    failures: list[Failure]
    no_route: bool


def _round(expires: float, server: Server, expectations: Sequence[Expectation]) -> _Outcome:
    time_to_answer = max(expires, time.monotonic() + LAST_ROUND)
    answers = wire.ask_udp(server, [expectation.key for expectation in expectations], time_to_answer)
    reasons = {expectation: _reason(server, expectation, answers) for expectation in expectations}
    probes = [
        probe
        for expectation, reason in reasons.items()
        if reason and _answered(expectation.key, answers) and (probe := wire.probe(expectation.key))
    ]
    if probes:  # what a wildcard lends does not stand there, so that it may be what is left where ours is gone
        answers.messages |= wire.ask_udp(server, probes, time_to_answer).messages
        reasons = {
            expectation: reason and _reason(server, expectation, answers) for expectation, reason in reasons.items()
        }
    failures = [Failure(server, expectation.key, reason) for expectation, reason in reasons.items() if reason]
    return _Outcome(failures, answers.no_route)


def _reason(server: Server, expectation: Expectation, answers: wire.Answers) -> str:
    """Return why the answer is not as expected, "" where it is."""
    message = answers.messages.get(expectation.key)
    if message is None:
        return answers.silence or f"{server} does not answer"
    if message.flags & dns.flags.RA and not message.flags & dns.flags.AA:
        return (
            f"{server} answers as a resolver does ({_code(message)}, recursion available, not authoritative): it does "
            "not serve the zone, or something on the way from this machine to port 53 answers in its place"
        )
    if not wire.is_authoritative(message):
        return f"{server} does not serve the zone (it answered {_code(message)}, not authoritative)"
    probe = wire.probe(expectation.key)
    lent = probe is not None and _answered(probe, answers)
    if expectation.holds(None if lent else wire.rrset_in(message, expectation.key)):
        return ""
    return f"{server} does not answer with it yet"


def _answered(key: Key, answers: wire.Answers) -> bool:
    """Return whether there is a record set at `key` among `answers`."""
    message = answers.messages.get(key)
    return message is not None and wire.rrset_in(message, key) is not None


def _code(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


def _still(expectations: Sequence[Expectation], failures: Sequence[Failure]) -> list[Expectation]:
    keys = {failure.key for failure in failures}
    return [expectation for expectation in expectations if expectation.key in keys]


def _has_other_address(server: Server, expected: Mapping[Server, object], passed_over: Mapping[Server, object]) -> bool:
    return any(other.name == server.name and other != server and other not in passed_over for other in expected)


def summary(failures: Sequence[Failure], seconds: float) -> str:
    """Return one sentence a server and reason, with the records it is about."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for failure in failures:
        by_reason[failure.reason].append(str(failure.key))
    return " ".join(
        f"{reason} after {seconds:.0f} s: {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}."
        for reason, keys in sorted(by_reason.items())
    )
