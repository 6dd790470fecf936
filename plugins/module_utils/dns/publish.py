# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings zones to what is wanted: read, plan, write, read again, and wait for the world to see it.

A fault of a credential, a zone or a record is put down to the subjects that wanted it; the others go on.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial

from . import caches, fuse, planner, spf, spf_cost, verify
from .backends import AuthError, Backend, Conflict, Delegated, Transient, Unsupported, Zone, ZoneNotFound
from .model import Change, DnsError, Key, RRset, Want, parse_name, shown
from .wire import Server

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

ATTEMPTS = 12  # of read, plan, write, the last of which finds nothing left to do
CONFLICT_SECONDS = 30.0  # that a zone waits for other writers in all; what is left then is tried once
LONGEST_PAUSE = 16  # rounds of read, plan, write; about as many writers find a turn each
ZONES_AT_A_TIME = 8


@dataclass(frozen=True)
class Settings:
    """How to publish.

    Attributes:
        write: False plans only.
        wait: whether what was written is waited for; False where somebody else looks.
        adopt: replace what others wrote at keys that are to be ours.
        deadline: seconds that all authoritative servers have.
    """

    write: bool = True
    wait: bool = True
    adopt: bool = False
    deadline: float = 60.0


@dataclass(frozen=True)
class Settled:
    """What a zone holds now and the world should see, and the names of the servers that the world asks for it."""

    zone: Zone
    name_servers: tuple[str, ...]
    wants: tuple[Want, ...]


class Outcome:
    """What was done, and what every subject should know; filled by several threads.

    Attributes:
        changes: what was written, or would be; a record set that took several writes is there once.
        faults: what is wrong, by subject.
        notes: what is not wrong, by subject.
        settled: what the world should see.
        moved: names of reverse zones, and the names that lead there by a CNAME.
        by_hand: what a person must change, since no credential can, and in which zone.
        cached: what resolvers may have of what stood before, by subject, that which lasts longest.
    """

    def __init__(self) -> None:
        self.changes: dict[Key, Change] = {}
        self.moved: dict[dns.name.Name, dns.name.Name] = {}
        self.by_hand: list[tuple[Zone, Change, tuple[str, ...]]] = []
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.notes: dict[str, list[str]] = defaultdict(list)
        self.settled: list[Settled] = []
        self.cached: dict[str, caches.Cached] = {}
        self._lock = threading.Lock()

    def blame(self, subjects: Iterable[str], error: DnsError) -> None:
        """Put `error` down to `subjects`, once each."""
        with self._lock:
            for subject in subjects:
                if str(error) not in self.faults[subject]:
                    self.faults[subject].append(str(error))

    def record(self, changes: Iterable[Change]) -> None:
        """Add what was written, or would be."""
        with self._lock:
            for change in changes:
                earlier = self.changes.get(change.key)
                self.changes[change.key] = replace(change, before=earlier.before) if earlier else change

    def note(self, want: Want, text: str) -> None:
        """Tell the subjects of `want` something that is no fault, once."""
        with self._lock:
            for subject in want.subjects:
                if text not in self.notes[subject]:
                    self.notes[subject].append(text)

    def remain(self, want: Want, seconds: int) -> None:
        """Add that resolvers may have what stood before at a key for so many seconds."""
        with self._lock:
            for subject in want.subjects:
                known = [self.cached[subject]] if subject in self.cached else []
                if one := caches.longest([*known, caches.Cached(seconds, str(want.key))]):
                    self.cached[subject] = one

    def leave_out(self, want: Want, why: DnsError) -> None:
        """Tell the subjects of an optional want that it is not published."""
        self.note(want, f"{want.key} was left out: {why}")

    def leave_to_a_person(self, zone: Zone, changes: Iterable[Change], wants: Mapping[Key, Want]) -> None:
        """Add what only a person can write, and for which subjects."""
        with self._lock:
            self.by_hand += [(zone, change, wants[change.key].subjects) for change in changes]

    def settle(
        self, zone: Zone, name_servers: tuple[str, ...], plan: planner.Plan, wants: Mapping[Key, Want]
    ) -> Settled:
        """Add what the last plan for a zone says: faults, notes, and what stands as it should, which is returned."""
        self.record(plan.changes)
        for key, error in plan.faults.items():
            self.blame(wants[key].subjects if key in wants else _subjects(wants.values()), error)
        for key, note in plan.notes.items():
            self.note(wants[key], note)
        standing = (want for key, want in wants.items() if key not in plan.faults and key not in plan.notes)
        settled = Settled(zone, name_servers, tuple(standing))
        with self._lock:
            self.settled.append(settled)
        return settled


