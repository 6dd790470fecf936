# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A server and a domain in order, as the DNS and the server's listeners show them, and what can be wrong: a row each.

The same rows go through the functions alone (unit) and through real servers on loopback (integration).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from ansible_collections.sendyard.mail.plugins.module_utils.checks.model import Server, Subject
from tls import openssl

FQDN, BOUNCES = "mx1.yard.example", "bounces.mx1.yard.example"
DOMAIN, RETURN = "acme.example", "rp.acme.example"
V4, V6 = "127.0.0.1", "::1"
PTR4, PTR6 = "1.0.0.127.in-addr.arpa", f"1{'.0' * 31}.ip6.arpa"
SELECTOR = "mx1-1"
KEY_NAME = f"{SELECTOR}._domainkey.{DOMAIN}"
ISSUER = "letsencrypt.org"
SPF = f"v=spf1 ip4:{V4} ip6:{V6} -all"
WWW = f"www.{DOMAIN}"

Records = Mapping[tuple[str, str], Sequence[str]]


@cache
def public_key(bits: int = 2048, number: int = 0) -> str:
    """Return the base64 of an RSA public key (DER); another one for another number."""
    private = openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")
    pem = openssl("pkey", "-pubout", stdin=private)
    return "".join(pem.splitlines()[1:-1])


def digest(key: str) -> str:
    """Return what a server tells of its key."""
    return hashlib.sha256(base64.b64decode(key)).hexdigest()


def good() -> dict[tuple[str, str], Sequence[str]]:
    """Return the records of a server and a domain that are in order."""
    key = f"v=DKIM1; k=rsa; p={public_key()}"
    return {
        (FQDN, "A"): [V4],
        (FQDN, "AAAA"): [V6],
        (FQDN, "MX"): [f"10 {FQDN}."],
        (FQDN, "TXT"): [SPF],
        (f"_dmarc.{FQDN}", "TXT"): ["v=DMARC1; p=reject"],
        (f"{SELECTOR}._domainkey.{FQDN}", "TXT"): [key],
        (FQDN, "CAA"): [f'0 issue "{ISSUER}"'],
        (PTR4, "PTR"): [f"{FQDN}."],
        (PTR6, "PTR"): [f"{FQDN}."],
        (BOUNCES, "MX"): [f"10 {FQDN}."],
        (BOUNCES, "TXT"): [SPF],
        (DOMAIN, "MX"): [f"10 mail.{DOMAIN}."],
        (DOMAIN, "TXT"): ["site-verification=1", f"v=spf1 ip4:{V4} include:_spf.third.example ~all"],
        (WWW, "A"): ["192.0.2.80"],
        ("_spf.third.example", "TXT"): [f"v=spf1 ip6:{V6}/128 ?all"],
        (KEY_NAME, "TXT"): [key],
        (f"_dmarc.{DOMAIN}", "TXT"): ["v=DMARC1; p=none; rua=mailto:dmarc@third.example"],
        (f"{DOMAIN}._report._dmarc.third.example", "TXT"): ["v=DMARC1"],
        (RETURN, "MX"): [f"10 {FQDN}."],
        (RETURN, "TXT"): [SPF],
    }


