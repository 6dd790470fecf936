# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF records (RFC 7208): one at a name, other people's terms untouched, ours before the end."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .model import DnsError

FIRST_ENDING = "~all"  # a first record must not refuse mail that somebody else sends for the domain
LOOKUP_LIMIT = 10  # RFC 7208 section 4.6.4
MECHANISMS = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})
LOOKUPS = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
NEEDS_VALUE = frozenset({"include", "ip4", "ip6", "exists"})

_VERSION = re.compile(r"v=spf1(?= |\Z)", re.IGNORECASE)
_TERM = re.compile(r"[^ ]+")
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=([!-~]*)\Z")
_MECHANISM = re.compile(r"([+?~-]?)([A-Za-z0-9][A-Za-z0-9._-]*)((?:[:/][!-~]*)?)\Z")


class SpfError(DnsError):
    """An SPF record that receivers answer with permerror, or that ours cannot be merged into."""


@dataclass(frozen=True)
class Term:
    """A mechanism or modifier as written (RFC 7208 section 4.6.1), and where in the record it stands."""

    text: str
    start: int  # offset of its first character in the record
    qualifier: str  # "+", "-", "~" or "?"; "+" where none was written; "" for a modifier
    name: str  # "ip4", "include", "redirect", …, lower-case
    value: str  # behind the name, with its ":" or "/"; behind the "=" of a modifier

    @property
    def end(self) -> int:
        """Offset of the first character behind it."""
        return self.start + len(self.text)

    @property
    def is_end(self) -> bool:
        """Whether mechanisms behind it would never be looked at, or read as if they were not."""
        return self.name == "all" or (self.name == "redirect" and not self.qualifier)

    @property
    def meaning(self) -> tuple[str, str]:
        """What it matches, whatever its qualifier: the same for ip4:192.0.2.1 and IP4:192.0.2.1/32."""
        if self.name in ("ip4", "ip6"):
            return self.name, str(ipaddress.ip_network(self.value[1:], strict=False))
        return self.name, self.value.lower()


def is_spf(text: str) -> bool:
    """Return whether a TXT is an SPF record (RFC 7208 section 4.5)."""
    return _VERSION.match(text) is not None


def parse(record: str) -> tuple[Term, ...]:
    """Return the terms of an SPF record.

    Raises:
        SpfError: it is not one, or has a term that is none.
    """
    version = _VERSION.match(record)
    if not version:
        raise SpfError(f'"{record}" is no SPF record: it does not begin with v=spf1')
    return tuple(_term(match.group(), match.start(), record) for match in _TERM.finditer(record, version.end()))


def _term(text: str, start: int, record: str) -> Term:
    if modifier := _MODIFIER.match(text):
        return Term(text, start, "", modifier[1].lower(), modifier[2])
    match = _MECHANISM.match(text)
    term = Term(text, start, match[1] or "+", match[2].lower(), match[3]) if match else None
    if term is None or not _is_mechanism(term):
        raise SpfError(
            f'the SPF record "{record}" has the term "{text}", which is no mechanism: receivers answer permerror and '
            "count no mail as authorised. Mend that term first."
        )
    return term


def _is_mechanism(term: Term) -> bool:
    if term.name not in MECHANISMS or (term.name == "all" and term.value):
        return False
    if term.name in NEEDS_VALUE and (not term.value.startswith(":") or len(term.value) < 2):
        return False
    if term.name in ("ip4", "ip6"):
        try:
            return ipaddress.ip_network(term.value[1:], strict=False).version == int(term.name[2])
        except ValueError:
            return False
    return True


def parse_mechanism(text: str) -> Term:
    """Return one mechanism of ours.

    Raises:
        SpfError: `text` is not exactly one mechanism.
    """
    terms = parse(f"v=spf1 {text}")
    if len(terms) != 1 or not terms[0].qualifier:
        raise SpfError(f'"{text}" is not one SPF mechanism')
    return terms[0]


