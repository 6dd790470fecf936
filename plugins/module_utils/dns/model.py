# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a record set is. Text becomes rdata here, at the edge, and never on the way through.

Values of other people keep the bytes they came with; nothing here re-encodes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import SendyardError

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.exception
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    from dns.rdtypes.ANY.TXT import TXT

DEFAULT_TTL = 3600  # seconds
MODES = ("own", "member", "spf", "manual")
FIELDS = frozenset(
    {"name", "type", "ttl", "values", "mode", "was", "credential", "subject", "optional", "first", "attempted"}
)


class DnsError(SendyardError):
    """Something about records, zones or their servers that a person must mend."""


class RecordError(DnsError):
    """A record that was asked for is no record."""


@dataclass(frozen=True)
class Key:
    """A record set's place: an absolute name, lower-case, and a type."""

    name: dns.name.Name
    type: dns.rdatatype.RdataType

    def __str__(self) -> str:
        return f"{self.name} {dns.rdatatype.to_text(self.type)}"


@dataclass(frozen=True)
class Value:
    """One value of a record set, and the provider's own handle of it (an id, its text), sent back untouched."""

    rdata: dns.rdata.Rdata
    token: Any = None

    @property
    def identity(self) -> bytes:
        """What makes two values the same to us: the joined strings of a TXT, else the canonical form."""
        if isinstance(self.rdata, TXT):
            return b"".join(self.rdata.strings)
        return self.rdata.to_digestable()

    @property
    def wire(self) -> bytes:
        """The exact bytes of the rdata."""
        return self.rdata.to_wire() or b""

    @property
    def text(self) -> str:
        """The value as a person reads it: a TXT as one string, others as in a zone file."""
        if isinstance(self.rdata, TXT):
            return b"".join(self.rdata.strings).decode("utf-8", "backslashreplace")
        return self.rdata.to_text()


@dataclass(frozen=True)
class RRset:
    """The values at a key. `ttl` is in seconds and belongs to all of them (RFC 2181 section 5.2).

    Attributes:
        locked: why it must not be changed through this provider, "" where it may.
        disabled: values that the provider keeps there and does not serve; they stay so, whatever is changed.
    """

    key: Key
    ttl: int
    values: tuple[Value, ...]
    locked: str = ""
    disabled: tuple[Value, ...] = ()

    def holds_the_same(self, other: RRset | None) -> bool:
        """Return whether `other` has the same TTL and, to the byte, the same values, in whatever order."""
        return other is not None and (self.ttl, sorted(value.wire for value in self.values)) == (
            other.ttl,
            sorted(value.wire for value in other.values),
        )


@dataclass(frozen=True)
class Want:
    """What should stand at a key, or be gone from it.

    Attributes:
        values: the values of ours; in mode spf none.
        mechanisms: in mode spf, the mechanisms of ours as text; an `all` among them ends a first record.
        was: values (in mode spf: `was_mechanisms`) that we wrote earlier, so that they may be replaced or removed.
        mode: own (the record set is ours), member (our values among others'), spf (our mechanisms in the one SPF
            record), manual (somebody else must publish it).
        absent: remove exactly our values.
        first: what a first record says instead where it is about the apex of its zone; it is left alone as long as it
            says that. A DMARC record that we wrote earlier, with the same policy, becomes this one.
        optional: where the credential has no zone for it, or may not write there, that is nobody's fault.
        attempted: an earlier run, of which nobody knows the end, may have written it just now.
        subjects: the domains or hosts whose fault a failure is.
    """

    key: Key
    ttl: int
    mode: str
    values: tuple[Value, ...] = ()
    was: tuple[Value, ...] = ()
    mechanisms: tuple[str, ...] = ()
    was_mechanisms: tuple[str, ...] = ()
    first: tuple[Value, ...] = ()
    absent: bool = False
    optional: bool = False
    attempted: bool = False
    credential: str = ""
    subjects: tuple[str, ...] = ()

    @property
    def says_something(self) -> bool:
        """Whether there is anything to publish or remove."""
        return bool(self.values or self.was or self.mechanisms or self.was_mechanisms)


@dataclass(frozen=True)
class Steps:
    """A change value by value, for providers that have a handle of each; in the order in which to take them.

    Attributes:
        create: values that come.
        update: what stands, with its handle, and what takes its place; twice the same where only the TTL changes.
        delete: values that go.
    """

    create: tuple[Value, ...]
    update: tuple[tuple[Value, Value], ...]
    delete: tuple[Value, ...]


@dataclass(frozen=True)
class Change:
    """A record set before and after; None where there is none."""

    key: Key
    before: RRset | None
    after: RRset | None

    @property
    def remove(self) -> tuple[Value, ...]:
        """The values that go."""
        return _missing_from(self.after, self.before)

    @property
    def add(self) -> tuple[Value, ...]:
        """The values that come."""
        return _missing_from(self.before, self.after)

    @property
    def stay(self) -> tuple[Value, ...]:
        """The values that stand before and after, as they stood before."""
        gone = {value.wire for value in self.remove}
        return tuple(value for value in self.before.values if value.wire not in gone) if self.before else ()

    @property
    def steps(self) -> Steps:
        """What to do with each value: as little as possible, and nothing with those that stay under their TTL."""
        new, gone = self.add, self.remove
        pairs = min(len(new), len(gone))
        retimed = self.before and self.after and self.before.ttl != self.after.ttl
        again = tuple((value, value) for value in self.stay) if retimed else ()
        return Steps(new[pairs:], (*zip(gone, new, strict=False), *again), gone[pairs:])