def publish(
    wants: Sequence[Want],
    backends: Mapping[str, Backend],
    settings: Settings,
    directory: verify.Directory,
    outcome: Outcome,
) -> None:
    """Bring the zones to `wants` and wait until all authoritative servers agree.

    Args:
        wants: those that say nothing of their record set, neither now nor earlier, are passed over.
        backends: by the name of the credential; every want's must be among them.
        outcome: what was done is added to it.
    """

    def work(backend: Backend, zone: Zone, wants: Sequence[Want]) -> None:
        world, wants = _seen_by_the_world(backend, zone, wants, directory, outcome)
        combined, refused = planner.combine(wants)
        for want, error in refused:
            outcome.blame(want.subjects, error)
        patience = _Patience()
        _divided(
            lambda part: _bring(
                backend, zone, part, settings, outcome, patience=patience, world=world, directory=directory
            ),
            list(combined.values()),
            outcome,
        )

    placed = [_at_its_place(want, directory, outcome) for want in wants if want.says_something]
    _each_zone(work, placed, backends, outcome)
    if settings.write and settings.wait:
        _await_the_world(outcome, settings, directory, backends)


def watch(wants: Sequence[Want], settings: Settings, directory: verify.Directory, outcome: Outcome) -> None:
    """Wait until all authoritative servers answer with `wants`, of which somebody else has seen to that they stand."""
    zones: dict[dns.name.Name, list[Want]] = defaultdict(list)
    for want in (_at_its_place(want, directory, outcome) for want in wants):
        try:
            apex = directory.zone_of(want.key.name)
        except DnsError as error:
            outcome.blame(want.subjects, error)
            continue
        if apex is None:
            outcome.blame(want.subjects, ZoneNotFound(f"nobody in the world knows a zone that holds {want.key.name}"))
        else:
            zones[apex].append(want)
    for apex, wanted in zones.items():
        combined, _refused = planner.combine(planner.in_zone(want, apex) for want in wanted)
        try:
            world = directory.world(apex, ())
        except DnsError as error:
            outcome.blame(_subjects(wanted), error)
            continue
        outcome.settled.append(Settled(Zone(apex), world, tuple(combined.values())))
    _await_the_world(outcome, settings, directory, {})


def prove(
    wants: Sequence[Want], backends: Mapping[str, Backend], directory: verify.Directory, outcome: Outcome
) -> None:
    """Find out, without writing, whether the world asks every zone and its credential may write there."""

    def work(backend: Backend, zone: Zone, wants: Sequence[Want]) -> None:
        _world, wants = _seen_by_the_world(backend, zone, wants, directory, outcome)
        _divided(lambda part: backend.prove(zone, list(dict.fromkeys(want.key for want in part))), list(wants), outcome)

    _each_zone(work, [_at_its_place(want, directory, outcome) for want in wants], backends, outcome)


def _at_its_place(want: Want, directory: verify.Directory, outcome: Outcome) -> Want:
    """Return `want` where a PTR record belongs: behind the CNAME by which a provider hands out less than a zone.

    RFC 2317 calls it classless delegation. Where nobody can say, it stays, and reading its zone will tell.
    """
    if want.key.type != dns.rdatatype.PTR:
        return want
    try:
        targets = directory.look_up(str(want.key.name), "CNAME")
    except DnsError:
        return want
    if len(targets) != 1:
        return want
    target = parse_name(targets[0])
    outcome.moved[target] = want.key.name
    return replace(want, key=Key(target, want.key.type))


