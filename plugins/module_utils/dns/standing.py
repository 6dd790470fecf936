# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How records that are wanted stand in the world: what its zone's authoritative servers have of each.

Nothing is written, and no credential is needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from . import planner, spf, verify
from .backends import Zone
from .backends.manual import Manual
from .model import Change, DnsError, Key, RRset, Want

with suppress(ImportError):  # who needs dnspython names it
    import dns.name
    import dns.rdatatype

PRESENT, MISSING, WRONG, UNKNOWN = "present", "missing", "wrong", "unknown"


@dataclass(frozen=True)
class Standing:
    """One value of a record set.

    Attributes:
        name, zone: with the last dot.
        ttl: in seconds.
        state: present (every authoritative server has it), missing, wrong, or unknown.
        value: what should stand there, a TXT as one plain string; "" where only `found` is to go.
        found: what stands in its place, "" where nothing does.
        note: what else should be known, such as which server does not have it.
    """

    name: str
    zone: str
    type: str
    ttl: int
    state: str
    value: str
    found: str = ""
    note: str = ""


def look(wants: Sequence[Want], directory: verify.Directory) -> list[Standing]:
    """Return how `wants` stand, in their order; of record sets that are to go, nothing."""
    zones: dict[dns.name.Name, list[Want]] = defaultdict(list)
    found: dict[Key, list[Standing]] = {}
    wanted = [want for want in wants if not want.absent and want.says_something]
    for want in wanted:
        try:
            apex = directory.zone_of(want.key.name)
        except DnsError as error:
            found[want.key] = _unknown(want, "", str(error))
            continue
        if apex is None:
            found[want.key] = _unknown(want, "", "nobody in the world knows a zone that holds it")
        else:
            zones[apex].append(planner.in_zone(want, apex))
    for apex, its in zones.items():
        combined, _refused = planner.combine(its)
        try:
            found |= _look_at(Zone(apex), combined, directory)
        except DnsError as error:
            found |= {key: _unknown(want, str(apex), str(error)) for key, want in combined.items()}
    return [one for key in dict.fromkeys(want.key for want in wanted) for one in found[key]]


def _look_at(zone: Zone, wants: Mapping[Key, Want], directory: verify.Directory) -> dict[Key, list[Standing]]:
    """Return how the wants of one zone stand. Raises DnsError where it cannot be read."""
    world = Manual(directory)
    keys = list(dict.fromkeys(key for want in wants for key in (want, *planner.ancestors(want, zone.name))))
    there = world.read(zone, keys)
    # What TTL there is, is up to who enters the records.
    wants = {
        key: replace(want, ttl=held.ttl) if (held := there.rrsets.get(key)) else want for key, want in wants.items()
    }
    plan = planner.plan(wants, there, apex=zone.name)
    changes = {change.key: change for change in plan.changes}
    standing = [key for key in wants if key not in changes and key not in plan.faults and key not in plan.notes]
    late = _late(zone, [wants[key] for key in standing], world, directory)
    found: dict[Key, list[Standing]] = {}
    for key, want in wants.items():
        held = there.rrsets.get(key)
        if key in changes:
            found[key] = list(_differing(want, zone, changes[key], held))
        elif key in plan.faults:
            state = UNKNOWN if key in there.faults else WRONG
            value = want.values[0].text if want.values else ""
            texts = _texts(held, want)
            others = [text for text in texts if text != value] or texts or [""]
            note = str(plan.faults[key])
            found[key] = [_one(want, zone, state, value, found=text, note=note) for text in others]
        else:
            state = MISSING if key in late else PRESENT
            note = late.get(key) or plan.notes.get(key, "")
            found[key] = [_one(want, zone, state, text, note=note) for text in _texts(held, want) or [""]]
    return found


def _differing(want: Want, zone: Zone, change: Change, held: RRset | None) -> Iterator[Standing]:
    """Yield each value of a record set that is not as it should be: those that stay, then what a person would do."""
    going = {value.text for value in change.remove}
    yield from (_one(want, zone, PRESENT, text) for text in _texts(held, want) if text not in going)
    for to_do in planner.to_do(change):
        yield _one(want, zone, WRONG if to_do.old else MISSING, to_do.value, found=to_do.old)


def _late(zone: Zone, wants: Sequence[Want], world: Manual, directory: verify.Directory) -> dict[Key, str]:
    """Return which of `wants`, as which they stand at one server, another server does not have, and why."""
    servers = directory.servers(zone.name, world.name_servers(zone))
    expected = {server: [verify.Expectation(want.key, partial(_holds, want)) for want in wants] for server in servers}
    return {failure.key: failure.reason for failure in verify.wait(expected, 0)}


def _holds(want: Want, held: RRset | None) -> bool:
    try:
        return planner.decide(want, held)[0] is None
    except DnsError:
        return False


def _texts(held: RRset | None, want: Want) -> list[str]:
    """Return those of the values at a key that are about `want`: the SPF record among other TXT, ours among others."""
    values = held.values if held else ()
    if want.mode == "spf":
        return [value.text for value in values if spf.is_spf(value.text)]
    ours = {value.identity for value in want.values}
    return [value.text for value in values if want.mode != "member" or value.identity in ours]


def _one(want: Want, zone: Zone, state: str, value: str, *, found: str = "", note: str = "") -> Standing:
    kind = dns.rdatatype.to_text(want.key.type)
    return Standing(str(want.key.name), str(zone.name), kind, want.ttl, state, value, found, note)


def _unknown(want: Want, zone: str, why: str) -> list[Standing]:
    """Return what is wanted, of which nobody can say whether it is there."""
    values = [value.text for value in want.values] or [spf.first(want.mechanisms)]
    kind = dns.rdatatype.to_text(want.key.type)
    return [Standing(str(want.key.name), zone, kind, want.ttl, UNKNOWN, value, note=why) for value in values]
