# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an SPF record costs a receiver, counted by following it as a receiver does (RFC 7208 section 4.6.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import spf
from .model import DnsError

LOOKUP_LIMIT = spf.LOOKUP_LIMIT
VOID_LIMIT = 2  # look-ups that find nothing
FOLLOWED = 30  # terms after which nobody follows any further: far over the limit, or a circle

# Returns the values of a name and type ("TXT", "A", "AAAA", "MX") as plain text, none where there is nothing.
LookUp = Callable[[str, str], Sequence[str]]


@dataclass
class Cost:
    """What a record costs.

    Attributes:
        lookups: terms that make a receiver ask, those of includes and redirects among them.
        voids: those of them that find nothing.
        parts: what each term of the record itself costs, as text.
        broken: why receivers answer permerror whatever it costs, "" where they do not.
        unknown: what could not be asked, and so was counted as itself alone.
    """

    lookups: int = 0
    voids: int = 0
    parts: list[str] = field(default_factory=list)
    broken: str = ""
    unknown: list[str] = field(default_factory=list)


def count(record: str, domain: str, look_up: LookUp) -> Cost:
    """Return what `record`, the SPF record of `domain`, costs.

    Where a term is a macro only a receiver knows the name to ask, so that it costs one look-up and finds something.

    Raises:
        SpfError: the record itself does not parse.
    """
    cost = Cost()
    for term in _asking(spf.parse(record)):
        before = cost.lookups
        _follow(term, domain, look_up, cost)
        cost.parts.append(f"{term.text} {cost.lookups - before}")
    return cost


def complaint(cost: Cost) -> str:
    """Return what is wrong with a record of this cost, "" where nothing is."""
    if cost.broken:
        return cost.broken
    each = ", ".join(cost.parts)
    if cost.lookups > LOOKUP_LIMIT:
        return (
            f"it needs {cost.lookups} DNS look-ups ({each}); receivers stop at {LOOKUP_LIMIT} and answer permerror. "
            "Remove includes that are no longer used, or replace some by ip4 and ip6"
        )
    if cost.voids > VOID_LIMIT:
        return (
            f"{cost.voids} of its {cost.lookups} look-ups ({each}) find nothing; receivers stop at more than "
            f"{VOID_LIMIT} of those and answer permerror. Remove the terms whose names are gone"
        )
    return ""


def _asking(terms: Sequence[spf.Term]) -> list[spf.Term]:
    """Return the terms that make a receiver ask: a redirect does only where there is no `all` (section 6.1)."""
    ends = any(term.name == "all" for term in terms)
    return [term for term in terms if term.name in spf.LOOKUPS and not (term.name == "redirect" and ends)]


def _follow(term: spf.Term, domain: str, look_up: LookUp, cost: Cost) -> None:
    cost.lookups += 1
    target = _target(term, domain)
    if cost.lookups > FOLLOWED or "%" in target or term.name == "ptr":
        return
    try:
        if term.name in ("include", "redirect"):
            _follow_record(term, target, look_up, cost)
        elif term.name == "mx":
            cost.voids += not look_up(target, "MX")
        else:  # a receiver asks for the family of the client alone: where one is there, nothing is missing
            cost.voids += not (look_up(target, "A") or (term.name == "a" and look_up(target, "AAAA")))
    except spf.SpfError:
        raise
    except DnsError as error:
        cost.unknown.append(f"{term.text} ({error})")


def _follow_record(term: spf.Term, target: str, look_up: LookUp, cost: Cost) -> None:
    texts = look_up(target, "TXT")
    cost.voids += not texts
    records = [text for text in texts if spf.is_spf(text)]
    if len(records) != 1:
        found = f"{len(records)} SPF records" if records else "no SPF record"
        cost.broken = cost.broken or (
            f"{term.text} leads to {target}, which has {found}, so that receivers answer permerror. Remove that term, "
            "or have its owner mend it"
        )
        return
    try:
        terms = spf.parse(records[0])
    except spf.SpfError as error:
        cost.broken = cost.broken or f"{term.text} leads to {target}: {error}"
        return
    for inner in _asking(terms):
        _follow(inner, target, look_up, cost)


def _target(term: spf.Term, domain: str) -> str:
    """Return the name that a term asks for: its own, without the prefix lengths, or that of the record."""
    if term.name == "redirect":
        return term.value
    name = term.value.removeprefix(":").partition("/")[0] if term.value.startswith(":") else ""
    return name or domain
