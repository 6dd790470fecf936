# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long resolvers may go on answering with what stood before, so that receivers refuse mail from a new address.

Counted from when the last name server answers with the new: one that lags hands out the old with its whole TTL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from . import spf
from .model import Change, RRset, Want

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.rdatatype


# Providers give names of their own a TTL of a day. Only who had mail from the address's former user can have one in a
# cache, and a new server that waits that long helps nobody.
OTHER_NAME_AT_MOST = 3600  # seconds


@dataclass(frozen=True)
class Cached:
    """For how many seconds resolvers may have something old, and at which record (name and type, for people)."""

    seconds: int
    record: str

    def said(self) -> dict[str, Any]:
        """Return it as modules do; `parse` reads that."""
        return {"seconds": self.seconds, "record": self.record}


def parse(said: Mapping[str, Any]) -> Cached:
    """Return what a module said."""
    return Cached(int(said["seconds"]), str(said["record"]))


def longest(found: Iterable[Cached]) -> Cached | None:
    """Return the one that lasts longest, None of none, or where all are over."""
    return max((one for one in found if one.seconds > 0), key=lambda one: one.seconds, default=None)


def after(change: Change, negative_ttl: Callable[[], int]) -> int:
    """Return for how many seconds what a change replaces may be in caches and speak against an address; 0 for never.

    An SPF record counts where it lacked a mechanism that comes; the addresses of a name where one comes, since a PTR
    record is believed when its name leads back. A name that had none before is new, and nobody has asked for it.

    Args:
        negative_ttl: that of the zone, asked for only where a PTR record stood nowhere (RFC 2308 section 5).
    """
    before = change.before if change.before and change.before.values else None
    kind = change.key.type
    if not change.add:
        return 0
    if kind == dns.rdatatype.PTR:
        return min(before.ttl, OTHER_NAME_AT_MOST) if before else negative_ttl()
    if before is None:
        return 0
    if kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return before.ttl
    return before.ttl if kind == dns.rdatatype.TXT and _gains(before, change.after) else 0


def attempted(want: Want, standing: RRset | None, negative_ttl: Callable[[], int]) -> int:
    """Return the same of what stands as wanted, and an earlier run may have written just before it ended.

    Nobody knows what it replaced. An SPF record keeps its TTL when it is changed; one that is as a first one would be
    has replaced none, and neither has one of ours where we never said anything else.
    """
    if standing is None or want.absent:
        return 0
    if want.key.type == dns.rdatatype.PTR:
        return negative_ttl()
    texts = _spf_records(standing)
    first = want.mode == "spf" and texts == [spf.first(want.mechanisms)]
    ours_alone = want.mode != "spf" and not want.was
    return standing.ttl if texts and not first and not ours_alone else 0


def _gains(before: RRset, after: RRset | None) -> bool:
    """Return whether receivers that have the SPF record of `before` lack a mechanism of that of `after`."""
    old = _spf_records(before)
    if not old:
        return False  # without a record receivers refuse nothing (RFC 7208 section 2.6.1)
    try:
        return not _mechanisms(_spf_records(after)) <= _mechanisms(old)
    except spf.SpfError:
        return True  # receivers that have a broken one count no mail as authorised


def _mechanisms(texts: Sequence[str]) -> set[tuple[str, str]]:
    terms = (term for text in texts for term in spf.parse(text))
    return {term.meaning for term in terms if term.qualifier and not term.is_end}


def _spf_records(rrset: RRset | None) -> list[str]:
    if rrset is None or rrset.key.type != dns.rdatatype.TXT:
        return []
    return [value.text for value in rrset.values if spf.is_spf(value.text)]