def _seen_by_the_world(
    backend: Backend, zone: Zone, wants: Sequence[Want], directory: verify.Directory, outcome: Outcome
) -> tuple[tuple[str, ...], list[Want]]:
    """Return the names of the servers that the world asks for `zone`, and the wants that can be seen there.

    The subjects of the others are blamed: what stands in a zone that nobody asks, or at a name that belongs to a zone
    below, would never be seen.
    """
    try:
        world = directory.world(zone.name, backend.name_servers(zone))
        if backend.caps.sees_delegations:
            return world, list(wants)
        names = list(dict.fromkeys(want.key.name for want in wants))
        below = verify.delegated(zone.name, directory.servers(zone.name, world), names)
    except DnsError as error:
        outcome.blame(_subjects(wants), error)
        return (), []
    for want in wants:
        if want.key.name in below:
            outcome.blame(want.subjects, Delegated(f"{want.key.name} {below[want.key.name]}"))
    return world, [want for want in wants if want.key.name not in below]


def _each_zone(
    work: Callable[[Backend, Zone, Sequence[Want]], None],
    wants: Sequence[Want],
    backends: Mapping[str, Backend],
    outcome: Outcome,
) -> None:
    """Call `work` for every zone, several at a time; blame the subjects of names that no zone holds."""
    by_credential: dict[str, list[Want]] = defaultdict(list)
    for want in wants:
        by_credential[want.credential].append(want)
    with ThreadPoolExecutor(ZONES_AT_A_TIME) as pool:
        under_way = []
        for credential, mine in by_credential.items():
            backend = backends[credential]
            for zone, wanted in _zones(backend, mine, outcome).items():
                under_way.append(pool.submit(work, backend, zone, wanted))
        for future in under_way:
            future.result()


def _zones(backend: Backend, wants: Sequence[Want], outcome: Outcome) -> dict[Zone, list[Want]]:
    """Return what is wanted in every zone of a credential."""
    try:
        found = backend.find_zones(list(dict.fromkeys(want.key.name for want in wants)))
    except DnsError as error:
        outcome.blame(_subjects(wants), error)
        return {}
    zones: dict[Zone, list[Want]] = defaultdict(list)
    told: set[tuple[str, type[DnsError]]] = set()
    for want in wants:
        zone = found[want.key.name]
        if isinstance(zone, Zone):
            zones[zone].append(planner.in_zone(want, zone.name))
            continue
        if want.optional:
            outcome.leave_out(want, zone)
            continue
        for subject in want.subjects:
            if (subject, type(zone)) not in told:  # once, and not for every name below the missing zone
                told.add((subject, type(zone)))
                outcome.blame([subject], zone)
    return zones


def _divided(work: Callable[[Sequence[Want]], None], wants: Sequence[Want], outcome: Outcome) -> None:
    """Do `work` for all wants of a zone, and by halves where it fails, so that one subject's fault stops no other.

    One name that a credential may not change refuses the whole message.
    """
    if not wants:
        return
    try:
        work(wants)
    except (AuthError, Conflict, Unsupported) as error:
        groups = _by_subject(wants)
        if len(groups) < 2 and wants[0].optional:
            for want in wants:
                outcome.leave_out(want, error)
            return
        if len(groups) < 2:
            outcome.blame(_subjects(wants), error)
            return
        middle = len(groups) // 2
        for half in (groups[:middle], groups[middle:]):
            _divided(work, [want for group in half for want in group], outcome)
    except DnsError as error:
        outcome.blame(_subjects(wants), error)


def _subjects(wants: Iterable[Want]) -> list[str]:
    return list(dict.fromkeys(subject for want in wants for subject in want.subjects))


def _by_subject(wants: Iterable[Want]) -> list[list[Want]]:
    """Return the wants of each subject; those that several share are together; what may be left out is apart."""
    groups: dict[tuple[bool, tuple[str, ...]], list[Want]] = defaultdict(list)
    for want in wants:
        groups[want.optional, want.subjects].append(want)
    return list(groups.values())


@dataclass
class _Patience:
    """How long a zone waits for other writers, from the first conflict on."""

    expires: float = math.inf  # in terms of `time.monotonic()`

    def left(self) -> float:
        """Return how many seconds are left after a conflict."""
        now = time.monotonic()
        self.expires = min(self.expires, now + CONFLICT_SECONDS)
        return self.expires - now


