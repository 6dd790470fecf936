#!/usr/bin/python3
# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The receiver's judgement: what the big receivers ask of a bulk sender, as a milter behind Postfix.

It shares no code with what it judges. Every message gets one Authentication-Results header (RFC 8601); the listener
called "strict" also rejects, in the order in which the checks stand in `refusal`.
"""

from __future__ import annotations

import email.utils
import re
import sys
import threading
from dataclasses import dataclass, field

import dkim
import dns.exception
import dns.resolver
import dns.reversename
import Milter
import spf

AUTHSERV_ID = "mx.rx.example"
STRICT = "strict"  # {daemon_name} of the listener that rejects
SOCKET = "inet:8891@127.0.0.1"
LOOKUP_SECONDS = 5.0
SMALLEST_RSA_KEY = 1024  # bits; RFC 8301 section 3.2
TREE_WALK_QUERIES = 8  # RFC 9989 section 4.10


class LookupFailed(Exception):
    """A name server did not answer: neither a pass nor a fail, the sender is to try again."""


def lookup(name: str, kind: str) -> list[str]:
    """Return the data of a record set as text; an empty list where name or type does not exist.

    TXT comes with its character-strings joined (RFC 7208 section 3.3).
    """
    try:
        answer = dns.resolver.resolve(name, kind, lifetime=LOOKUP_SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{name} {kind}: {error}") from error
    if kind == "TXT":
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
    return [record.to_text().rstrip(".").lower() for record in answer]


# -- each check gives one of these -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signature:
    """One DKIM-Signature and whether it verifies (RFC 6376)."""

    domain: str
    selector: str
    algorithm: str
    start: str  # the first characters of b=, which tell signatures apart
    result: str  # pass, fail, temperror


@dataclass(frozen=True)
class Dmarc:
    """DMARC (RFC 9989): "pass", "fail" or "none", and the domain that From: names."""

    result: str
    domain: str
    policy: str = ""


@dataclass(frozen=True)
class Verdict:
    """Everything that was found out about one message."""

    reverse: str  # "pass", "none" (no PTR) or "fail" (its name does not have the address)
    encrypted: bool
    spf: str
    spf_domain: str
    signatures: tuple[Signature, ...]
    dmarc: Dmarc


def check_reverse(address: str) -> str:
    """Whether the address has a PTR whose name has the address: what RFC 8601 section 2.7.3 calls iprev."""
    names = lookup(dns.reversename.from_address(address).to_text(), "PTR")
    if not names:
        return "none"
    kind = "AAAA" if ":" in address else "A"
    return "pass" if any(address in lookup(name, kind) for name in names) else "fail"


def check_signatures(message: bytes) -> tuple[Signature, ...]:
    """Verify every DKIM signature of a message."""
    verifier = dkim.DKIM(message, minkey=SMALLEST_RSA_KEY)
    values = [value for name, value in verifier.headers if name.lower() == b"dkim-signature"]
    return tuple(_check_signature(message, index, value) for index, value in enumerate(values))


def _check_signature(message: bytes, index: int, value: bytes) -> Signature:
    """Verify the DKIM signature with this index, counted from the top."""
    text = re.sub(r"\s+", "", value.decode("ascii", "replace"))
    tags = dict(tag.split("=", 1) for tag in text.split(";") if "=" in tag)
    try:
        good = dkim.DKIM(message, minkey=SMALLEST_RSA_KEY).verify(idx=index, dnsfunc=_dkim_key)
        result = "pass" if good else "fail"
    except LookupFailed:
        result = "temperror"
    except Exception as error:  # dkimpy raises a dozen types for what a sender may write
        print(f"signature {index}: {type(error).__name__}: {error}", file=sys.stderr)
        result = "fail"
    return Signature(
        tags.get("d", "").lower(), tags.get("s", ""), tags.get("a", ""), tags.get("b", "")[:8].ljust(8, "="), result
    )


def _dkim_key(name: bytes, timeout: float = LOOKUP_SECONDS) -> bytes | None:
    """Look up a key record for dkimpy."""
    del timeout
    records = lookup(name.decode("ascii", "replace").rstrip("."), "TXT")
    return records[0].encode() if records else None


def dmarc_record(domain: str) -> dict[str, str] | None:
    """The tags of the DMARC record at one name, or None where there is not exactly one."""
    found = [text for text in lookup(f"_dmarc.{domain}", "TXT") if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]
    if len(found) != 1:
        return None
    pairs = (tag.split("=", 1) for tag in found[0].split(";") if "=" in tag)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def tree_walk(domain: str) -> list[tuple[str, dict[str, str]]]:
    """The DMARC records on the way from `domain` to the top level, the longest name first (RFC 9989 section 4.10)."""
    labels = domain.split(".")
    names = [domain] + [".".join(labels[start:]) for start in range(1, len(labels))]
    if len(names) > TREE_WALK_QUERIES:
        names = [domain, *names[len(names) - TREE_WALK_QUERIES + 1 :]]
    records = []
    for name in names:
        record = dmarc_record(name)
        if record is not None:
            records.append((name, record))
            if record.get("psd") in ("y", "n"):
                break
    return records


def organizational_domain(domain: str) -> str:
    """The domain that decides what is aligned in relaxed mode (RFC 9989 section 4.10.2)."""
    records = tree_walk(domain)
    if not records:
        return domain
    name, record = records[-1]
    if record.get("psd") == "y" and name != domain:
        return ".".join(domain.split(".")[-(name.count(".") + 2) :])
    return name


def check_dmarc(from_domain: str, spf_pass: str, dkim_passes: list[str]) -> Dmarc:
    """Compare the From: domain with the authenticated ones; `spf_pass` is empty where SPF did not pass."""
    if not from_domain:
        return Dmarc("permerror", "")
    # The author domain's own record applies, else that of its organizational domain (RFC 9989 section 4.10.1).
    record = dmarc_record(from_domain) or dict(tree_walk(from_domain)).get(organizational_domain(from_domain))
    if record is None:
        return Dmarc("none", from_domain)

    def aligned(domain: str, mode: str) -> bool:
        if mode == "s":
            return domain == from_domain
        return organizational_domain(domain) == organizational_domain(from_domain)

    good = bool(spf_pass) and aligned(spf_pass, record.get("aspf", "r"))
    good = good or any(aligned(domain, record.get("adkim", "r")) for domain in dkim_passes)
    return Dmarc("pass" if good else "fail", from_domain, record.get("p", ""))


def from_domain(values: list[str]) -> str:
    """The one domain that From: names; empty where there is not exactly one field with one address."""
    if len(values) != 1:
        return ""
    addresses = email.utils.getaddresses([re.sub(r"\r?\n", "", values[0])])
    if len(addresses) != 1 or addresses[0][1].count("@") != 1:
        return ""
    return addresses[0][1].rpartition("@")[2].strip().rstrip(".").lower()


# -- what follows from them ------------------------------------------------------------------------------------------


def refusal(verdict: Verdict) -> tuple[str, str] | None:
    """Enhanced status code and text for the first thing that is wrong, or None."""
    signed = "its signature does not verify" if verdict.signatures else "it is not signed"
    checks = (
        (verdict.reverse != "none", "5.7.25", "The IP address sending this message does not have a PTR record"),
        (
            verdict.reverse == "pass",
            "5.7.25",
            "The PTR record of the sending IP names a host without this address",
        ),
        (verdict.encrypted, "5.7.29", "This message was not sent over a TLS connection"),
        (
            verdict.spf == "pass",
            "5.7.27",
            f"SPF of {verdict.spf_domain} gives {verdict.spf} for this IP address",
        ),
        (
            any(signature.result == "pass" for signature in verdict.signatures),
            "5.7.30",
            f"DKIM authentication did not pass: {signed}",
        ),
        (verdict.dmarc.domain != "", "5.7.1", "The message does not have exactly one address in one From: header"),
        (verdict.dmarc.result != "none", "5.7.31", f"{verdict.dmarc.domain}, the domain of From:, has no DMARC record"),
        (verdict.dmarc.result == "pass", "5.7.32", "From: is aligned with neither the SPF nor a DKIM domain"),
    )
    return next(((status, text) for good, status, text in checks if not good), None)


def authentication_results(verdict: Verdict, sender: str, address: str) -> str:
    """The header's value (RFC 8601 section 2.2), from the space behind the colon on."""
    parts = [f"iprev={verdict.reverse if verdict.reverse == 'pass' else 'fail'} policy.iprev={address}"]
    identity = f"smtp.mailfrom={sender}" if sender else f"smtp.helo={verdict.spf_domain}"
    parts.append(f"spf={verdict.spf} {identity}")
    parts += [
        f"dkim={one.result} header.d={one.domain} header.s={one.selector} header.a={one.algorithm}"
        f' header.b="{one.start}"'
        for one in verdict.signatures
    ] or ["dkim=none"]
    policy = f" policy.published-domain-policy={verdict.dmarc.policy}" if verdict.dmarc.policy else ""
    parts.append(f"dmarc={verdict.dmarc.result} header.from={verdict.dmarc.domain or 'invalid'}{policy}")
    return f" {AUTHSERV_ID};\n\t" + ";\n\t".join(parts)


