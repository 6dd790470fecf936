# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether who sends to this host can rely on its TLSA record (RFC 7672). Runs on the host, whose resolver validates."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

with suppress(ImportError):  # before the first run has installed it, nothing is known of the names
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode

OWN_RESOLVER = "127.0.0.1"
DEADLINE = 5.0  # seconds a question; what the resolver does not know by then it knows in the next run
SECURE, INSECURE, BOGUS, ABSENT, UNKNOWN = "secure", "insecure", "bogus", "absent", "unknown"


@dataclass(frozen=True)
class Trust:
    """What a sender that checks DANE makes of this host.

    Attributes:
        host: whether the names of the host are signed: SECURE, INSECURE, BOGUS, or UNKNOWN where nobody could say.
        why_not: why DANE has no effect, "" where it has.
    """

    host: str
    why_not: str


def validated(name: str, kind: str) -> str:
    """Ask the host's own resolver for a record, and return how it is signed.

    SECURE: it is there, and its signatures lead up to the trust anchor. BOGUS: they should, and do not. ABSENT: there
    is no such record.
    """
    try:
        query = dns.message.make_query(name, kind, use_edns=0, want_dnssec=True)
        query.flags |= dns.flags.AD
        answer = _ask(query)
        if answer.rcode() == dns.rcode.SERVFAIL:  # bogus, if it answers who does not want it checked
            query.flags |= dns.flags.CD
            return BOGUS if _ask(query).rcode() == dns.rcode.NOERROR else UNKNOWN
    except (dns.exception.DNSException, OSError):
        return UNKNOWN
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return UNKNOWN
    if not answer.answer:
        return ABSENT
    return SECURE if answer.flags & dns.flags.AD else INSECURE


def _ask(query: dns.message.QueryMessage) -> dns.message.Message:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.setblocking(False)
        asked.connect((OWN_RESOLVER, 53))  # so that nobody else can answer
        return dns.query.udp_with_fallback(query, OWN_RESOLVER, timeout=DEADLINE, udp_sock=asked)[0]


def trust(fqdn: str, mail_domains: Sequence[str], ask: Callable[[str, str], str] = validated) -> Trust:
    """Return what can be relied on of the host `fqdn`, to which the MX records of `mail_domains` lead.

    Without a signed MX record nobody asks for TLSA records (RFC 7672 section 2.2.1).
    """
    if find_spec("dns") is None:
        return Trust(UNKNOWN, "")
    answers = (ask(fqdn, kind) for kind in ("A", "AAAA"))
    host = next((answer for answer in answers if answer != ABSENT), UNKNOWN)
    if host != SECURE:
        return Trust(host, f"{fqdn} {_REASONS[host]}")
    for domain in mail_domains:
        answer = ask(domain, "MX")
        if answer != SECURE:
            return Trust(host, f"the MX record of {domain} {_REASONS[answer]}")
    return Trust(host, "")


_REASONS = {
    INSECURE: "is not signed (DNSSEC), or its signatures do not lead up to the root. Have the provider of the zone "
    "sign it, and enter the DS record at the registrar",
    BOGUS: "has signatures that are not valid, so that whoever validates does not find it at all. Look at the zone's "
    "keys, and at the DS record at the registrar",
    ABSENT: "is not there",
    UNKNOWN: f"could not be found out by the host's resolver ({OWN_RESOLVER}). Look at unbound's log",
}