def lookups(record: str) -> int:
    """Return how many terms of `record` itself make a receiver ask the DNS; those of its includes are not followed."""
    return sum(term.name in LOOKUPS for term in parse(record))


def first(mechanisms: Sequence[str]) -> str:
    """Return a new record of `mechanisms`; it ends with the `all` among them, else with `~all`."""
    return checked(" ".join(["v=spf1", *(term.text for term in _ours(mechanisms)), _ending(mechanisms)]))


def merge(record: str, wanted: Sequence[str], was: Sequence[str] = ()) -> str:
    """Return `record` with the mechanisms `wanted` before its `all` or `redirect`, and without those of `was` alone.

    Everything else stays, byte for byte and in order; a mechanism that is already there is not added, and an `all`
    among the wanted ones changes nothing.

    Raises:
        SpfError: a record or mechanism does not parse, what is there says the opposite of what is wanted, or the result
            needs more than ten look-ups.
    """
    mine = _ours(wanted)
    meanings = {term.meaning for term in mine}
    record = remove(record, [text for text in was if _meaning(text) not in meanings])
    there = {term.meaning: term for term in parse(record) if term.qualifier}
    missing: list[str] = []
    for term in mine:
        found = there.get(term.meaning)
        if found is None:
            missing.append(term.text)
            there[term.meaning] = term
        elif found.qualifier != term.qualifier:
            raise SpfError(
                f'the SPF record "{record}" has "{found.text}", which contradicts our "{term.text}". Remove it there.'
            )
    return checked(_insert(record, missing))


def remove(record: str, mechanisms: Iterable[str]) -> str:
    """Return `record` without `mechanisms`; an `all` among them stays. Undoes what `merge` inserted, byte for byte.

    One that others wrote with another qualifier says something else, and stays.
    """
    gone = {(term.qualifier, term.meaning) for term in _ours(mechanisms)}
    for term in reversed(parse(record)):
        if (term.qualifier, term.meaning) in gone:
            if record[term.end : term.end + 1] == " ":
                record = record[: term.start] + record[term.end + 1 :]
            else:
                record = record[: term.start - 1]
    return record


def without(record: str, mechanisms: Sequence[str]) -> str | None:
    """Return `record` without `mechanisms`, None where only the ending is left that `first` would have given it.

    A record of which none of `mechanisms` was part stays as it is.
    """
    left = remove(record, mechanisms)
    alone = ["v=spf1", _ending(mechanisms)]
    return None if left != record and left.lower().split() == alone else left


def checked(record: str) -> str:
    """Return `record`.

    Raises:
        SpfError: its own terms need more look-ups than a receiver makes.
    """
    if (count := lookups(record)) > LOOKUP_LIMIT:
        raise SpfError(
            f'the SPF record "{record}" needs {count} DNS look-ups; receivers stop at {LOOKUP_LIMIT} and answer '
            "permerror. Remove includes that are no longer used, or replace some by ip4 and ip6."
        )
    return record


def _ours(mechanisms: Iterable[str]) -> list[Term]:
    """Return our mechanisms; an `all` is none that could be merged."""
    return [term for term in map(parse_mechanism, mechanisms) if term.name != "all"]


def _ending(mechanisms: Iterable[str]) -> str:
    """Return the `all` among our mechanisms, which ends a first record, else the one that hurts nobody."""
    endings = [term.text.lower() for term in map(parse_mechanism, mechanisms) if term.name == "all"]
    return endings[-1] if endings else FIRST_ENDING


def _meaning(text: str) -> tuple[str, str]:
    return parse_mechanism(text).meaning


def _insert(record: str, texts: Sequence[str]) -> str:
    if not texts:
        return record
    position = next(_ends(record), None)
    if position is None:
        return " ".join([record, *texts])
    return record[:position] + " ".join(texts) + " " + record[position:]


def _ends(record: str) -> Iterator[int]:
    return (term.start for term in parse(record) if term.is_end)
