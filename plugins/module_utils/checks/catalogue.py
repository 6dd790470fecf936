# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the scorecard, a row each, in the order in which a card tells them. Data alone.

What a session with the server and a message show is found by `smtp.probes` and `smtp.delivered`; what anybody can look
up by the functions of `identity`, `spf`, `dkim`, `dmarc` and `transport` beside this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .model import Check, Level

GROUPS: Mapping[str, str] = {
    "A": "Network",
    "B": "Identity of the addresses",
    "C": "SPF",
    "D": "DKIM",
    "E": "DMARC",
    "F": "Transport",
    "G": "SMTP behaviour",
    "H": "Reputation",
    "I": "Message",
    "J": "Operations",
    "K": "Enrolment at receivers",
}


@dataclass(frozen=True)
class Source:
    """Where a rule stands, and of when it is."""

    where: str
    date: str


def _rfc(number: int, date: str) -> Source:
    return Source(f"https://www.rfc-editor.org/rfc/rfc{number}", date)


# What rules name, by the name that they use for it.
SOURCES: Mapping[str, Source] = {
    "Gmail": Source("https://support.google.com/mail/answer/81126", "2026-03-21"),
    "Yahoo": Source("https://senders.yahooinc.com/best-practices/", "2025-04-10"),
    "Microsoft": Source("https://sendersupport.olc.protection.outlook.com/pm/policies.aspx", "2025-08-02"),
    "CVE-2011-0411": Source("https://www.cve.org/CVERecord?id=CVE-2011-0411", "2011-03"),
    "CVE-2023-51764": Source("https://www.cve.org/CVERecord?id=CVE-2023-51764", "2023-12"),
    "RFC 1912": _rfc(1912, "1996-02"),
    "RFC 2142": _rfc(2142, "1997-05"),
    "RFC 3207": _rfc(3207, "2002-02"),
    "RFC 4954": _rfc(4954, "2007-07"),
    "RFC 5321": _rfc(5321, "2008-10"),
    "RFC 6376": _rfc(6376, "2011-09"),
    "RFC 6409": _rfc(6409, "2011-11"),
    "RFC 7208": _rfc(7208, "2014-04"),
    "RFC 7505": _rfc(7505, "2015-06"),
    "RFC 7672": _rfc(7672, "2015-10"),
    "RFC 8301": _rfc(8301, "2018-01"),
    "RFC 8314": _rfc(8314, "2018-01"),
    "RFC 8659": _rfc(8659, "2019-11"),
    "RFC 8996": _rfc(8996, "2021-03"),
    "RFC 9325": _rfc(9325, "2022-11"),
    "RFC 9525": _rfc(9525, "2023-11"),
    "RFC 9989": _rfc(9989, "2026-05"),
    "RFC 9990": _rfc(9990, "2026-05"),
}
NAMED = re.compile(r"RFC \d+|CVE-[\d-]+|Gmail|Yahoo|Microsoft")

# What receivers answer where it is not so; of "5xx" they publish no more than the class.
FCRDNS = (("Gmail", "4.7.23, 5.7.25"), ("Yahoo", "5xx"), ("Microsoft", "550 DY-001, DY-002"))
SPF = (("Gmail", "4.7.27, 5.7.27"), ("Yahoo", "5xx"), ("Microsoft", "550 5.7.515"))
DKIM = (("Gmail", "4.7.30, 5.7.30"), ("Yahoo", "5xx"), ("Microsoft", "550 5.7.515"))
DMARC = (("Gmail", "4.7.31, 4.7.40"), ("Yahoo", "5xx"), ("Microsoft", "550 5.7.515"))
ALIGNMENT = (("Gmail", "4.7.32, 5.7.32"), ("Yahoo", "5xx"), ("Microsoft", "550 5.7.515"))
TLS = (("Gmail", "4.7.29, 5.7.29"),)

