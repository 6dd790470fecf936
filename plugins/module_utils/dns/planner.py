# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what to change at one key. Pure: what is wanted and what is there go in, a change or an error comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from . import dmarc, spf
from .model import Change, DnsError, Key, RRset, Value, Want, parse_value, short, shown

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

DMARC_LABEL = b"_dmarc"
ENTER, REPLACE, REMOVE = "enter", "replace", "remove"


class PlanError(DnsError):
    """What stands in the zone does not allow what is wanted."""


class ByHand(DnsError):
    """A person must change something first."""


@dataclass(frozen=True)
class ToDo:
    """One thing that a person must do at the provider.

    Attributes:
        action: enter, replace or remove.
        name: absolute, with the last dot.
        ttl: in seconds.
        value: what to enter, a TXT as one plain string; "" where it is to go.
        old: what stands there, "" where nothing of it does.
        line: what to enter, as a line of a zone file; "" where it is to go.
    """

    action: str
    name: str
    type: str
    ttl: int
    value: str
    old: str
    line: str

    def __str__(self) -> str:
        """Return it as a sentence says it."""
        what = f"{self.action} at {self.name} {self.type}"
        if self.action == REPLACE and self.value != self.old:
            return f'{what} "{short(self.old)}" by "{short(self.value)}", TTL {self.ttl}'
        return f'{what} "{short(self.value or self.old)}"' + (f", TTL {self.ttl}" if self.line else "")


