# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a zone holds at some keys: out of what a provider lists, or by asking name servers where nobody has a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from . import wire
from .backends import Unsupported
from .model import DnsError, Key, RecordError, RRset
from .planner import Found

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.message
    import dns.name
    import dns.rdatatype

Ask = Callable[[Sequence[Key]], Sequence["dns.message.Message"]]


def listed(keys: Iterable[Key], at: Callable[[Key], RRset | None]) -> Found:
    """Return what stands at every key, and CNAMEs at their names.

    Args:
        at: returns what the provider lists at a key, and raises RecordError where it cannot be read.
    """
    rrsets: dict[Key, RRset | None] = {}
    aliases: dict[dns.name.Name, dns.name.Name] = {}
    faults: dict[Key, DnsError] = {}
    for key in dict.fromkeys(keys):
        try:
            rrsets[key], alias = at(key), at(Key(key.name, dns.rdatatype.CNAME))
        except RecordError as error:
            faults[key] = Unsupported(f"{key} holds what cannot be read, and so not be kept: {error}")
            continue
        if alias and alias.values:
            aliases[key.name] = alias.values[0].rdata.target.canonicalize()  # type: ignore[attr-defined]
    return Found(rrsets, aliases, faults)


def read(keys: Iterable[Key], ask: Ask, fault: Callable[[Key, dns.message.Message], DnsError]) -> Found:
    """Return what stands at every key.

    What a wildcard lends a name (RFC 4592 section 3.3.1) does not stand there.

    Args:
        ask: returns the answers of an authoritative server to keys, in their order.
        fault: says what is wrong with an answer that is not authoritative.
    """
    asked = list(dict.fromkeys(keys))
    rrsets: dict[Key, RRset | None] = {}
    aliases: dict[dns.name.Name, dns.name.Name] = {}
    faults: dict[Key, DnsError] = {}
    for key, answer in zip(asked, ask(asked), strict=True):
        if not wire.is_authoritative(answer):
            faults[key] = fault(key, answer)
        elif (alias := wire.alias_in(answer, key.name)) and key.type != dns.rdatatype.CNAME:
            rrsets[key], aliases[key.name] = None, alias
        else:
            rrsets[key] = wire.rrset_in(answer, key)
    return _without_wildcards(Found(rrsets, aliases, faults), ask)


def _without_wildcards(found: Found, ask: Ask) -> Found:
    """Return `found` without what a wildcard lends."""
    there = [key for key, rrset in found.rrsets.items() if rrset]
    there += [Key(name, dns.rdatatype.CNAME) for name in found.aliases]
    probes = {key: probe for key in there if (probe := wire.probe(key))}
    rrsets, aliases = dict(found.rrsets), dict(found.aliases)
    for (key, probe), answer in zip(probes.items(), ask(list(probes.values())), strict=True):
        if rrsets.get(key) and wire.rrset_in(answer, probe):
            rrsets[key] = None
        # the same target: below a DNAME every name is a CNAME, each to another one (RFC 6672 section 2.2)
        if key.type == dns.rdatatype.CNAME and wire.alias_in(answer, probe.name) == aliases.get(key.name):
            aliases.pop(key.name, None)
    return Found(rrsets, aliases, found.faults)