class _Losses:
    """Notices what others lose where a provider takes whole record sets, and no condition with them.

    A writer that read before we wrote puts back what it read; another's value that came in between is gone then.
    """

    def __init__(self) -> None:
        self._theirs: dict[Key, RRset] = {}
        self._put_back: set[Key] = set()

    def wrote(self, changes: Iterable[Change]) -> None:
        """Remember what was to stay where we wrote."""
        for change in changes:
            if change.before and change.stay:
                self._theirs.setdefault(change.key, replace(change.before, values=change.stay))

    def repairs(self, found: planner.Found) -> list[Change]:
        """Return what to put back, of what was to stay and does not stand in `found`.

        Raises:
            Conflict: it was put back once already.
        """
        changes: list[Change] = []
        for key, theirs in self._theirs.items():
            there = found.rrsets.get(key)
            now = there.values if there else ()
            lost = tuple(value for value in theirs.values if value.wire not in {other.wire for other in now})
            if any(spf.is_spf(value.text) for value in now):  # it was changed meanwhile; two would be none to receivers
                lost = tuple(value for value in lost if not spf.is_spf(value.text))
            if not lost:
                continue
            if key in self._put_back:
                raise Conflict(
                    f"{key}: {shown(lost)}, which we did not write, was there before this run, vanished, was put back "
                    "and vanished again: something else writes this record set without looking. Stop it, and see "
                    "whether the values that are there now are all that should be."
                )
            self._put_back.add(key)
            changes.append(Change(key, there, replace(there or theirs, values=(*now, *lost))))
        return changes


def _bring(
    backend: Backend,
    zone: Zone,
    wanted: Sequence[Want],
    settings: Settings,
    outcome: Outcome,
    *,
    patience: _Patience,
    world: tuple[str, ...],
    directory: verify.Directory,
) -> None:
    """Bring one zone to what is wanted there.

    It is done when reading finds nothing left to change, since servers answer NOERROR to some updates and drop them.
    Writers that met wait for a random number of rounds, out of twice as many each time; a round takes what it takes on
    this machine and that server now.

    Args:
        world: the names of the servers that the world asks for the zone.
        directory: where what SPF records include is looked up.

    Raises:
        Conflict: others wrote the same record sets again and again.
        Unsupported: the server does not keep what it accepts.
        AuthError: the credential may not change something of it.
    """
    wants = {want.key: want for want in wanted}
    keys = list(dict.fromkeys(key for want in wanted for key in (want.key, *planner.ancestors(want.key, zone.name))))
    failure: DnsError | None = None
    losses = _Losses()
    for attempt in range(ATTEMPTS):
        began = time.monotonic()
        found = backend.read(zone, keys)
        if not backend.caps.writes:  # what TTL there is, is up to who enters the records
            wants = {
                key: replace(want, ttl=there.ttl) if (there := found.rrsets.get(key)) else want
                for key, want in wants.items()
            }
        plan = _affordable(planner.plan(wants, found, apex=zone.name, adopt=settings.adopt), wants, directory, outcome)
        if not backend.caps.writes:
            outcome.leave_to_a_person(zone, plan.changes, wants)
            plan = planner.by_hand(plan)
        changes: Sequence[Change] = losses.repairs(found)
        if not changes:
            if not plan.changes or not settings.write:
                _tell_caches(outcome.settle(zone, world, plan, wants), found, directory, outcome)
                return
            fuse.check(plan.changes, wants, adopt=settings.adopt)
            changes = _in_safe_order(plan.changes)
        failure = None
        try:
            for batch in backend.batches(zone, changes):
                backend.apply(zone, batch)
                outcome.record(batch)
                if not backend.caps.value_level and not backend.caps.compare_and_swap:
                    losses.wrote(batch)
            if backend.caps.keeps_what_it_takes:
                _tell_caches(outcome.settle(zone, world, plan, wants), found, directory, outcome)
                return
        except (Conflict, Transient) as error:
            failure = error
            took, left = time.monotonic() - began, patience.left()
            if left <= 0 or attempt + 1 == ATTEMPTS:
                break
            rounds = random.uniform(0, min(2 ** (attempt + 1), LONGEST_PAUSE))  # noqa: S311  # no secret hangs on it
            time.sleep(min(rounds * took, left))
    raise failure or _dropped(zone, plan.changes)


