# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SPF says of a client's address: check_host() (RFC 7208 section 4). Pure: who looks names up is handed in."""

from __future__ import annotations

import enum
import ipaddress
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from . import spf

LOOKUP_LIMIT = spf.LOOKUP_LIMIT
VOID_LIMIT = 2
NAMES_LIMIT = 10  # of MX or PTR records that one term may lead to (section 4.6.4)
LONGEST_NAME = 253

# Returns the values of a name and type ("TXT", "A", "AAAA", "MX", "PTR") as text, none where there is nothing.
# Whatever it raises where nobody answers ends the evaluation: that is temperror.
Ask = Callable[[str, str], Sequence[str]]
Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"


class Result(enum.StrEnum):
    """What an evaluation may say (section 2.6), without temperror."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105  not a password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    PERMERROR = "permerror"


QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


@dataclass(frozen=True)
class Evaluation:
    """The result, and the term that made it or why there is none."""

    result: Result
    why: str


class _PermanentError(Exception):
    """The evaluation is permerror."""


@dataclass
class _Query:
    """One evaluation: who connects, who is said to send, and what it has cost so far."""

    address: Address
    sender: str
    ask: Ask
    lookups: int = 0
    voids: int = 0
    seen: set[str] = field(default_factory=set)

    def count(self) -> None:
        self.lookups += 1
        if self.lookups > LOOKUP_LIMIT:
            raise _PermanentError(f"more than {LOOKUP_LIMIT} look-ups")

    def look_up(self, name: str, kind: str) -> Sequence[str]:
        """Ask for what a term leads to; what is not there is counted."""
        found = self.ask(name, kind)
        if not found:
            self.voids += 1
            if self.voids > VOID_LIMIT:
                raise _PermanentError(f"more than {VOID_LIMIT} look-ups find nothing, the last is {name} {kind}")
        return found


def check_host(address: str, domain: str, sender: str, ask: Ask) -> Evaluation:
    """Return what the SPF record of `domain` says of mail from `sender` that comes from `address`.

    Args:
        address: IPv4 or IPv6.
        sender: the envelope sender, or postmaster@ the EHLO name where that is empty (section 2.4).
        ask: see `Ask`.
    """
    query = _Query(ipaddress.ip_address(address), sender, ask)
    try:
        return _evaluate(query, domain)
    except (_PermanentError, spf.SpfError) as error:
        return Evaluation(Result.PERMERROR, str(error))


def parse(record: str) -> tuple[spf.Term, ...]:
    """Return the terms of a record. An error counts wherever it stands, be it behind the term that matches (4.6).

    Raises:
        SpfError: a term, its prefix length or macro is none, or a modifier stands twice (section 6).
    """
    terms = spf.parse(record)
    for name in ("redirect", "exp"):
        if sum(term.name == name and not term.qualifier for term in terms) > 1:
            raise spf.SpfError(f'the SPF record "{record}" has {name}= twice. Remove one.')
    for term in terms:
        try:
            if term.name in ("a", "mx"):
                _split(term.value)
            if term.name in spf.LOOKUPS and "%" in _MACRO.sub("", term.value):
                raise _PermanentError(f'"{term.text}" has a % that begins no macro')
        except _PermanentError as error:
            raise spf.SpfError(f'the SPF record "{record}" cannot be read: {error}. Mend that term.') from error
    return terms


def _evaluate(query: _Query, domain: str) -> Evaluation:
    records = [text for text in query.ask(domain, "TXT") if spf.is_spf(text)]
    if not records:
        return Evaluation(Result.NONE, f"{domain} has no SPF record")
    if len(records) > 1:
        raise _PermanentError(f"{domain} has {len(records)} SPF records")
    terms = parse(records[0])
    for term in terms:
        if term.qualifier and _matches(term, query, domain):
            return Evaluation(QUALIFIERS[term.qualifier], f"{term.text} of {domain}")
    redirects = [term.value for term in terms if not term.qualifier and term.name == "redirect"]
    if not redirects:
        return Evaluation(Result.NEUTRAL, f"no term of {domain} matches")
    query.count()
    target = expand(redirects[0], query.address, query.sender, domain)
    found = _evaluate(query, target)
    if found.result is Result.NONE:
        raise _PermanentError(f"redirect={target}: {found.why}")
    return found


def _matches(term: spf.Term, query: _Query, domain: str) -> bool:
    """Return whether a mechanism matches the client (section 5)."""
    if term.name == "all":
        return True
    if term.name in ("ip4", "ip6"):
        return query.address in ipaddress.ip_network(term.value[1:], strict=False)
    query.count()
    written, prefixes = _split(term.value)
    target = expand(written, query.address, query.sender, domain) if written else domain
    match term.name:
        case "include":
            matches = _includes(query, target)
        case "exists":
            matches = bool(query.look_up(target, "A"))
        case "a":
            matches = _leads_to_client(query, target, prefixes)
        case "mx":
            matches = _exchange_is_client(query, target, prefixes)
        case _:
            matches = any(name == target or name.endswith(f".{target}") for name in _validated_names(query))
    return matches


def _includes(query: _Query, target: str) -> bool:
    if target in query.seen:
        raise _PermanentError(f"include:{target} leads to itself")
    query.seen.add(target)
    found = _evaluate(query, target)
    query.seen.discard(target)
    if found.result is Result.NONE:
        raise _PermanentError(f"include:{target}: {found.why}")
    return found.result is Result.PASS


def _exchange_is_client(query: _Query, target: str, prefixes: tuple[int, int]) -> bool:
    """Return whether the client is one of the servers that take the mail of `target` (section 5.4)."""
    exchanges = [value.split()[-1].rstrip(".") for value in query.look_up(target, "MX")]
    if len(exchanges) > NAMES_LIMIT:
        raise _PermanentError(f"{target} has more than {NAMES_LIMIT} MX records")
    return any(_leads_to_client(query, name, prefixes, counted=False) for name in exchanges if name)


def _leads_to_client(query: _Query, name: str, prefixes: tuple[int, int], *, counted: bool = True) -> bool:
    """Return whether an address of `name` is in the client's network of that prefix length."""
    kind, prefix = ("A", prefixes[0]) if query.address.version == 4 else ("AAAA", prefixes[1])
    found = query.look_up(name, kind) if counted else query.ask(name, kind)
    return any(query.address in ipaddress.ip_network(f"{value}/{prefix}", strict=False) for value in found)


