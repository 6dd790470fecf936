# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group E: which DMARC record receivers apply to the domain, and what it makes of the domain's mail."""

from __future__ import annotations

from ..dns import dmarc
from ..dns.dmarc_walk import Found, walk
from ..records import takers as mailbox_domains
from .model import Finding, Subject, World, failed, passed, told, warned

# RFC 9989 section 4.7: the tags that say what becomes of mail, those whose odd values count as the default, and the
# tags that it removed.
POLICIES = ("p", "sp", "np")
VALUES = {"adkim": {"r", "s"}, "aspf": {"r", "s"}, "psd": {"y", "n", "u"}, "t": {"y", "n"}}
REMOVED = ("pct", "rf", "ri")


def single(subject: Subject, world: World) -> Finding:
    """At no name of the walk several records discard each other."""
    found = walk(subject.name, world.ask)
    wrong = [told(f"_dmarc.{name}", "TXT", records) for name, records in found.at if name in found.doubled]
    return failed("; ".join(wrong)) if wrong else passed(_asked(found))


def record(subject: Subject, world: World) -> Finding:
    """The walk ends at a record."""
    found = walk(subject.name, world.ask)
    return passed(_asked(found)) if found.policy else failed(_asked(found))


def syntax(subject: Subject, world: World) -> Finding:
    """The record has a policy; what receivers ignore in it is told."""
    place, text = _policy(subject, world)
    said = dmarc.tags(text)
    evidence = told(f"_dmarc.{place}", "TXT", (text,))
    wrong = [f"{tag}={said[tag]}" for tag in POLICIES if tag in said and said[tag].lower() not in dmarc.STRENGTH]
    if not dmarc.policy(text) or wrong:
        return failed(f"{evidence}; {', '.join(wrong) or 'there is no p='}")
    odd = [f"{tag}={said[tag]}" for tag, known in VALUES.items() if tag in said and said[tag].lower() not in known]
    odd += [f"{tag}= (RFC 9989 removed it)" for tag in REMOVED if tag in said]
    return warned(f"{evidence}; ignored: {', '.join(odd)}") if odd else passed(evidence)


def alignment(subject: Subject, world: World) -> Finding:
    """DKIM's d= is the domain itself; the envelope sender's domain must be of the same organisation, or the same."""
    _place, text = _policy(subject, world)
    strict = dmarc.tags(text).get("aspf", "r").lower() == "s"
    organisation = walk(subject.name, world.ask).organisation
    evidence = f"From: and d= {subject.name} (organisational domain {organisation})"
    if not subject.return_name:
        return passed(evidence)
    theirs = walk(subject.return_name, world.ask).organisation
    evidence += (
        f", envelope sender {subject.return_name} (organisational domain {theirs}), aspf={'s' if strict else 'r'}"
    )
    return failed(evidence) if strict or theirs != organisation else passed(evidence)


def reports(subject: Subject, world: World) -> Finding:
    """There is an rua, and other organisations that it names say that they take the reports (RFC 9990 section 4)."""
    place, text = _policy(subject, world)
    rua = dmarc.tags(text).get("rua", "")
    if not rua:
        return passed(f"{told(f'_dmarc.{place}', 'TXT', (text,))}; there is no rua=, so that nobody tells what fails")
    organisation = walk(place, world.ask).organisation
    for taker in mailbox_domains(rua):
        if walk(taker, world.ask).organisation == organisation:
            continue
        name = f"{place}._report._dmarc.{taker}"
        found = world.ask(name, "TXT")
        if not any(dmarc.tags(value) for value in found):
            return warned(f"rua={rua}; {told(name, 'TXT', found)}, so that receivers send no reports to {taker}")
    return passed(f"rua={rua}")


def _policy(subject: Subject, world: World) -> tuple[str, str]:
    found = walk(subject.name, world.ask).policy
    if found is None:
        raise LookupError("this check needs dmarc.record")
    return found


def _asked(found: Found) -> str:
    """What was asked, up to the first answer: the rest of the walk only says where the organisation begins."""
    told_so_far = []
    for name, records in found.at:
        told_so_far.append(told(f"_dmarc.{name}", "TXT", records))
        if records:
            break
    return "; ".join(told_so_far)
