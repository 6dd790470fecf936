# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group C: SPF of the domain, of the bounce domain and of the return path, evaluated as a receiver does."""

from __future__ import annotations

from ..dns import spf, spf_cost
from ..dns.spf_evaluate import Result, check_host, parse
from .model import Finding, Subject, World, failed, passed, told


def record(subject: Subject, world: World) -> Finding:
    """There is one record, and one only (RFC 7208 section 4.5)."""
    found = _records(subject.name, world)
    evidence = told(subject.name, "TXT", found)
    return passed(evidence) if len(found) == 1 else failed(f"{evidence} ({len(found)} SPF records)")


def syntax(subject: Subject, world: World) -> Finding:
    """Every term can be read."""
    (text,) = _records(subject.name, world)
    try:
        parse(text)
    except spf.SpfError as error:
        return failed(str(error))
    return passed(told(subject.name, "TXT", (text,)))


def lookups(subject: Subject, world: World) -> Finding:
    """What it costs a receiver, its includes among it, is within the limits."""
    (text,) = _records(subject.name, world)
    cost = spf_cost.count(text, subject.name, world.ask)
    wrong = spf_cost.complaint(cost)
    evidence = f"{cost.lookups} look-ups, {cost.voids} of which find nothing"
    return failed(f"{told(subject.name, 'TXT', (text,))}: {wrong}") if wrong else passed(evidence)


def authorised(subject: Subject, world: World) -> Finding:
    """Mail from every address passes."""
    return _evaluated(subject.name, subject, world)


def ending(subject: Subject, world: World) -> Finding:
    """The record says that others are none of the domain's: -all or ~all, or leaves that to another record."""
    (text,) = _records(subject.name, world)
    terms = spf.parse(text)
    endings = [term for term in terms if term.name == "all" and term.qualifier]
    evidence = told(subject.name, "TXT", (text,))
    if endings:
        return passed(evidence) if endings[0].qualifier in "-~" else failed(evidence)
    return passed(evidence) if any(term.name == "redirect" for term in terms) else failed(evidence)


def bounces(subject: Subject, world: World) -> Finding:
    """Bounces that the server itself sends, and what it sends with its own envelope sender, pass."""
    return _evaluated(subject.server.bounce_domain, subject, world)


def return_path(subject: Subject, world: World) -> Finding | None:
    """Mail with the domain's return path passes."""
    return _evaluated(subject.return_name, subject, world) if subject.return_name else None


def _evaluated(domain: str, subject: Subject, world: World) -> Finding:
    sender = f"postmaster@{domain}"
    found = {one: check_host(one, domain, sender, world.ask) for one in subject.server.addresses}
    said = [f"{one} as {sender}: {evaluation.result} ({evaluation.why})" for one, evaluation in found.items()]
    wrong = [text for text, one in zip(said, found.values(), strict=True) if one.result is not Result.PASS]
    return failed("; ".join(wrong)) if wrong else passed("; ".join(said))


def _records(domain: str, world: World) -> tuple[str, ...]:
    return tuple(text for text in world.ask(domain, "TXT") if spf.is_spf(text))
