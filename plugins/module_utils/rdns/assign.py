# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has providers call addresses by their names, and waits until the world sees it.

A name that does not lead to its address is never set: providers refuse it, or receivers take it for a lie. What a
provider has accepted and the world does not see yet is pending, which is nobody's fault.
"""

from __future__ import annotations

import ipaddress
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..dns import caches, verify
from ..dns.model import DnsError, Key, RRset, parse_name, parse_value
from ..dns.wire import Server
from ..records import reverse_name
from . import Provider, Standing, Unsettable

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

LOOK_SECONDS = 5.0  # for all servers to tell what should be there already
FIELDS = ("address", "name", "credential", "subject")


class Misled(DnsError):
    """The name of an address does not lead to it."""


@dataclass(frozen=True)
class Wanted:
    """An address, as RFC 5952 writes it, the name that it is to have, and whose fault a failure is."""

    address: str
    name: dns.name.Name
    credential: str
    subject: str

    @property
    def text(self) -> str:
        """The name as providers take it, without the last dot."""
        return self.name.to_text(omit_final_dot=True)

    @property
    def forward(self) -> Key:
        """Where the name leads to addresses of that family."""
        kind = dns.rdatatype.A if ipaddress.ip_address(self.address).version == 4 else dns.rdatatype.AAAA
        return Key(self.name, kind)

    @property
    def reverse(self) -> Key:
        """Where the world looks for the address's name."""
        return Key(parse_name(reverse_name(self.address)), dns.rdatatype.PTR)