@dataclass(frozen=True)
class Found:
    """What a zone holds at the keys of a plan.

    Attributes:
        rrsets: every key that was asked for; None where there is nothing.
        aliases: where names that are CNAMEs point to.
        faults: keys that could not be read.
    """

    rrsets: Mapping[Key, RRset | None]
    aliases: Mapping[dns.name.Name, dns.name.Name] = field(default_factory=dict)
    faults: Mapping[Key, DnsError] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What to change, what cannot be done and why, and what a person should know although nothing is wrong."""

    changes: tuple[Change, ...]
    faults: Mapping[Key, DnsError]
    notes: Mapping[Key, str]


def combine(wants: Iterable[Want]) -> tuple[dict[Key, Want], list[tuple[Want, DnsError]]]:
    """Return one want a key, that of all who want something there, and those that contradict an earlier one.

    Several servers of a domain want their addresses in one SPF record, or the same DMARC record.
    """
    combined: dict[Key, Want] = {}
    refused: list[tuple[Want, DnsError]] = []
    for want in wants:
        other = combined.get(want.key)
        if other is None:
            combined[want.key] = want
        elif contradiction := _contradiction(other, want):
            refused.append((want, PlanError(contradiction)))
        else:
            combined[want.key] = replace(
                other,
                ttl=min(other.ttl, want.ttl),
                values=_union(other.values, want.values),
                was=_union(other.was, want.was),
                mechanisms=tuple(dict.fromkeys(other.mechanisms + want.mechanisms)),
                was_mechanisms=tuple(dict.fromkeys(other.was_mechanisms + want.was_mechanisms)),
                absent=other.absent and want.absent,
                attempted=other.attempted or want.attempted,
                subjects=tuple(dict.fromkeys(other.subjects + want.subjects)),
            )
    return combined, refused


def _contradiction(first: Want, second: Want) -> str:
    if first.mode != second.mode:
        return (
            f"{first.key} is wanted in mode {first.mode} by {first.subjects[0]} "
            f"and in mode {second.mode} by {second.subjects[0]}"
        )
    both_want = not (first.absent or second.absent)
    if both_want and first.mode == "own" and _identities(first.values) != _identities(second.values):
        return (
            f"{first.key} is wanted as {shown(first.values)} by {first.subjects[0]} "
            f"and as {shown(second.values)} by {second.subjects[0]}"
        )
    return ""


def plan(wants: Mapping[Key, Want], found: Found, *, apex: dns.name.Name | None = None, adopt: bool = False) -> Plan:
    """Return the changes that make `found` hold `wants`, sorted by name and type; one key's fault leaves the others.

    A first CAA record is not put at `apex`: it would stop every other authority that the zone gets certificates from
    (RFC 8659 section 3).
    """
    changes: list[Change] = []
    faults: dict[Key, DnsError] = dict(found.faults)
    notes: dict[Key, str] = {}
    for key in sorted(wants, key=lambda key: (key.name, key.type)):
        if key in faults:
            continue
        if (key.name, key.type) == (apex, dns.rdatatype.CAA) and found.rrsets[key] is None and not wants[key].absent:
            notes[key] = f"{key}: not published: a first one at the apex would hold for every name of the zone"
            continue
        try:
            change, note = decide(
                wants[key],
                found.rrsets[key],
                alias=found.aliases.get(key.name),
                inherited=_above(wants[key], found),
                adopt=adopt,
            )
        except DnsError as error:
            faults[key] = error
            continue
        if change:
            changes.append(change)
        if note:
            notes[key] = note
    return Plan(tuple(changes), faults, notes)


def in_zone(want: Want, apex: dns.name.Name) -> Want:
    """Return `want` as it holds in a zone: what a first record says instead, it says about the apex alone."""
    about = (want.key.name, want.key.name.parent()) if _is_dmarc(want.key) else (want.key.name,)
    return want if apex in about else replace(want, first=())


def by_hand(plan: Plan) -> Plan:
    """Return `plan` for a zone that only a person can change: what would change is a fault, until somebody did it."""
    faults = {change.key: ByHand("; ".join(map(str, to_do(change))) + ".") for change in plan.changes}
    return Plan((), {**plan.faults, **faults}, plan.notes)


def to_do(change: Change) -> list[ToDo]:
    """Return what a person must do for a change, in that order."""
    key, kind = change.key, dns.rdatatype.to_text(change.key.type)
    ttl = change.after.ttl if change.after else change.before.ttl if change.before else 0
    steps = change.steps
    pairs = [
        *((ENTER, None, value) for value in steps.create),
        *((REPLACE, old, new) for old, new in steps.update),
        *((REMOVE, value, None) for value in steps.delete),
    ]
    return [
        ToDo(
            action,
            str(key.name),
            kind,
            ttl,
            value=new.text if new else "",
            old=old.text if old else "",
            line=f"{key.name} {ttl} IN {kind} {new.rdata.to_text()}" if new else "",
        )
        for action, old, new in pairs
    ]


def decide(
    want: Want, found: RRset | None, *, alias: dns.name.Name | None = None, inherited: str = "", adopt: bool = False
) -> tuple[Change | None, str]:
    """Return the change that brings `found` to `want`, None where it is there, and what a person should know of it.

    Args:
        found: the record set at the key.
        alias: the target of a CNAME at the name.
        inherited: the DMARC record of a name above, which holds for this one while it has none.
        adopt: replace what somebody else wrote at a key of ours.

    Raises:
        PlanError: what is there is not ours to change; both sides are named.
        SpfError: the SPF record there is broken, or would be.
    """
    if alias is not None and want.key.type != dns.rdatatype.CNAME:
        if want.absent:
            return None, ""
        raise PlanError(
            f"{want.key}: the name is a CNAME to {alias}, and nothing else can stand beside one (RFC 1034 section "
            f"3.6.2). Remove the CNAME, or have {alias} hold the record."
        )
    if found is not None and not found.values and want.absent:
        return None, ""
    if want.mode == "spf":
        after = _without_spf(want, found) if want.absent else _with_spf(want, found)
        note = ""
    elif want.absent:
        after, note = _without(want, found), ""
    elif not want.values:
        raise PlanError(f"{want.key}: the record has no values")
    elif want.mode == "member":
        after, note = _member(want, found), ""
    else:
        after, note = _own(want, found, inherited, adopt)
    if after == found:
        return None, note
    if found is not None and found.locked:
        raise PlanError(f"{want.key}: {found.locked}")
    return Change(want.key, found, after), note


def ancestors(key: Key, apex: dns.name.Name) -> tuple[Key, ...]:
    """Return where DMARC records stand that hold for the name of `key` too: at the names above, up to `apex`.

    Empty where `key` is no place of a DMARC record.
    """
    if not _is_dmarc(key):
        return ()
    name, keys = key.name.parent(), []
    while name != apex and name.is_subdomain(apex):
        name = name.parent()
        keys.append(Key(dns.name.Name([DMARC_LABEL, *name.labels]), key.type))
    return tuple(keys)


def _above(want: Want, found: Found) -> str:
    """Return the nearest DMARC record above the one wanted, "" where the zone has none (RFC 9989 section 4.10)."""
    if not _is_dmarc(want.key):
        return ""
    name = want.key.name.parent()
    while len(name.labels) > 2:
        name = name.parent()
        rrset = found.rrsets.get(Key(dns.name.Name([DMARC_LABEL, *name.labels]), want.key.type))
        records = [value.text for value in rrset.values if dmarc.policy(value.text)] if rrset else []
        if len(records) == 1:
            return records[0]
    return ""


def _own(want: Want, found: RRset | None, inherited: str, adopt: bool) -> tuple[RRset | None, str]:
    if _is_dmarc(want.key) and (note := _stays(want, found, inherited, adopt)):
        return found, note
    if want.first and (found is None or _identities(found.values) == _identities(want.first)):
        return found or RRset(want.key, want.ttl, want.first), ""
    if found is None:
        return RRset(want.key, want.ttl, want.values), ""
    if _says_what_a_first_one_said(want, found):
        want = replace(want, values=want.first)
    wanted = _identities(want.values)
    foreign = [value for value in found.values if not _is_ours(want, value)]
    if foreign and not adopt:
        raise PlanError(
            f"{want.key} holds {shown(foreign)}, which we did not write; wanted is {shown(want.values)}. "
            "If nobody needs what is there, remove it or run with adopt (sendyard_publish_adopt: true)."
        )
    if found.disabled and not adopt:
        raise PlanError(
            f"{want.key} holds {shown(found.disabled)}, which is disabled; wanted is {shown(want.values)}. "
            "Delete it at the provider, or run with adopt (sendyard_publish_adopt: true): then it stays, disabled."
        )
    kept = tuple(value for value in found.values if value.identity in wanted)
    return RRset(want.key, want.ttl, _union(kept, want.values)) if _differs(found, kept, want) else found, ""


def _says_what_a_first_one_said(want: Want, found: RRset) -> bool:
    """Return whether a DMARC record of ours stands that has the policy of a first one, and something else of it not."""
    if not want.first or not _is_dmarc(want.key) or not _identities(found.values) <= _identities(want.was):
        return False
    return {dmarc.policy(value.text) for value in (*found.values, *want.first)} == {dmarc.policy(want.first[0].text)}


def _differs(found: RRset, kept: Sequence[Value], want: Want) -> bool:
    return len(kept) != len(found.values) or _identities(kept) != _identities(want.values) or found.ttl != want.ttl


def _stays(want: Want, found: RRset | None, above: str, adopt: bool) -> str:
    """Return why the DMARC record that is there, or that of a name above, stays; "" where ours may be written."""
    policies = [policy for value in want.values if (policy := dmarc.policy(value.text))]
    ours = policies[0] if policies else ""
    if found is None:
        stands = dmarc.subdomain_policy(above)
        if stands and dmarc.weaker(ours, stands):
            return (
                f'{want.key}: not published, since "{above}" of a name above holds here and is stronger than p={ours}'
            )
        return ""
    records = [value for value in found.values if dmarc.policy(value.text)]
    if len(records) != 1 or _is_ours(want, records[0]):
        return ""
    if adopt and not dmarc.weaker(ours, dmarc.policy(records[0].text)):
        return ""
    return f"{want.key}: {shown(records)} is not ours and stays; wanted was {shown(want.values)}"


def _member(want: Want, found: RRset | None) -> RRset:
    if found is None:
        return RRset(want.key, want.ttl, want.values)
    obsolete = _identities(want.was) - _identities(want.values)
    kept = tuple(value for value in found.values if value.identity not in obsolete)
    return replace(found, values=_union(kept, want.values))


def _without(want: Want, found: RRset | None) -> RRset | None:
    if found is None:
        return None
    ours = _identities(want.values) | _identities(want.was)
    kept = tuple(value for value in found.values if value.identity not in ours)
    return replace(found, values=kept) if kept else None


def _with_spf(want: Want, found: RRset | None) -> RRset:
    record = _spf_record(want, found)
    if found is None or record is None:
        value = parse_value(want.key.type, spf.first(want.mechanisms))
        return replace(found, values=(*found.values, value)) if found else RRset(want.key, want.ttl, (value,))
    text = _exact_text(record)
    merged = spf.merge(text, want.mechanisms, want.was_mechanisms)
    return found if merged == text else _replaced(found, record, merged)


def _without_spf(want: Want, found: RRset | None) -> RRset | None:
    record = _spf_record(want, found)
    if found is None or record is None:
        return found
    text = _exact_text(record)
    left = spf.without(text, want.mechanisms + want.was_mechanisms)
    if left == text:
        return found
    if left is None:
        kept = tuple(value for value in found.values if value is not record)
        return replace(found, values=kept) if kept else None
    return _replaced(found, record, left)


def _spf_record(want: Want, found: RRset | None) -> Value | None:
    records = [value for value in found.values if spf.is_spf(_exact_text(value))] if found else []
    if len(records) > 1:
        raise spf.SpfError(
            f"{want.key.name} has {len(records)} SPF records, {shown(records)}; receivers answer permerror and count "
            "no mail as authorised (RFC 7208 section 4.5). Make one of them."
        )
    return records[0] if records else None


def _replaced(found: RRset, old: Value, text: str) -> RRset:
    new = replace(parse_value(found.key.type, text), token=old.token)
    return replace(found, values=tuple(new if value is old else value for value in found.values))


def _exact_text(value: Value) -> str:
    """Return a TXT byte for character, so that what is not ASCII is seen as such and not taken for an escape."""
    return value.identity.decode("latin-1")


def _is_dmarc(key: Key) -> bool:
    return key.type == dns.rdatatype.TXT and key.name.labels[0].lower() == DMARC_LABEL


def _is_ours(want: Want, value: Value) -> bool:
    """Return whether a value of an own record set is wanted, or was written by us."""
    if value.identity in _identities(want.values) | _identities(want.was):
        return True
    return _is_dmarc(want.key) and any(dmarc.may_follow(ours.text, value.text) for ours in want.values)


def _identities(values: Iterable[Value]) -> set[bytes]:
    return {value.identity for value in values}


def _union(first: Sequence[Value], second: Sequence[Value]) -> tuple[Value, ...]:
    there = _identities(first)
    added = {value.identity: value for value in second if value.identity not in there}
    return (*first, *added.values())