def _validated_names(query: _Query) -> Iterator[str]:
    """Yield the names of the client's address that lead back to it (section 5.5)."""
    names = [value.rstrip(".").lower() for value in query.look_up(query.address.reverse_pointer, "PTR")]
    for name in names[:NAMES_LIMIT]:
        if _leads_to_client(query, name, (32, 128), counted=False):
            yield name


def _split(value: str) -> tuple[str, tuple[int, int]]:
    """Return the name of a term, "" where it has none, and its prefix lengths (section 5.6: dual-cidr-length)."""
    found = re.fullmatch(r"(?::(.*?))?(?:/(\d{1,2}))?(?://(\d{1,3}))?", value)
    if found is None:
        raise _PermanentError(f'"{value}" is neither a name nor a prefix length')
    short, long = int(found[2] or 32), int(found[3] or 128)
    if short > 32 or long > 128:
        raise _PermanentError(f'"{value}": no such prefix length')
    return found[1] or "", (short, long)


_MACRO = re.compile(r"%(?:\{([slodiphcrtv])(\d*)(r?)([-.+,/_=]*)\}|([%_-]))", re.IGNORECASE)


def expand(text: str, address: Address, sender: str, domain: str) -> str:
    """Return a term's name with its macros filled in (section 7).

    Raises:
        _PermanentError: nothing is to be left of one.
    """
    local_part, _at, sender_domain = sender.rpartition("@")
    known = {
        "s": sender,
        "l": local_part or "postmaster",
        "o": sender_domain,
        "d": domain,
        "i": str(address) if address.version == 4 else ".".join(address.exploded.replace(":", "")),
        "p": "unknown",  # section 7.3 advises against it
        "v": "in-addr" if address.version == 4 else "ip6",
        "h": sender_domain,
        "c": str(address),
        "r": "unknown",
        "t": str(int(time.time())),
    }

    def filled(match: re.Match[str]) -> str:
        if match[5]:
            return {"%": "%", "_": " ", "-": "%20"}[match[5]]
        parts = re.split(f"[{re.escape(match[4] or '.')}]", known[match[1].lower()])
        if match[3]:
            parts.reverse()
        if match[2]:
            if int(match[2]) == 0:
                raise _PermanentError(f'"{text}": no part of a macro is left')
            parts = parts[-int(match[2]) :]
        value = ".".join(parts)
        return urllib.parse.quote(value, safe="-._~") if match[1].isupper() else value

    name = _MACRO.sub(filled, text).rstrip(".").lower()
    while len(name) > LONGEST_NAME:
        name = name.partition(".")[2]
    return name
