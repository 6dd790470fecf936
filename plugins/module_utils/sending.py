# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which of its addresses a server may send now. Pure: what was found goes in, seconds and no clock.

An address is new until the server's own records were seen with it, and as long as what stood before they had it may be
in caches. Receivers that have the old SPF record, or no PTR record, refuse what comes from there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .dns import caches
from .dns.caches import Cached


@dataclass(frozen=True)
class Verdict:
    """What is to be done with addresses; those that none of these names are sent from.

    Attributes:
        nameless: their PTR record is not the server's name.
        unseen: new ones of which nobody can see what their PTR record is.
        awaited: this run waits until caches have forgotten what stood before.
        held_back: that takes longer than this run waits.
    """

    nameless: tuple[str, ...]
    unseen: tuple[str, ...]
    awaited: Mapping[str, Cached]
    held_back: Mapping[str, Cached]
    unused: Mapping[str, Cached]  # of these two and, where it is nameless, of any new one: for the host to remember

    @property
    def left_out(self) -> frozenset[str]:
        """The addresses that this run does not send from."""
        return frozenset({*self.nameless, *self.unseen, *self.held_back})

    @property
    def wait(self) -> int:
        """Seconds that this run waits."""
        return max((math.ceil(one.seconds) for one in self.awaited.values()), default=0)


def decide(
    addresses: Sequence[str],
    *,
    nameless: Collection[str] = (),
    unseen: Collection[str] = (),
    confirmed: Collection[str] = (),
    unused: Mapping[str, Cached] | None = None,
    cached: Iterable[Cached] = (),
    longest_wait: int = 0,
    at_once: bool = False,
) -> Verdict:
    """Return what is to be done with a server's `addresses`.

    Args:
        nameless, unseen: as in Verdict; of `unseen`, those that were sent from before stay in use.
        confirmed: those that the server's own records were seen with before this run.
        unused: what the server remembers of earlier runs, with the seconds that are left.
        cached: what resolvers may have of the records that this run changed, of the server and of its domains.
        longest_wait: seconds that a run waits at most.
        at_once: new addresses are used without waiting.
    """
    remembered = unused or {}
    now = caches.longest(cached)
    early: dict[str, Cached] = {}
    for address in addresses if not at_once else ():
        if address in confirmed and address not in remembered:
            continue
        known = [one for one in (remembered.get(address), now) if one]
        if one := caches.longest(known):
            early[address] = one
    without_name = tuple(address for address in addresses if address in nameless)
    without_sight = tuple(a for a in addresses if a in unseen and a not in confirmed and a not in nameless)
    usable = {a: one for a, one in early.items() if a not in without_name and a not in without_sight}
    return Verdict(
        without_name,
        without_sight,
        awaited={a: one for a, one in usable.items() if one.seconds <= longest_wait},
        held_back={a: one for a, one in usable.items() if one.seconds > longest_wait},
        unused=early,
    )