PUBLISH = "Run playbooks/publish.yml with -e sendyard_publish_all=true: it writes the record."


def sources(check: Check) -> dict[str, Source]:
    """Return what the rule of a check names, with where it stands and its date."""
    return {name: SOURCES[name] for name in NAMED.findall(check.rule)}


# What anybody can look up.
LOOKED_UP: Mapping[str, Check] = {
    "name.addresses": Check(
        "B",
        "the server's name leads to its addresses, and to no other",
        "RFC 1912 section 2.1; RFC 5321 section 4.1.4",
        "Run playbooks/publish.yml with -e sendyard_publish_all=true; remove A and AAAA records of other machines.",
        codes=FCRDNS,
    ),
    "ptr.present": Check(
        "B",
        "every address has a PTR record",
        "Gmail, Yahoo, Microsoft; RFC 1912 section 2.1",
        "Have the provider of the address call it by the server's name (sendyard_ptr_credential does it for some).",
        codes=FCRDNS,
    ),
    "ptr.confirmed": Check(
        "B",
        "the PTR record's name leads back to the address",
        "Gmail, Yahoo; RFC 1912 section 2.1",
        "Have the provider of the address call it by the server's name, which has an A or AAAA record of it.",
        codes=FCRDNS,
        needs=("name.addresses", "ptr.present"),
    ),
    "ptr.name": Check(
        "B",
        "the PTR record is the name that the server says in EHLO",
        "RFC 5321 section 4.1.4; receivers compare the two",
        "Have the provider of the address call it by the server's name, and by no other.",
        level=Level.SHOULD,
        needs=("ptr.confirmed",),
    ),
    "ptr.own": Check(
        "B",
        "the PTR record does not read like a customer's line",
        "Yahoo, Microsoft",
        "Have the provider of the address call it by the server's name.",
        level=Level.SHOULD,
        codes=(("Microsoft", "550 DY-001, DY-002"),),
        needs=("ptr.name",),
    ),
    "domain.exists": Check(
        "B",
        "the domain is known to the DNS",
        "Yahoo; RFC 5321 section 2.3.5",
        "Register the domain, and enter its name servers at the registrar.",
        codes=(("Yahoo", "5xx"),),
    ),
    "mx.present": Check(
        "B",
        "the domain has a place for answers",
        "RFC 5321 section 5.1; receivers count a sender that takes no mail",
        "Give the domain an MX record of the server that takes its mail.",
        level=Level.SHOULD,
        needs=("domain.exists",),
    ),
    "mx.null": Check(
        "B",
        "the domain does not say that it takes no mail",
        "RFC 7505 section 4.2",
        "Replace the MX record `0 .` by one of the server that takes the domain's mail.",
        codes=(("Gmail", "5.7.27"),),
        needs=("domain.exists",),
    ),
    "bounces.mx": Check(
        "B",
        "mail to the bounce domain comes to the server",
        "RFC 5321 section 4.5.5; a sender that takes no bounces is refused",
        PUBLISH,
    ),
    "return_path.mx": Check(
        "B",
        "mail to the domain's return path comes to the server",
        "RFC 5321 section 4.5.5",
        PUBLISH,
        needs=("domain.exists",),
    ),
    "spf.record": Check(
        "C",
        "the domain has exactly one SPF record",
        "Gmail, Yahoo, Microsoft; RFC 7208 section 3.2",
        "Where there is none, run playbooks/publish.yml with -e sendyard_publish_all=true. Of several make one.",
        codes=SPF,
        needs=("domain.exists",),
    ),
    "spf.syntax": Check(
        "C",
        "the SPF record can be read",
        "RFC 7208 section 4.6",
        "Mend or remove the term that the evidence names.",
        codes=SPF,
        needs=("spf.record",),
    ),
    "spf.lookups": Check(
        "C",
        "the SPF record needs at most ten look-ups, and two that find nothing",
        "RFC 7208 section 4.6.4",
        "Remove includes that are no longer used, or replace some by ip4 and ip6.",
        codes=SPF,
        needs=("spf.syntax",),
    ),
    "spf.authorised": Check(
        "C",
        "SPF passes for every address that the server sends from",
        "Gmail, Yahoo, Microsoft; RFC 7208 section 4",
        PUBLISH,
        codes=SPF,
        needs=("spf.lookups",),
    ),
    "spf.ending": Check(
        "C",
        "the SPF record says what becomes of other senders",
        "RFC 7208 section 5.1",
        "End the record with ~all, or with -all where nobody else sends for the domain.",
        level=Level.SHOULD,
        needs=("spf.syntax",),
    ),
    "spf.bounces": Check(
        "C",
        "SPF passes for the bounce domain",
        "Gmail, Yahoo, Microsoft; RFC 7208 section 2.4",
        PUBLISH,
        codes=SPF,
    ),
    "spf.return_path": Check(
        "C",
        "SPF passes for the domain's return path",
        "Gmail, Yahoo, Microsoft; RFC 7208 section 2.4",
        PUBLISH,
        codes=SPF,
        needs=("domain.exists",),
    ),
    "dkim.record": Check(
        "D",
        "the selector has exactly one key record",
        "Gmail, Yahoo, Microsoft; RFC 6376 section 3.6.2",
        "Run playbooks/publish.yml with -e sendyard_publish_all=true; remove what else stands at the name.",
        codes=DKIM,
        needs=("domain.exists",),
    ),
    "dkim.key": Check(
        "D",
        "the record holds a key that can be used",
        "RFC 6376 section 3.6.1; RFC 8301 section 3",
        PUBLISH,
        codes=DKIM,
        needs=("dkim.record",),
    ),
    "dkim.match": Check(
        "D",
        "the record's key is the one that the server signs with",
        "RFC 6376 section 3.6.1",
        PUBLISH,
        codes=DKIM,
        needs=("dkim.key",),
    ),
    "dkim.size": Check(
        "D",
        "the key has 2048 bits",
        "RFC 8301 section 3.2; Gmail, Yahoo",
        "Give `sendyard_selector` another value, so that the server makes new keys, and run site.yml.",
        level=Level.SHOULD,
        needs=("dkim.key",),
    ),
    "dkim.testing": Check(
        "D",
        "the key is not marked as being tested",
        "RFC 6376 section 3.6.1: a receiver may treat its mail as unsigned",
        "Remove t=y from the key record.",
        level=Level.SHOULD,
        needs=("dkim.record",),
    ),
    "dmarc.single": Check(
        "E",
        "no name has two DMARC records",
        "RFC 9989 section 4.10",
        "Remove all but one: receivers ignore both.",
        codes=DMARC,
        needs=("domain.exists",),
    ),
    "dmarc.record": Check(
        "E",
        "a DMARC record is found for the domain",
        "Gmail, Yahoo, Microsoft; RFC 9989 section 4.10",
        PUBLISH,
        codes=DMARC,
        needs=("dmarc.single",),
    ),
    "dmarc.syntax": Check(
        "E",
        "the DMARC record says what receivers understand",
        "RFC 9989 section 4.7",
        "Mend the tags that the evidence names.",
        codes=DMARC,
        needs=("dmarc.record",),
    ),
    "dmarc.alignment": Check(
        "E",
        "the domains of From:, DKIM and SPF belong together",
        "Gmail, Yahoo, Microsoft; RFC 9989 section 4.4",
        "Leave adkim and aspf out of the record (relaxed), or take a return path that is the domain itself.",
        level=Level.SHOULD,
        codes=ALIGNMENT,
        needs=("dmarc.syntax",),
    ),
    "dmarc.reports": Check(
        "E",
        "who is to get reports takes them",
        "Yahoo; RFC 9990 section 4",
        "Set `sendyard_dmarc_rua`; where its mailbox is another domain's, that one needs the record in the evidence.",
        level=Level.INFO,
        needs=("dmarc.syntax",),
    ),
    "tls.served": Check(
        "F",
        "every port shows a certificate",
        "Gmail; RFC 3207",
        "Look at the certificate files that main.cf names, then run playbooks/serve.yml.",
        codes=TLS,
    ),
    "tls.names": Check(
        "F",
        "the certificate is of the server's name",
        "RFC 8314 section 3; RFC 9525",
        "Run playbooks/serve.yml; a provided certificate must name `sendyard_fqdn`.",
        needs=("tls.served",),
    ),
    "tls.days": Check(
        "F",
        "the certificate is valid for three weeks more",
        "RFC 8314 section 3",
        "Run playbooks/serve.yml; with `acme`, see `systemctl status certbot.timer` on the host.",
        needs=("tls.served",),
    ),
    "tls.tlsa": Check(
        "F",
        "the TLSA record has the key that is served",
        "RFC 7672 section 3.1.1",
        "Run playbooks/serve.yml with -e sendyard_publish_all=true: it announces the keys of the certificates.",
        needs=("tls.served",),
    ),
    "tls.caa": Check(
        "F",
        "CAA records let our authority certify the server's name",
        "RFC 8659 section 3",
        "Add the authority to the CAA record, or to `sendyard_caa_issuers` where it is called otherwise.",
    ),
}