@dataclass
class Outcome:
    """What was done, and what every subject should know.

    Attributes:
        changes: address, name before and after, of what was set or would be.
        faults, notes: by subject.
        seen: addresses that lead to their name, or would in check mode, by subject.
        pending: those that a provider has accepted and the world does not see, by subject.
        cached: what resolvers may have of what the reverse zones said before, by subject, that which lasts longest.
    """

    changes: list[tuple[str, str | None, str]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pending: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    cached: dict[str, caches.Cached] = field(default_factory=dict)

    def blame(self, one: Wanted, error: DnsError | str) -> None:
        """Put `error` down to the subject of `one`, once."""
        if str(error) not in self.faults[one.subject]:
            self.faults[one.subject].append(str(error))

    def note(self, one: Wanted, text: DnsError | str) -> None:
        """Tell the subject of `one` something that is no fault, once."""
        if str(text) not in self.notes[one.subject]:
            self.notes[one.subject].append(str(text))

    def remain(self, one: Wanted, seconds: int) -> None:
        """Add that resolvers may have what the reverse zone says now for so many seconds more."""
        known = [self.cached[one.subject]] if one.subject in self.cached else []
        if found := caches.longest([*known, caches.Cached(seconds, str(one.reverse))]):
            self.cached[one.subject] = found


def parse(said: Mapping[str, Any]) -> Wanted:
    """Return what `said` wants, with the subject as it is said.

    Raises:
        DnsError: a field is missing or unknown, or is no address or name.
    """
    if set(said) != set(FIELDS) or not all(said.values()):
        raise DnsError(f"{dict(said)}: an address has: {', '.join(FIELDS)}; each of them says something, and no other")
    try:
        address = str(ipaddress.ip_address(str(said["address"])))
    except ValueError as error:
        raise DnsError(f'"{said["address"]}" is no IP address') from error
    return Wanted(address, parse_name(str(said["name"])), str(said["credential"]), str(said["subject"]))


def check(wanted: Sequence[Wanted], providers: Mapping[str, Provider], outcome: Outcome) -> None:
    """Find out, changing nothing, whether every address is its credential's."""
    for one, found in _standing(wanted, providers):
        if isinstance(found, Unsettable):
            outcome.note(one, found)
        elif isinstance(found, DnsError):
            outcome.blame(one, found)


def assign(
    wanted: Sequence[Wanted],
    providers: Mapping[str, Provider],
    directory: verify.Directory,
    outcome: Outcome,
    *,
    deadline: float,
    write: bool,
) -> None:
    """Have the providers call addresses as wanted, where they do not yet, and wait for the world.

    Args:
        providers: by the name of the credential; every one that is wanted must be among them.
        outcome: what was done is added to it.
        deadline: seconds that the world has to see it.
        write: False says what would be done.
    """
    misled = _unseen(wanted, directory, lambda one: one.forward, _leads_to, min(LOOK_SECONDS, deadline))
    watched: list[Wanted] = []
    elsewhere: dict[Wanted, DnsError] = {}  # somebody may have set them all the same
    changed = False
    for one, found in _standing(wanted, providers):
        if one in misled:
            refusal = Misled(
                f"{one.address}: {one.text} does not lead to it, so that its PTR record is not set: {misled[one]} "
                f"Publish {one.forward} {one.address} first."
            )
            if write:
                outcome.blame(one, refusal)
                continue
            outcome.note(one, refusal)  # what is published before this is not there in check mode
        if isinstance(found, DnsError):
            elsewhere[one] = found
            continue
        if not _is(found.name, one):
            seconds_held = _held(one, directory)
            if write and not _set(one, providers[one.credential], outcome):
                continue
            outcome.remain(one, seconds_held)
            outcome.changes.append((one.address, found.name, one.text))
            changed = True
            if not write:
                outcome.seen[one.subject].append(one.address)
                continue
        watched.append(one)
    seconds = deadline if changed and write else min(LOOK_SECONDS, deadline)
    unseen = _unseen([*watched, *elsewhere], directory, partial(_place, directory), _is_called, seconds)
    for one in (*watched, *elsewhere):
        if one not in unseen:
            outcome.seen[one.subject].append(one.address)
    for one, error in elsewhere.items():
        if not isinstance(error, Unsettable):
            outcome.blame(one, error)
        elif one in unseen:
            outcome.note(one, error)
    _tell_late({one: unseen[one] for one in watched if one in unseen}, providers, outcome)


def _set(one: Wanted, provider: Provider, outcome: Outcome) -> bool:
    try:
        provider.set(one.address, one.text)
    except DnsError as error:
        outcome.blame(one, f"{one.address}: its PTR record was not set: {error}")
        return False
    return True


def _tell_late(late: Mapping[Wanted, str], providers: Mapping[str, Provider], outcome: Outcome) -> None:
    """Say what the world does not see, and why; a provider may have given up on it meanwhile."""
    for one, found in _standing(list(late), providers):
        if isinstance(found, Standing) and not _is(found.name, one):
            outcome.blame(
                one,
                f"{one.address}: the provider took {one.text} as its name and has {found.name or 'none'} now"
                + (f": {found.failure}" if found.failure else ". Something else sets it, or the provider refused it."),
            )
            continue
        outcome.pending[one.subject].append(one.address)
        outcome.note(
            one,
            f"{one.address}: the provider has {one.text} as its name, and DNS does not show it yet: {late[one]} "
            "Some providers take hours; a later run looks again.",
        )


def _standing(
    wanted: Sequence[Wanted], providers: Mapping[str, Provider]
) -> Iterable[tuple[Wanted, Standing | DnsError]]:
    """Yield what the providers say of addresses, each provider asked once."""
    for credential in dict.fromkeys(one.credential for one in wanted):
        mine = [one for one in wanted if one.credential == credential]
        try:
            found = providers[credential].names(list(dict.fromkeys(one.address for one in mine)))
        except DnsError as error:
            found = {one.address: error for one in mine}
        for one in mine:
            yield one, found[one.address]


def _is(name: str | None, one: Wanted) -> bool:
    """Return whether a provider's spelling of a name is the one wanted."""
    try:
        return name is not None and parse_name(name) == one.name
    except DnsError:
        return False


def _place(directory: verify.Directory, one: Wanted) -> Key:
    """Return where the PTR record is: at the name of the address, or where that leads (RFC 2317)."""
    target = directory.look_up(str(one.reverse.name), "CNAME")
    return Key(parse_name(target[0]), one.reverse.type) if target else one.reverse


def _held(one: Wanted, directory: verify.Directory) -> int:
    """Return for how many seconds a resolver that asks now keeps what the reverse zone says of an address."""
    try:
        key = _place(directory, one)
        zone = directory.zone_of(key.name)
        servers = directory.servers(zone, directory.world(zone, ())) if zone else ()
    except DnsError:  # waiting for them will tell
        return verify.LONGEST_NEGATIVE
    return min(verify.held(zone, servers, key), caches.OTHER_NAME_AT_MOST) if zone else 0


def _leads_to(one: Wanted, rrset: RRset | None) -> bool:
    address = parse_value(one.forward.type, one.address)
    return rrset is not None and address.identity in {value.identity for value in rrset.values}


def _is_called(one: Wanted, rrset: RRset | None) -> bool:
    """Return whether the name is there, and no other: receivers take the first one, whichever that is."""
    return rrset is not None and {parse_name(value.text) for value in rrset.values} == {one.name}


def _unseen(
    wanted: Sequence[Wanted],
    directory: verify.Directory,
    place: Callable[[Wanted], Key],
    holds: Callable[[Wanted, RRset | None], bool],
    seconds: float,
) -> dict[Wanted, str]:
    """Return what not all name servers of the world answer with within `seconds`, and why."""
    expires = time.monotonic() + seconds
    unseen: dict[Wanted, str] = {}
    expected: dict[Server, list[verify.Expectation]] = defaultdict(list)
    by_key: dict[Key, list[Wanted]] = defaultdict(list)
    fine: set[tuple[Server, Wanted]] = set()  # several addresses share the A records of their name

    def look(server: Server, one: Wanted, rrset: RRset | None) -> bool:
        if holds(one, rrset):
            fine.add((server, one))
        return (server, one) in fine

    for one in wanted:
        try:
            key = place(one)
            zone = directory.zone_of(key.name)
            if zone is None:
                raise DnsError(f"the world knows no zone that holds {key.name}")
            servers = directory.servers(zone, directory.world(zone, ()))
        except DnsError as error:
            unseen[one] = f"{error}."
            continue
        by_key[key].append(one)
        for server in servers:
            expected[server].append(verify.Expectation(key, partial(look, server, one)))
    failures: dict[Wanted, list[verify.Failure]] = defaultdict(list)
    for failure in verify.wait(expected, expires - time.monotonic()):
        for one in by_key[failure.key]:
            if (failure.server, one) not in fine and failure not in failures[one]:
                failures[one].append(failure)
    return unseen | {one: verify.summary(some, seconds) for one, some in failures.items() if some}