def _missing_from(first: RRset | None, second: RRset | None) -> tuple[Value, ...]:
    """Return the values of `second` that `first` lacks, by exact bytes."""
    there = {value.wire for value in first.values} if first else set()
    return tuple(value for value in second.values if value.wire not in there) if second else ()


def parse_name(text: str) -> dns.name.Name:
    """Return the absolute, lower-case name that `text` spells, with or without the last dot.

    Raises:
        RecordError: it is no domain name (RFC 1035 section 2.3.4: labels of at most 63 octets, 255 in all).
    """
    try:
        return dns.name.from_text(text, origin=dns.name.root).canonicalize()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise RecordError(f'"{text}" is no domain name: {error}') from error


def parse_value(kind: dns.rdatatype.RdataType, text: str) -> Value:
    """Return `text` as a value of the type `kind`.

    A TXT is given as the plain string, whatever it contains, and cut into strings of at most 255 octets
    (RFC 1035 section 3.3); other types as in a zone file, names with or without the last dot.

    Raises:
        RecordError: `text` is no such value.
    """
    if kind == dns.rdatatype.TXT:
        data = text.encode()
        strings = [data[start : start + 255] for start in range(0, len(data), 255)] or [b""]
        return Value(TXT(dns.rdataclass.IN, kind, strings))
    return read_value(kind, text, None)


def read_value(kind: dns.rdatatype.RdataType, text: str, token: Any, origin: dns.name.Name | None = None) -> Value:
    """Return what a provider says of a value in the form of a zone file (RFC 1035 section 5.1), with its handle.

    Args:
        origin: what names without a last dot are below; the root where nothing is said.

    Raises:
        RecordError: it does not parse.
    """
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=origin or dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise RecordError(f'"{text}" is no value of a {dns.rdatatype.to_text(kind)} record: {error}') from error
    return Value(rdata, token)


def parse_record(record: Mapping[str, Any], *, absent: bool = False) -> Want:
    """Return one record as users and records.py write it, as a Want.

    Raises:
        RecordError: a field is missing, unknown, or does not say what it should.
    """
    unknown = sorted(set(record) - FIELDS)
    missing = sorted({"name", "type"} - set(record))
    if unknown or missing:
        raise RecordError(
            f"record {dict(record)}: "
            + ", ".join([f"{n} is missing" for n in missing] + [f"{n} is unknown" for n in unknown])
            + f". A record has: {', '.join(sorted(FIELDS))}."
        )
    name = parse_name(str(record["name"]))
    try:
        kind = dns.rdatatype.from_text(str(record["type"]))
    except dns.exception.DNSException as error:
        raise RecordError(f'{name}: "{record["type"]}" is no type of record') from error
    mode = record.get("mode") or "own"
    if mode not in MODES:
        raise RecordError(f'{name}: "{mode}" is no mode; a mode is one of {", ".join(MODES)}')
    if mode == "spf" and kind != dns.rdatatype.TXT:
        raise RecordError(f"{name}: mode spf is for TXT records, not {record['type']}")
    ttl = record.get("ttl")
    ttl = DEFAULT_TTL if ttl is None else ttl
    if not isinstance(ttl, int) or not 0 <= ttl < 2**31:
        raise RecordError(f'{name}: "{ttl}" is no TTL; it is a number of seconds')
    values, was = _texts(name, record, "values"), _texts(name, record, "was")
    parsed: dict[str, Any] = (
        {"mechanisms": values, "was_mechanisms": was}
        if mode == "spf"
        else {"values": _values(name, kind, values), "was": _values(name, kind, was)}
    )
    absent = absent or (bool(was) and not values)
    return Want(
        Key(name, kind),
        ttl,
        mode,
        first=_values(name, kind, _texts(name, record, "first")),
        absent=absent,
        optional=bool(record.get("optional")),
        attempted=bool(record.get("attempted")),
        credential=record.get("credential") or "",
        subjects=(record.get("subject") or name.to_text(omit_final_dot=True),),
        **parsed,
    )


def _texts(name: dns.name.Name, record: Mapping[str, Any], field_name: str) -> tuple[str, ...]:
    said = record.get(field_name) or []
    if isinstance(said, str) or not isinstance(said, Sequence) or not all(isinstance(text, str) for text in said):
        raise RecordError(f"{name}: {field_name} is a list of texts, not {said!r}")
    return tuple(said)


def _values(name: dns.name.Name, kind: dns.rdatatype.RdataType, texts: Iterable[str]) -> tuple[Value, ...]:
    try:
        return tuple(parse_value(kind, text) for text in texts)
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from error


def zone_text(rrset: RRset | None) -> str:
    """Return the record set as lines of a zone file, sorted, so that it reads the same however a server orders it."""
    if rrset is None:
        return ""
    kind = dns.rdatatype.to_text(rrset.key.type)
    lines = (f"{rrset.key.name} {rrset.ttl} IN {kind} {value.rdata.to_text()}\n" for value in rrset.values)
    return "".join(sorted(lines))


def short(text: str) -> str:
    """Return a value's text as a sentence has room for it."""
    return text if len(text) <= 120 else text[:117] + "..."


def shown(values: Iterable[Value]) -> str:
    """Return values as an error shows them: quoted, shortened where they are long."""
    return ", ".join(f'"{short(value.text)}"' for value in values)