def subjects(ports: Sequence[tuple[int, bool]], key: str = "") -> list[Subject]:
    """Return the server's own name and the domain; `key`, the digest of the domain's, if it is another one."""
    server = Server(FQDN, (V4, V6), (V4,), BOUNCES, (ISSUER,), tuple(ports))
    own = digest(public_key())
    return [Subject(FQDN, server, SELECTOR, own), Subject(DOMAIN, server, SELECTOR, key or own, RETURN)]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what stands in place of the good records, which check says so, and what hangs on it."""

    name: str
    changes: Records
    check: str
    subject: str = DOMAIN
    verdict: str = "fail"
    unknown: tuple[str, ...] = ()
    key: str = ""  # the digest that the server tells, where it is another one
    says: str = ""  # part of the evidence

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def expected(self) -> dict[tuple[str, str], str]:
        """What does not pass, by subject and check."""
        return {(self.subject, self.check): self.verdict} | {(self.subject, check): "unknown" for check in self.unknown}


@dataclass(frozen=True)
class Shown:
    """One thing that is wrong with what a listener shows: (days left, name) of its certificate, None for no TLS."""

    name: str
    check: str
    days: int = 90
    of: str = FQDN
    tls: bool = True
    verdict: str = "fail"
    unknown: tuple[str, ...] = ()
    says: str = field(default="")

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


OF_PTR = ("ptr.confirmed", "ptr.name", "ptr.own")
OF_SPF = ("spf.syntax", "spf.lookups", "spf.authorised", "spf.ending")
OF_DKIM = ("dkim.key", "dkim.match", "dkim.size", "dkim.testing")
OF_DMARC = ("dmarc.record", "dmarc.syntax", "dmarc.alignment", "dmarc.reports")


def _spf(record: str, *more: str) -> Records:
    return {(DOMAIN, "TXT"): [record, *more]}


def _key(text: str) -> Records:
    return {(KEY_NAME, "TXT"): [text]}


def _dmarc(*texts: str) -> Records:
    return {(f"_dmarc.{DOMAIN}", "TXT"): texts}


def faults() -> list[Fault]:
    """Return what can be wrong in the DNS."""
    key, small = public_key(), public_key(1024)
    mine = f"ip4:{V4} ip6:{V6}"
    return [
        Fault("no PTR record", {(PTR4, "PTR"): []}, "ptr.present", FQDN, unknown=OF_PTR, says=f"{V4} PTR: nothing"),
        Fault("no PTR record of IPv6", {(PTR6, "PTR"): []}, "ptr.present", FQDN, unknown=OF_PTR, says=f"{V6} PTR"),
        Fault(
            "PTR to a name that leads nowhere",
            {(PTR4, "PTR"): ["old.yard.example."]},
            "ptr.confirmed",
            FQDN,
            unknown=OF_PTR[1:],
            says="old.yard.example A: nothing",
        ),
        Fault(
            "PTR to another name of the address",
            {(PTR4, "PTR"): ["other.yard.example."], ("other.yard.example", "A"): [V4]},
            "ptr.name",
            FQDN,
            "warn",
            says=f"not {FQDN}",
        ),
        Fault(
            "two PTR records",
            {(PTR4, "PTR"): [f"{FQDN}.", "other.yard.example."], ("other.yard.example", "A"): [V4]},
            "ptr.name",
            FQDN,
            "warn",
        ),
        Fault("the name leads elsewhere", {(FQDN, "A"): ["192.0.2.1"]}, "name.addresses", FQDN, unknown=OF_PTR),
        Fault("the name leads elsewhere too", {(FQDN, "A"): [V4, "192.0.2.1"]}, "name.addresses", FQDN, "warn"),
        Fault("no MX of the bounce domain", {(BOUNCES, "MX"): []}, "bounces.mx", FQDN),
        Fault("MX of the bounce domain elsewhere", {(BOUNCES, "MX"): ["10 mail.acme.example."]}, "bounces.mx", FQDN),
        Fault("no MX of the return path", {(RETURN, "MX"): []}, "return_path.mx"),
        Fault("no SPF of the bounce domain", {(BOUNCES, "TXT"): []}, "spf.bounces", FQDN, says="none"),
        Fault("no SPF of the return path", {(RETURN, "TXT"): ["hello"]}, "spf.return_path", says="none"),
        Fault("return path without IPv6", {(RETURN, "TXT"): [f"v=spf1 ip4:{V4} -all"]}, "spf.return_path", says=V6),
        Fault("no SPF", _spf("site-verification=1"), "spf.record", unknown=OF_SPF),
        Fault("two SPF records", _spf(f"v=spf1 {mine} -all", "v=spf1 mx ~all"), "spf.record", unknown=OF_SPF),
        Fault("a term that is none", _spf(f"v=spf1 {mine} ip5:x -all"), "spf.syntax", unknown=OF_SPF[1:], says="ip5:x"),
        Fault("11 look-ups", _spf(f"v=spf1 {mine}{f' a:{WWW}' * 11} -all"), "spf.lookups",
              unknown=("spf.authorised",), says="needs 11 DNS look-ups"),
        Fault("look-ups that find nothing", _spf(f"v=spf1 {mine} a:x.{DOMAIN} a:y.{DOMAIN} mx:{WWW} -all"),
              "spf.lookups", unknown=("spf.authorised",), says="find nothing"),
        Fault("an include of nothing", _spf(f"v=spf1 {mine} include:{WWW} -all"), "spf.lookups",
              unknown=("spf.authorised",), says=WWW),
        Fault("SPF without one address", _spf(f"v=spf1 ip4:{V4} -all"), "spf.authorised", says=f"{V6} as postmaster"),
        Fault("SPF that refuses one address", _spf(f"v=spf1 -ip6:{V6} {mine} -all"), "spf.authorised", says="fail"),
        Fault("SPF that refuses by an include", {("_spf.third.example", "TXT"): [f"v=spf1 -ip6:{V6} ?all"]},
              "spf.authorised", says="softfail"),
        Fault("SPF that lets everybody", _spf(f"v=spf1 {mine} +all"), "spf.ending", verdict="warn"),
        Fault("SPF without an end", _spf(f"v=spf1 {mine}"), "spf.ending", verdict="warn"),
        Fault("no DKIM record", {(KEY_NAME, "TXT"): []}, "dkim.record", unknown=OF_DKIM),
        Fault("two DKIM records", {(KEY_NAME, "TXT"): [f"v=DKIM1; p={key}", f"v=DKIM1; p={small}"]}, "dkim.record",
              unknown=OF_DKIM),
        Fault("a revoked key", _key("v=DKIM1; k=rsa; p="), "dkim.key", unknown=("dkim.match", "dkim.size"),
              says="revoked"),
        Fault("a key that was cut short", _key(f"v=DKIM1; k=rsa; p={key[:200]}"), "dkim.key",
              unknown=("dkim.match", "dkim.size")),
        Fault("something else at the selector", _key("hello"), "dkim.key", unknown=("dkim.match", "dkim.size")),
        Fault("a key of 1024 bits", _key(f"v=DKIM1; k=rsa; p={small}"), "dkim.size", verdict="warn", key=digest(small)),
        Fault("another key", _key(f"v=DKIM1; k=rsa; p={public_key(number=1)}"), "dkim.match", says="signs with"),
        Fault("a key in testing", _key(f"v=DKIM1; t=s:y; p={key}"), "dkim.testing", verdict="warn"),
        Fault("no DMARC", _dmarc(), "dmarc.record", unknown=OF_DMARC[1:]),
        Fault("two DMARC records", _dmarc("v=DMARC1; p=none", "v=DMARC1; p=reject"), "dmarc.single", unknown=OF_DMARC),
        Fault("two DMARC records above", {("_dmarc.example", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
              (f"_dmarc.{FQDN}", "TXT"): ["v=DMARC1; p=reject; psd=n"], (f"_dmarc.{RETURN}", "TXT"): [
              "v=DMARC1; p=none; psd=u"]}, "dmarc.single", unknown=OF_DMARC),
        Fault("no such policy", _dmarc("v=DMARC1; p=refuse"), "dmarc.syntax", unknown=OF_DMARC[2:], says="p=refuse"),
        Fault("no policy", _dmarc("v=DMARC1; sp=none"), "dmarc.syntax", unknown=OF_DMARC[2:], says="no p="),
        Fault("a tag that was removed", _dmarc("v=DMARC1; p=none; pct=50"), "dmarc.syntax", verdict="warn", says="pct"),
        Fault("an alignment that there is not", _dmarc("v=DMARC1; p=none; aspf=x"), "dmarc.syntax", verdict="warn",
              says="aspf=x"),
        Fault("a key that is not for mail", _key(f"v=DKIM1; s=tlsrpt; p={key}"), "dkim.key",
              unknown=("dkim.match", "dkim.size"), says="s=tlsrpt"),
        Fault("a key for sha1", _key(f"v=DKIM1; h=sha1; p={key}"), "dkim.key", unknown=("dkim.match", "dkim.size")),
        Fault("strict alignment", _dmarc("v=DMARC1; p=none; aspf=s"), "dmarc.alignment", verdict="warn", says="aspf=s"),
        Fault("another organisation's return path", {(f"_dmarc.{RETURN}", "TXT"): ["v=DMARC1; p=none; psd=n"]},
              "dmarc.alignment", verdict="warn"),
        Fault("reports to who does not take them", {(f"{DOMAIN}._report._dmarc.third.example", "TXT"): []},
              "dmarc.reports", verdict="warn", says="_report._dmarc.third.example TXT: nothing"),
        Fault("null MX", {(DOMAIN, "MX"): ["0 ."]}, "mx.null"),
        Fault("no MX", {(DOMAIN, "MX"): []}, "mx.present", verdict="warn"),
        Fault("CAA of another authority", {(FQDN, "CAA"): ['0 issue "other.example"']}, "tls.caa", FQDN),
        Fault("CAA of another authority above", {(FQDN, "CAA"): [], ("yard.example", "CAA"): ['0 issue ";"']},
              "tls.caa", FQDN, says="yard.example CAA"),
        Fault("TLSA of another key", {(f"_25._tcp.{FQDN}", "TLSA"): [f"3 1 1 {'ab' * 32}"]}, "tls.tlsa", FQDN,
              says="serve the key 3 1 1"),
    ]  # fmt: skip


SHOWN = [
    Shown("an expired certificate", "tls.days", days=-1, says="valid until"),
    Shown("a certificate that ends soon", "tls.days", days=10, verdict="warn"),
    Shown("a certificate of another name", "tls.names", of="other.example", says="other.example, not"),
    Shown("no TLS", "tls.served", tls=False, unknown=("tls.names", "tls.days", "tls.tlsa"), says="454"),
]
