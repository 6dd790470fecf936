# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last look before a zone is written: what goes or changes must be something that this run was asked for.

It knows nothing of how a plan is made, so that a fault of the planner, or of a backend that read too little, ends here
and not in somebody's zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import dmarc, spf
from .model import Change, DnsError, Key, Value, Want, shown


class Blown(DnsError):
    """A plan would do more than was asked for; nothing of it was written."""


def check(changes: Iterable[Change], wants: Mapping[Key, Want], *, adopt: bool) -> None:
    """Raise Blown for a change that `wants` do not explain.

    Args:
        adopt: values that others wrote at names of ours may go.
    """
    for change in changes:
        want = wants.get(change.key)
        reason = "nobody wants anything there" if want is None else _unexplained(change, want, adopt)
        if reason:
            before = shown(change.before.values) if change.before else "nothing"
            after = shown(change.after.values) if change.after else "nothing"
            raise Blown(
                f"{change.key}: {before} would become {after}, but {reason}. Nothing was written. This is a fault of "
                "Sendyard's: please report it with this text."
            )


def _unexplained(change: Change, want: Want, adopt: bool) -> str:
    """Return what of a change was not asked for, "" where all was."""
    if want.mode != "own" and change.before and change.after and change.before.ttl != change.after.ttl:
        return "the TTL of a record set that others have values in would change"
    if want.mode == "spf":
        return _unexplained_spf(change, want)
    ours = {value.identity for value in (*want.values, *want.was, *want.first)}
    came = [value for value in change.add if want.absent or value.identity not in ours]
    if came:
        return f"nobody wants {shown(came)}"
    may_go = want.mode == "own" and not want.absent and adopt
    gone = [value for value in change.remove if value.identity not in ours and not _followed(want, value)]
    return f"{shown(gone)} is not ours to remove" if gone and not may_go else ""


def _followed(want: Want, value: Value) -> bool:
    """Return whether `value` is a DMARC record that ours may take the place of."""
    return want.mode == "own" and any(dmarc.may_follow(ours.text, value.text) for ours in want.values)


def _unexplained_spf(change: Change, want: Want) -> str:
    gone, come = change.remove, change.add
    if len(gone) > 1 or len(come) > 1:
        return f"more than one value would change: {shown((*gone, *come))}"
    strangers = [value for value in (*gone, *come) if not spf.is_spf(value.text)]
    if strangers:
        return f"{shown(strangers)} is no SPF record"
    before = spf.parse(gone[0].text) if gone else ()
    after = spf.parse(come[0].text) if come else ()
    ours = {spf.parse_mechanism(text).meaning for text in (*want.mechanisms, *want.was_mechanisms)}
    kept = {(term.qualifier, term.meaning) for term in after}
    lost = [
        t.text for t in before if (t.qualifier, t.meaning) not in kept and t.meaning not in ours and not _bare(t, come)
    ]
    if lost:
        return f"{' '.join(lost)} is not ours to remove"
    had = {(term.qualifier, term.meaning) for term in before}
    new = [t.text for t in after if (t.qualifier, t.meaning) not in had and t.meaning not in ours and gone]
    return f"nobody wants {' '.join(new)}" if new else ""


def _bare(term: spf.Term, come: tuple[Value, ...]) -> bool:
    """Return whether `term` is the end of a record that goes as a whole: nothing would be left but that end."""
    return not come and term.name == "all"