# What sessions with the server show, and a message that it sent.
PROVEN: Mapping[str, Check] = {
    "smtp.reachable": Check(
        "A",
        "the four ports answer",
        "RFC 8314, RFC 5321 section 4.5.1",
        "Open 25, 465, 587 and 2525 (tcp) in the provider's firewall; see `systemctl status postfix@-` on the host.",
    ),
    "smtp.greeting": Check(
        "B",
        "banner and EHLO carry the host's name",
        "RFC 5321 section 4.3.1; receivers compare it with PTR",
        "Run site.yml: it writes `myhostname`. Whatever answers now is not the Postfix it configured.",
    ),
    "smtp.vrfy": Check(
        "G",
        "VRFY tells nobody who has a mailbox",
        "RFC 5321 section 7.3",
        "Run site.yml: it sets `disable_vrfy_command = yes`.",
    ),
    "tls.starttls": Check(
        "F",
        "STARTTLS is offered and works",
        "Gmail; RFC 3207",
        "Look at the certificate files that main.cf names, then run playbooks/serve.yml.",
    ),
    "tls.certificate": Check(
        "F",
        "the certificate is valid for the name",
        "RFC 8314 section 3, RFC 9525",
        "Run playbooks/serve.yml; with `acme`, the host's name must resolve and port 80 be open.",
        needs=("tls.days", "tls.names"),
    ),
    "tls.versions": Check(
        "F",
        "TLS below 1.2 is refused",
        "RFC 8996",
        "Run site.yml: it sets `smtpd_tls_protocols` and `smtpd_tls_mandatory_protocols` to >=TLSv1.2.",
    ),
    "tls.suites": Check(
        "F",
        "cipher suites that hide nothing are refused",
        "RFC 9325 section 4.2.1",
        "Run site.yml: it sets `smtpd_tls_ciphers` and `smtpd_tls_mandatory_ciphers` to high.",
    ),
    "tls.injection": Check(
        "F",
        "what was pipelined behind STARTTLS in clear is not obeyed",
        "CVE-2011-0411, RFC 3207 section 4.2",
        "Do not put a proxy that speaks SMTP before the host's ports.",
    ),
    "auth.clear": Check(
        "G",
        "AUTH is neither offered nor taken in clear, nor on 25 at all",
        "RFC 4954 section 4, RFC 8314",
        "Run site.yml: it sets `smtpd_tls_auth_only`, and `smtpd_sasl_auth_enable` for the submission ports only.",
    ),
    "auth.wrong_password": Check(
        "G",
        "a wrong password gets 535",
        "RFC 4954 section 6",
        "Look at Dovecot's log on the host: `journalctl -u dovecot`.",
    ),
    "relay.refused": Check(
        "G",
        "nobody relays without a login",
        "open relays are listed within hours",
        "Run site.yml; look for permit_mynetworks or permit_… in master.cf's listeners.",
    ),
    "sender.envelope": Check(
        "G",
        "a login cannot use another domain's envelope sender",
        "RFC 6409 section 6.1",
        "Run site.yml: it sets `reject_sender_login_mismatch` for the submission ports.",
    ),
    "sender.header": Check(
        "G",
        "a login cannot use another domain's From:",
        "DMARC: the host signs for the domain of From:",
        "See `systemctl status sendyard-gate` on the host, and that every submission port names it in smtpd_milters.",
    ),
    "sender.null": Check(
        "G",
        "a login cannot send from the null sender",
        "RFC 5321 section 4.5.5",
        "Run site.yml: `submission_sender_restrictions` refuses it.",
    ),
    "smuggling.refused": Check(
        "G",
        "one transaction yields one message",
        "CVE-2023-51764",
        "Run site.yml: it sets `smtpd_forbid_bare_newline`. Put no proxy that speaks SMTP before the host's ports.",
    ),
    "submit.accepted": Check(
        "G",
        "a login can submit a message",
        "RFC 6409",
        "The evidence has the server's reply; its log on the host says more.",
    ),
    "mailbox.postmaster": Check(
        "G",
        "postmaster@ and abuse@ are accepted",
        "RFC 5321 section 4.5.1, RFC 2142",
        "Run site.yml; see the log on the host for the reason of the refusal.",
    ),
    "mailbox.bounces": Check(
        "G",
        "bounces are accepted",
        "RFC 5321 section 4.5.5; a sender that takes no bounces is refused",
        "Run site.yml; see the log on the host for the reason of the refusal.",
    ),
    "delivered.accepted": Check(
        "I",
        "the message was accepted by the receiver",
        "",
        "The receiver's reply says what it wants; playbooks/explain.yml says what a reply means.",
    ),
    "delivered.spf": Check(
        "C",
        "the receiver saw SPF pass",
        "Gmail, Yahoo, Microsoft; RFC 7208",
        "Run playbooks/publish.yml; what the host sends from must be one of its addresses in the inventory.",
        codes=SPF,
        needs=("spf.authorised",),
    ),
    "delivered.dkim": Check(
        "D",
        "the receiver saw DKIM pass",
        "Gmail, Yahoo, Microsoft; RFC 6376",
        "Run playbooks/publish.yml; compare the selector's record with the host's key.",
        codes=DKIM,
        needs=("dkim.match",),
    ),
    "delivered.dmarc": Check(
        "E",
        "the receiver saw DMARC pass",
        "Gmail, Yahoo, Microsoft; RFC 9989",
        "Run playbooks/publish.yml; From:, DKIM d= and the envelope sender must share the domain.",
        codes=DMARC,
        needs=("dmarc.record",),
    ),
    "delivered.signature": Check(
        "D",
        "the signature verifies against the published key",
        "RFC 6376",
        "Run playbooks/publish.yml; if the key's record is right, something on the way rewrote the message.",
        codes=DKIM,
        needs=("dkim.match",),
    ),
    "delivered.tls": Check(
        "F",
        "the message left over TLS",
        "Gmail",
        "See `smtp_tls_security_level` on the host, and whether the receiver offers STARTTLS.",
        codes=TLS,
    ),
    "delivered.privacy": Check(
        "I",
        "the client's address and login did not leave",
        "personal data",
        "Run site.yml: it hides the client's session in Received.",
    ),
}

CHECKS: Mapping[str, Check] = {**LOOKED_UP, **PROVEN}