@dataclass
class Transaction:
    """One message while it arrives."""

    sender: str = ""
    lines: list[bytes] = field(default_factory=list)  # header fields as they came, then the body's pieces
    from_values: list[str] = field(default_factory=list)
    forged: list[int] = field(default_factory=list)  # positions, from 1, of Authentication-Results in our name
    results_seen: int = 0


class Policy(Milter.Base):
    """The milter: collects a message, judges it at its end."""

    def __init__(self) -> None:
        self.address = ""
        self.helo = ""
        self.transaction = Transaction()

    @Milter.noreply
    def connect(self, name: str, family: int, address: object) -> int:
        """A client has connected; its address is all that counts."""
        del name, family
        self.address = str(address[0]) if isinstance(address, tuple) else "127.0.0.1"
        return Milter.CONTINUE

    @Milter.noreply
    def hello(self, name: str) -> int:
        """HELO or EHLO."""
        self.helo = name
        return Milter.CONTINUE

    @Milter.noreply
    def envfrom(self, sender: str, *parameters: str) -> int:
        """A new message begins."""
        del parameters
        self.transaction = Transaction(sender=sender.strip("<>"))
        return Milter.CONTINUE

    @Milter.noreply
    @Milter.decode("bytes")
    def header(self, name: str, value: bytes) -> int:
        """One header field; its value comes with the white space that stood in front."""
        transaction = self.transaction
        content = re.sub(rb"\r?\n", b"\r\n", value)
        transaction.lines.append(name.encode("ascii", "surrogateescape") + b":" + content + b"\r\n")
        if name.lower() == "from":
            transaction.from_values.append(value.decode("utf-8", "replace"))
        if name.lower() == "authentication-results":
            transaction.results_seen += 1
            if value.split(b";")[0].strip().lower().startswith(AUTHSERV_ID.encode()):
                transaction.forged.append(transaction.results_seen)
        return Milter.CONTINUE

    @Milter.noreply
    def eoh(self) -> int:
        """The header is complete."""
        self.transaction.lines.append(b"\r\n")
        return Milter.CONTINUE

    @Milter.noreply
    def body(self, chunk: bytes) -> int:
        """A piece of the body."""
        self.transaction.lines.append(chunk)
        return Milter.CONTINUE

    def eom(self) -> int:
        """Judge, mark and, on the strict listener, refuse."""
        try:
            verdict = self._judge()
        except LookupFailed as error:
            self.setreply("451", "4.7.0", f"DNS look-up failed: {str(error)[:200]}".replace("%", "%%"))
            return Milter.TEMPFAIL
        for position in reversed(self.transaction.forged):
            self.chgheader("Authentication-Results", position, None)
        results = authentication_results(verdict, self.transaction.sender, self.address)
        self.addheader("Authentication-Results", results, 0)
        refused = refusal(verdict) if self.getsymval("{daemon_name}") == STRICT else None
        if refused is None:
            return Milter.ACCEPT
        self.setreply("550", refused[0], refused[1].replace("%", "%%"))
        return Milter.REJECT

    def _judge(self) -> Verdict:
        """Run every check, so that the header is complete whatever comes of it."""
        transaction = self.transaction
        # A bounce has no sender: its HELO name is checked (RFC 7208 section 2.4).
        spf_domain = (transaction.sender.rpartition("@")[2] or self.helo).lower()
        result, _ = spf.check2(i=self.address, s=transaction.sender, h=self.helo, timeout=LOOKUP_SECONDS)
        signatures = check_signatures(b"".join(transaction.lines))
        if result == "temperror" or any(signature.result == "temperror" for signature in signatures):
            raise LookupFailed(f"SPF or DKIM of {spf_domain}")
        passed = [signature.domain for signature in signatures if signature.result == "pass"]
        return Verdict(
            reverse=check_reverse(self.address),
            encrypted=bool(self.getsymval("{tls_version}")),
            spf=result,
            spf_domain=spf_domain,
            signatures=signatures,
            dmarc=check_dmarc(from_domain(transaction.from_values), spf_domain if result == "pass" else "", passed),
        )


def main() -> None:
    """Serve Postfix until stopped."""
    threading.stack_size(512 * 1024)
    Milter.factory = Milter.header_leading_space(Policy)
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS)
    Milter.runmilter("rx-policy", SOCKET, timeout=120)


if __name__ == "__main__":
    main()