def _tell_caches(settled: Settled, found: planner.Found, directory: verify.Directory, outcome: Outcome) -> None:
    """Tell the subjects how long resolvers may have what this run, or one before it, replaced."""

    @cache
    def negative_ttl() -> int:
        try:
            servers = directory.servers(settled.zone.name, settled.name_servers)
        except DnsError:  # waiting for them will tell
            servers = ()
        return verify.held(settled.zone.name, servers)

    for want in settled.wants:
        if want.key in outcome.changes:
            outcome.remain(want, caches.after(outcome.changes[want.key], negative_ttl))
        elif want.attempted:
            outcome.remain(want, caches.attempted(want, found.rrsets.get(want.key), negative_ttl))


def _in_safe_order(changes: Sequence[Change]) -> list[Change]:
    """Return `changes` so that nothing ever leads to what is not there, where a provider takes them one by one.

    A record includes what is below its name, which comes first and goes last.
    """
    return sorted(
        changes, key=lambda change: (depth := len(change.key.name.labels)) and (-depth if change.after else depth)
    )


def _affordable(
    plan: planner.Plan, wants: Mapping[Key, Want], directory: verify.Directory, outcome: Outcome
) -> planner.Plan:
    """Return `plan` without SPF records that would cost a receiver more than it spends; those are faults."""
    faults: dict[Key, DnsError] = {}
    planned = {(str(change.key.name), change.key.type): change.after for change in plan.changes}

    def look_up(name: str, kind: str) -> Sequence[str]:
        key = (f"{name.lower().removesuffix('.')}.", dns.rdatatype.from_text(kind))
        if key not in planned:
            return directory.look_up(name, kind)
        after = planned[key]
        return [value.text for value in after.values] if after else []

    for change in plan.changes:
        key = change.key
        for value in change.add if wants[key].mode == "spf" else ():
            cost = spf_cost.count(value.text, key.name.to_text(omit_final_dot=True), look_up)
            if complaint := spf_cost.complaint(cost):
                faults[key] = spf.SpfError(f'{key} would be "{value.text}", but {complaint}. It was left as it is.')
            elif cost.unknown:
                outcome.note(wants[key], f"{key}: not all look-ups could be counted: {'; '.join(cost.unknown)}")
    changes = tuple(change for change in plan.changes if change.key not in faults)
    return planner.Plan(changes, {**plan.faults, **faults}, plan.notes)


def _dropped(zone: Zone, changes: Sequence[Change]) -> Unsupported:
    what = "; ".join(f"{change.key} {shown(change.add)}" for change in changes[:3])
    return Unsupported(
        f"zone {zone.name}: the server accepts the update and does not keep it: {what}. Something else writes the same "
        "records, or what stands at the name does not allow them. Enter them there by hand."
    )


def _await_the_world(
    outcome: Outcome, settings: Settings, directory: verify.Directory, backends: Mapping[str, Backend]
) -> None:
    """Blame the subjects whose records a provider has not everywhere, or some server does not answer with, in time."""
    expires = time.monotonic() + settings.deadline
    for name, backend in backends.items():
        try:
            backend.settled(settings.deadline)
        except DnsError as error:
            wants = [want for settled in outcome.settled for want in settled.wants if want.credential == name]
            outcome.blame(_subjects(wants), error)
    subjects: dict[Key, list[str]] = defaultdict(list)
    expected: dict[Server, list[verify.Expectation]] = defaultdict(list)
    for settled in outcome.settled:
        try:
            servers = directory.servers(settled.zone.name, settled.name_servers)
        except DnsError as error:
            outcome.blame(_subjects(settled.wants), error)
            continue
        for want in settled.wants:
            subjects[want.key] += want.subjects
            expectation = verify.Expectation(want.key, partial(_fulfilled, want, settings))
            for server in servers:
                expected[server].append(expectation)
    by_subject: dict[str, list[verify.Failure]] = defaultdict(list)
    for failure in verify.wait(expected, expires - time.monotonic()):
        for subject in dict.fromkeys(subjects[failure.key]):
            by_subject[subject].append(failure)
    for subject, failures in by_subject.items():
        outcome.blame([subject], verify.NotPropagated(verify.summary(failures, settings.deadline)))


def _fulfilled(want: Want, settings: Settings, rrset: RRset | None) -> bool:
    """Return whether a server that answers with `rrset` needs no more change."""
    try:
        return planner.decide(want, rrset, adopt=settings.adopt)[0] is None
    except DnsError:
        return False  # what was there before is there still
