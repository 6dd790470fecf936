# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group B: whether addresses and names of a server and a domain lead to each other."""

from __future__ import annotations

import ipaddress
import re

from ..records import reverse_name
from .model import Finding, Server, Subject, World, failed, passed, same_address, told, warned

# Parts of names that providers give to the lines of customers; Yahoo and Microsoft count them.
GENERIC = re.compile(
    r"(?:^|[.-])(?:dyn(?:amic)?|pool|static|dsl|adsl|cable|dhcp|ppp|dialup|broadband|cust(?:omer)?)[.\d-]"
)


def addresses(subject: Subject, world: World) -> Finding:
    """The server's name has every address that it sends from; others may only be those that it is reached at."""
    server = subject.server
    found = [*world.ask(server.fqdn, "A"), *world.ask(server.fqdn, "AAAA")]
    evidence = told(server.fqdn, "A/AAAA", found)
    missing = [one for one in server.addresses if not _in(one, found)]
    if missing:
        return failed(f"{evidence}; not {', '.join(missing)}")
    foreign = [one for one in found if not _in(one, (*server.addresses, *server.reached_at))]
    return warned(f"{evidence}; {', '.join(foreign)} is not of this server") if foreign else passed(evidence)


def ptr_present(subject: Subject, world: World) -> Finding:
    """Every address has a name."""
    names = _names(subject.server, world)
    missing = [address for address, found in names.items() if not found]
    return failed("; ".join(_asked(one, ()) for one in missing)) if missing else passed(_all(names))


def ptr_confirmed(subject: Subject, world: World) -> Finding:
    """One name of every address leads back to it."""
    names = _names(subject.server, world)
    wrong = []
    for address, found in names.items():
        kind = "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
        back = {name: world.ask(name, kind) for name in found}
        if not any(_in(address, values) for values in back.values()):
            wrong.append(f"{_asked(address, found)}; " + "; ".join(told(*one) for one in _back(back, kind)))
    return failed("; ".join(wrong)) if wrong else passed(_all(names))


def ptr_name(subject: Subject, world: World) -> Finding:
    """Every address is called by the name that the server says in EHLO, and by no other."""
    names = _names(subject.server, world)
    wrong = [_asked(address, found) for address, found in names.items() if found != (subject.server.fqdn,)]
    return failed(f"{'; '.join(wrong)}; not {subject.server.fqdn}") if wrong else passed(_all(names))


def ptr_own(subject: Subject, world: World) -> Finding:
    """No name reads as that of a customer's line: with the address in it, or words such as dynamic."""
    names = _names(subject.server, world)
    wrong = [_asked(address, found) for address, found in names.items() if any(is_generic(n, address) for n in found)]
    return failed("; ".join(wrong)) if wrong else passed(_all(names))


def is_generic(name: str, address: str) -> bool:
    """Return whether a PTR record's name looks like one that a provider makes for each of its addresses."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        octets = str(parsed).split(".")
        numbers = re.findall(r"\d+", name.partition(".")[0])
        carries = all(octet in numbers for octet in octets[2:]) and len(numbers) > 2
    else:
        carries = parsed.exploded.replace(":", "")[-16:] in name.replace("-", "")
    return carries or GENERIC.search(name) is not None


def domain_exists(subject: Subject, world: World) -> Finding:
    """The name, or a zone that holds it, is there."""
    zone = world.zone(subject.name)
    return passed(f"{subject.name} stands in the zone {zone}") if zone else failed(f"{subject.name} SOA: no such name")


def mx_present(subject: Subject, world: World) -> Finding:
    """The domain has MX records, or an address, which stands for one (RFC 5321 section 5.1)."""
    found = world.ask(subject.name, "MX")
    if found:
        return passed(told(subject.name, "MX", found))
    implicit = [*world.ask(subject.name, "A"), *world.ask(subject.name, "AAAA")]
    evidence = told(subject.name, "MX", ())
    return passed(f"{evidence}; {told(subject.name, 'A/AAAA', implicit)}") if implicit else failed(evidence)


def mx_null(subject: Subject, world: World) -> Finding:
    """No MX record says that nobody takes the domain's mail."""
    found = world.ask(subject.name, "MX")
    evidence = told(subject.name, "MX", found)
    return failed(evidence) if any(value.split()[-1] == "." for value in found) else passed(evidence)


def bounces_mx(subject: Subject, world: World) -> Finding:
    """The bounce domain's mail comes to this server."""
    return _leads_here(subject.server.bounce_domain, subject.server, world)


def return_path_mx(subject: Subject, world: World) -> Finding | None:
    """The return path's mail comes to this server; there is none to look at for a domain without one."""
    return _leads_here(subject.return_name, subject.server, world) if subject.return_name else None


def _leads_here(name: str, server: Server, world: World) -> Finding:
    found = world.ask(name, "MX")
    evidence = told(name, "MX", found)
    here = any(value.split()[-1].rstrip(".").lower() == server.fqdn for value in found)
    return passed(evidence) if here else failed(f"{evidence}; not {server.fqdn}")


def _names(server: Server, world: World) -> dict[str, tuple[str, ...]]:
    """Return the names that the PTR records of each address give it."""
    return {
        one: tuple(value.rstrip(".").lower() for value in world.ask(reverse_name(one), "PTR"))
        for one in server.addresses
    }


def _back(back: dict[str, tuple[str, ...]], kind: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(name, kind, values) for name, values in back.items()]


def _asked(address: str, found: tuple[str, ...]) -> str:
    return told(address, "PTR", found)


def _all(names: dict[str, tuple[str, ...]]) -> str:
    return "; ".join(_asked(address, found) for address, found in names.items())


def _in(address: str, found: tuple[str, ...] | list[str]) -> bool:
    return any(same_address(value, address) for value in found)
