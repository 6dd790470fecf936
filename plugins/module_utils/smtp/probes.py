# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sending server must do, and what it must refuse, each tried in a session of its own from outside.

`PROBES` is the table: a check of the scorecard, the listeners it is tried on, and a function that tries it at one
address and port. A function returns a `Finding`; where the session breaks instead, the table's `breaks` says what
that means. A refusal counts only with its reply: a server that merely hangs up has proven nothing.

A password travels only over TLS whose certificate was verified; sessions without one do not verify, so that a bad
certificate is told once and does not hide the rest.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

from ..scorecard import Outcome, Verdict
from . import client_hello
from .session import LISTENERS, Endpoint, Listener, Reply, Session, SmtpError, session, tls_context

# A server that refuses, but only for now, makes clients try for days.
REFUSED_FOR_NOW = "refused only for now, with {reply}: clients would try again for days"


@dataclass(frozen=True)
class Login:
    """A login and the one address that it may send from."""

    username: str
    password: str = field(repr=False)
    sender: str


@dataclass(frozen=True)
class Target:
    """The server to prove and what is needed for it.

    Args:
        fqdn: its name: banner, EHLO, certificate, and the domain of its own mail.
        addresses: IPv4 and IPv6, as text, that it is reached by.
        login: may send for the server's own domain.
        recipient: a mailbox elsewhere that expects our mail; nothing is sent to it here, since relaying to it must
            fail.
        canary: a mailbox on the server that takes the messages which only prove that they are taken.
        foreign_domain: a domain that `login` does not own, best one that this server signs for.
        bounce_domain: where the server takes bounces.
        ca_file: PEM of the roots to trust; None for the system's.
        other_25: hosts elsewhere whose port 25 surely answers: if they do not either, it is the controller that is
            blocked.
    """

    fqdn: str
    addresses: tuple[str, ...]
    login: Login
    recipient: str
    canary: str
    foreign_domain: str
    bounce_domain: str
    ca_file: str | None = None
    other_25: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = LISTENERS
    timeout: float = 20.0  # seconds for one reply
    helo: str = "prover.invalid"  # no name of anyone's (RFC 2606)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(self.fqdn, address, listener) for address in self.addresses for listener in self.listeners
        )

    def session(
        self, endpoint: Endpoint, *, verify: bool = False, banner: bool = True
    ) -> AbstractContextManager[Session]:
        """Connect to `endpoint`; nothing is said yet, but the banner was read (unless not `banner`)."""
        return session(
            endpoint,
            tls_context(ca_file=self.ca_file, verify=verify),
            timeout=self.timeout,
            banner=banner,
        )

    def secure(self, opened: Session) -> None:
        """Greet, turn a session in clear into TLS, and greet again.

        Raises:
            SmtpError: the server does not greet back, or does not begin TLS.
        """
        _require(opened.ehlo(self.helo), opened, "EHLO")
        if opened.tls is None:
            opened.start_tls()
            _require(opened.ehlo(self.helo), opened, "EHLO after STARTTLS")

    def log_in(self, opened: Session, login: Login | None = None) -> None:
        """`secure`, then AUTH PLAIN with `login`, or the target's own.

        Raises:
            SmtpError: the login was refused, or was not tried, since nobody knows who would have read the password.
        """
        self.secure(opened)
        if opened.tls is None or not opened.tls.verified:
            raise SmtpError(
                f"{opened.endpoint}: no password is sent where the certificate was not verified", kind="certificate"
            )
        used = login or self.login
        _require(opened.login_plain(used.username, used.password), opened, "AUTH PLAIN")


@dataclass(frozen=True)
class Finding:
    """What a probe found at one endpoint."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class Probe:
    """One row of the table: `breaks` is the verdict where the session ends before the probe has its answer.

    `at` says how many places of each listener are tried: every "address" where the address itself matters, one of each
    address "family" (the default), or one of the "host" where the same process answers behind all of them.
    """

    check: str
    listeners: Callable[[Listener], bool]
    run: Callable[[Target, Endpoint], Finding]
    breaks: Verdict = Verdict.UNKNOWN
    at: Literal["address", "family", "host"] = "family"


def _require(reply: Reply, opened: Session, what: str) -> None:
    """Raise SmtpError where `what` was not accepted."""
    if not reply.positive:
        kind = "busy" if reply.code == 421 else "refused"
        raise SmtpError(f"{opened.endpoint}: {what} was answered with {reply}", kind=kind)


def passed(evidence: str) -> Finding:
    return Finding(Verdict.PASS, evidence)


def failed(evidence: str) -> Finding:
    return Finding(Verdict.FAIL, evidence)


def unknown(evidence: str) -> Finding:
    return Finding(Verdict.UNKNOWN, evidence)


def refused(reply: Reply, what: str, *, codes: Sequence[int] = ()) -> Finding:
    """Judge `reply` to something that must be refused for good, with one of `codes` where some are given."""
    if reply.code == 421:
        return unknown(f"{what}: the server put us off with {reply}")
    if reply.positive:
        return failed(f"{what} was accepted: {reply}")
    if not reply.permanent:
        return failed(f"{what}: " + REFUSED_FOR_NOW.format(reply=reply))
    if codes and reply.code not in codes:
        return failed(f"{what}: expected {' or '.join(map(str, codes))}, got {reply}")
    return passed(f"{what}: {reply}")


def message(sender: str, recipient: str, *, token: str, header_from: str | None = None) -> bytes:
    """A short message that a person who finds it understands. `token` is in subject and body."""
    lines = (
        f"From: {header_from or sender}",
        f"To: {recipient}",
        f"Subject: Sendyard proves its delivery ({token})",
        f"Date: {email.utils.formatdate(localtime=False)}",
        f"Message-ID: <{token}@{sender.rpartition('@')[2]}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        "This message proves that the sending server works. Nobody needs to answer it.",
        f"token: {token}",
        "",
    )
    return "\r\n".join(lines).encode()


def submit(opened: Session, sender: str, recipient: str, content: bytes) -> Reply:
    """Send `content` in one transaction; returns the reply to the message.

    Raises:
        SmtpError: sender, recipient or message was not accepted.
    """
    _require(opened.command(f"MAIL FROM:<{sender}> SIZE={len(content)}"), opened, f"MAIL FROM:<{sender}>")
    _require(opened.command(f"RCPT TO:<{recipient}>"), opened, f"RCPT TO:<{recipient}>")
    reply = opened.data(content)
    _require(reply, opened, "the message")
    return reply


def new_token() -> str:
    """A word that no other message holds."""
    return f"syp{secrets.token_hex(10)}"


# --- what must work ---------------------------------------------------------------------------------------------


def greeting(target: Target, endpoint: Endpoint) -> Finding:
    with target.session(endpoint) as opened:
        banner = opened.banner
        reply = opened.ehlo(target.helo)
    for what, said in (("banner", banner), ("EHLO reply", reply)):
        if said is None or not said.positive:
            return failed(f"{what}: {said}")
        first = said.lines[0].split(maxsplit=1)[0] if said.lines[0] else ""
        if first.lower() != target.fqdn:
            return failed(f"{what} says {first or 'nothing'}, expected {target.fqdn}")
    return passed(f"{banner}")


def starttls(target: Target, endpoint: Endpoint) -> Finding:
    with target.session(endpoint) as opened:
        opened.ehlo(target.helo)
        if "STARTTLS" not in opened.extensions:
            return failed("EHLO offers no STARTTLS")
        target.secure(opened)
        return passed(f"{opened.tls.version} {opened.tls.cipher}" if opened.tls else "")


def certificate(target: Target, endpoint: Endpoint) -> Finding:
    """Chain and name are checked by the handshake itself."""
    try:
        with target.session(endpoint, verify=True) as opened:
            target.secure(opened)
            facts = opened.tls
    except SmtpError as error:
        if error.kind == "certificate":
            return failed(str(error))
        raise
    if facts is None or facts.not_after is None:
        return unknown("the TLS library said nothing about the certificate")
    left = facts.not_after - dt.datetime.now(dt.UTC)
    return passed(f"{', '.join(facts.names)}, valid until {facts.not_after:%Y-%m-%d} ({left.days} days)")


def submission(target: Target, endpoint: Endpoint) -> Finding:
    """A message to the server's own canary mailbox: gate, signer and queue said yes."""
    sender = target.login.sender
    with target.session(endpoint, verify=True) as opened:
        target.log_in(opened)
        mechanism = opened.extensions.get("AUTH", "")
        if "LOGIN" not in mechanism.upper().split():
            return failed(f"AUTH offers {mechanism or 'nothing'}; clients need PLAIN and LOGIN")
        reply = submit(opened, sender, target.canary, message(sender, target.canary, token=new_token()))
    return passed(str(reply))


def recipients_accepted(*local_parts: str, bounces: bool = False) -> Callable[[Target, Endpoint], Finding]:
    """A probe: 25 takes mail for these mailboxes of the server, from a stranger and from the null sender (RFC 5321
    4.5.5).
    """

    def probe(target: Target, endpoint: Endpoint) -> Finding:
        domain = target.bounce_domain if bounces else target.fqdn
        told = []
        with target.session(endpoint) as opened:
            opened.ehlo(target.helo)
            for local_part in local_parts:
                opened.command("MAIL FROM:<>")
                reply = opened.command(f"RCPT TO:<{local_part}@{domain}>")
                opened.command("RSET")
                if reply.code == 421:
                    return unknown(f"the server put us off with {reply}")
                if not reply.positive:
                    return failed(f"{local_part}@{domain}: {reply}")
                told.append(f"{local_part}@{domain}")
        return passed(f"taken: {', '.join(told)}")

    return probe


# --- what must be refused ---------------------------------------------------------------------------------------


def vrfy(target: Target, endpoint: Endpoint) -> Finding:
    """A mailbox that exists and one that does not get the same answer (252 says nothing: RFC 5321 section 3.5.3)."""
    with target.session(endpoint) as opened:
        opened.ehlo(target.helo)
        there = opened.command("VRFY postmaster")
        nowhere = opened.command(f"VRFY {new_token()}")
    if there.code == nowhere.code and there.code != 250:
        return passed(f"VRFY: {there}")
    return failed(f"VRFY tells who is there: {there}; and of a name that nobody has: {nowhere}")


def clear_auth(target: Target, endpoint: Endpoint) -> Finding:
    """AUTH in clear. The credentials are made up: real ones do not travel in clear, not even to prove that they are
    refused.

    A server that looks at them at all answers 535 or 334.
    """
    with target.session(endpoint) as opened:
        opened.ehlo(target.helo)
        if "AUTH" in opened.extensions:
            return failed(f"EHLO offers AUTH {opened.extensions['AUTH']} before TLS")
        reply = opened.login_plain(target.login.username, secrets.token_urlsafe(12))
        if reply.code in (334, 535):
            return failed(f"AUTH in clear was tried, not refused: {reply}")
        finding = refused(reply, "AUTH in clear")
        if finding.verdict is not Verdict.PASS or endpoint.listener.submission:
            return finding
        target.secure(opened)
        if "AUTH" in opened.extensions:
            return failed(f"25 offers AUTH {opened.extensions['AUTH']} after STARTTLS")
    return finding


def wrong_password(target: Target, endpoint: Endpoint) -> Finding:
    with target.session(endpoint) as opened:
        target.secure(opened)
        reply = opened.login_plain(target.login.username, secrets.token_urlsafe(12))
        return refused(reply, "a wrong password", codes=(535,))


def relay(target: Target, endpoint: Endpoint) -> Finding:
    """Nobody without a login: not as a stranger, as the server itself, from the null sender, or by old source
    routes.
    """
    user, domain = target.recipient.split("@")
    tries = (
        (f"prover@{target.foreign_domain}", target.recipient),
        (f"postmaster@{target.fqdn}", target.recipient),
        ("", target.recipient),
        (f"prover@{target.foreign_domain}", f"{user}%{domain}@{target.fqdn}"),
        (f"prover@{target.foreign_domain}", f'"{target.recipient}"@{target.fqdn}'),
        (f"prover@{target.foreign_domain}", f"@{target.fqdn}:{target.recipient}"),
    )
    for sender, recipient in tries:
        # A session for each: a server hangs up on a client that is refused too often.
        with target.session(endpoint) as opened:
            target.secure(opened)
            reply = opened.command(f"MAIL FROM:<{sender}>")
            if reply.positive:
                reply = opened.command(f"RCPT TO:<{recipient}>")
        finding = refused(reply, f"<{sender}> to <{recipient}> without a login")
        if finding.verdict is not Verdict.PASS:
            return finding
    return passed(f"{len(tries)} ways tried without a login, the last: {reply}")


def foreign_envelope(target: Target, endpoint: Endpoint) -> Finding:
    return _refused_sender(target, endpoint, f"prover@{target.foreign_domain}", "another domain's envelope sender")


def null_sender(target: Target, endpoint: Endpoint) -> Finding:
    return _refused_sender(target, endpoint, "", "the null sender from a login")


def _refused_sender(target: Target, endpoint: Endpoint, sender: str, what: str) -> Finding:
    """Postfix refuses a sender at MAIL or, with smtpd_delay_reject, at RCPT. No message is sent either way."""
    with target.session(endpoint, verify=True) as opened:
        target.log_in(opened)
        reply = opened.command(f"MAIL FROM:<{sender}>")
        if reply.positive:
            reply = opened.command(f"RCPT TO:<{target.canary}>")
    return refused(reply, what)


def foreign_header(target: Target, endpoint: Endpoint) -> Finding:
    """The login's own envelope with another domain's From:. It goes to the canary, so that a failure spoofs nobody's
    mail.
    """
    sender = target.login.sender
    with target.session(endpoint, verify=True) as opened:
        target.log_in(opened)
        _require(opened.command(f"MAIL FROM:<{sender}>"), opened, "MAIL")
        _require(opened.command(f"RCPT TO:<{target.canary}>"), opened, "RCPT")
        foreign = f"prover@{target.foreign_domain}"
        reply = opened.data(message(sender, target.canary, token=new_token(), header_from=foreign))
    return refused(reply, f"From: {foreign}", codes=(550,))


def old_tls(target: Target, endpoint: Endpoint) -> Finding:
    """SSL 3.0, TLS 1.0 and 1.1 by a raw ClientHello. The same bytes for TLS 1.2 must be taken, else nothing was
    proven.
    """
    answers = {version: _say_hello(target, endpoint, version) for version in client_hello.VERSIONS}
    taken = [version for version, answer in answers.items() if answer.accepted and version != "TLS 1.2"]
    if taken:
        return failed(f"accepted: {', '.join(taken)}")
    if not answers["TLS 1.2"].accepted:
        return unknown(f"the control failed: TLS 1.2, asked in the same way, got {answers['TLS 1.2']}")
    return passed("; ".join(f"{version}: {answer}" for version, answer in answers.items()))


def weak_suites(target: Target, endpoint: Endpoint) -> Finding:
    """A ClientHello that offers weak cipher suites only. The same bytes with good ones must be taken."""
    answer = _say_hello(target, endpoint, "TLS 1.2", client_hello.WEAK_CIPHER_SUITES)
    if answer.accepted:
        return failed(f"accepted: {answer}")
    control = _say_hello(target, endpoint, "TLS 1.2")
    if not control.accepted:
        return unknown(f"the control failed: TLS 1.2 with good cipher suites got {control}")
    return passed(f"{len(client_hello.WEAK_CIPHER_SUITES)} weak cipher suites: {answer}")


def _say_hello(
    target: Target, endpoint: Endpoint, version: str, suites: tuple[int, ...] = client_hello.CIPHER_SUITES
) -> client_hello.Answer:
    hello = client_hello.client_hello(version, target.fqdn, suites=suites)
    with target.session(endpoint, banner=not endpoint.listener.implicit_tls) as opened:
        if not endpoint.listener.implicit_tls:
            opened.ehlo(target.helo)
            opened.ask_for_tls()
        opened.send_raw(hello)
        opened.remark(f"ClientHello {version}")
        data = b""
        try:
            while client_hello.missing(data):
                more = opened.receive_raw()
                if not more:
                    break
                data += more
            answer = client_hello.parse_answer(data)
        except client_hello.HelloError as error:
            raise SmtpError(f"{endpoint}: to a ClientHello {version} came {error}", kind="protocol") from error
        opened.abandon()
        return answer


def injection(target: Target, endpoint: Endpoint) -> Finding:
    """A command in the same packet as STARTTLS: an attacker on the line could put words into a client's mouth.

    Inside TLS the server must answer what was said inside it and nothing else: one reply to EHLO, one to QUIT.
    """
    with target.session(endpoint) as opened:
        opened.ehlo(target.helo)
        opened.remark("STARTTLS, RSET and VRFY in one packet")
        opened.send_raw(b"STARTTLS\r\nRSET\r\nVRFY injected\r\n")
        reply = opened.reply()
        if reply.code != 220:
            return refused(reply, "commands pipelined behind STARTTLS")
        opened.handshake()
        replies = [opened.ehlo(target.helo), *opened.last_replies()]
    if [answer.code for answer in replies] != [250, 221]:
        told = ", ".join(str(answer.code) for answer in replies)
        return failed(f"inside TLS EHLO and QUIT were sent, and {len(replies)} replies came: {told}")
    return passed("discarded: inside TLS only what was sent inside it was answered")


# The ends of data that some server somewhere takes for one, and others do not (CVE-2023-51764 and its kin). Bare CR
# goes in one message, since no server of ours stops at it; each bare LF needs a session of its own, since the first
# one ends it.
FALSE_ENDS: Sequence[tuple[str, tuple[bytes, ...]]] = (
    ("LF . CR LF", (b"\n.\r\n",)),
    ("LF . LF", (b"\n.\n",)),
    ("CR LF . LF", (b"\r\n.\n",)),
    ("CR . CR LF, CR . CR, CR LF . CR", (b"\r.\r\n", b"\r.\r", b"\r\n.\r")),
)


def smuggled(sender: str, recipient: str, token: str, ends: Sequence[bytes], outer: bytes) -> bytes:
    """`outer`, and behind each false end of data a second transaction to `recipient`, then the true end of data."""
    inner = message(sender, recipient, token=token)
    body = outer
    for end in ends:
        body += b"text" + end + f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode() + inner
    return body + b"\r\n.\r\n"


def smuggling(target: Target, endpoint: Endpoint) -> Finding:
    """One transaction with false ends of data in it: one reply to it, or a refusal; never replies to commands that
    were in it.

    The replies are counted up to the one to QUIT, so nothing depends on waiting. On 25 a stranger tries it towards
    postmaster.
    """
    told = []
    for name, ends in FALSE_ENDS:
        finding = _smuggle(target, endpoint, name, ends)
        if finding.verdict is not Verdict.PASS:
            return finding
        told.append(finding.evidence)
    return passed("; ".join(told))


def _smuggle(target: Target, endpoint: Endpoint, name: str, ends: Sequence[bytes]) -> Finding:
    submits = endpoint.listener.submission
    sender = target.login.sender if submits else f"prover@{target.foreign_domain}"
    with target.session(endpoint, verify=submits) as opened:
        if submits:
            target.log_in(opened)
        else:
            target.secure(opened)
        _require(opened.command(f"MAIL FROM:<{sender}>"), opened, "MAIL")
        _require(opened.command(f"RCPT TO:<{target.canary}>"), opened, "RCPT")
        outer = message(sender, target.canary, token=new_token())
        reply = opened.data_raw(
            smuggled(sender, target.canary, new_token(), ends, outer), shown=f"(message with the false ends {name})"
        )
        rest = [answer.code for answer in opened.last_replies()]
    if not reply.positive and not reply.permanent:
        return unknown(f"{name}: the server put us off with {reply}")
    if reply.permanent and rest in ([], [221]):
        return passed(f"{name}: {reply.code} {reply.enhanced}".rstrip())
    if reply.positive and rest == [221]:
        return passed(f"{name}: one message")
    return failed(f"{name}: the message got {reply}, then {rest or 'nothing'} came where 221 is due")


# --- the table --------------------------------------------------------------------------------------------------


def everywhere(listener: Listener) -> bool:
    return True


def in_clear(listener: Listener) -> bool:
    return not listener.implicit_tls


def for_clients(listener: Listener) -> bool:
    return listener.submission


def for_the_world(listener: Listener) -> bool:
    return not listener.submission


PROBES: Sequence[Probe] = (
    Probe("smtp.greeting", everywhere, greeting, breaks=Verdict.FAIL, at="address"),
    Probe("smtp.vrfy", for_the_world, vrfy),
    Probe("tls.starttls", in_clear, starttls, breaks=Verdict.FAIL),
    Probe("tls.certificate", everywhere, certificate, breaks=Verdict.FAIL, at="address"),
    Probe("tls.versions", everywhere, old_tls),
    Probe("tls.suites", everywhere, weak_suites),
    Probe("tls.injection", in_clear, injection),
    Probe("auth.clear", in_clear, clear_auth),
    Probe("auth.wrong_password", for_clients, wrong_password, at="host"),
    Probe("relay.refused", everywhere, relay),
    Probe("sender.envelope", for_clients, foreign_envelope),
    Probe("sender.header", for_clients, foreign_header),
    Probe("sender.null", for_clients, null_sender),
    Probe("smuggling.refused", everywhere, smuggling, at="host"),
    Probe("submit.accepted", for_clients, submission, breaks=Verdict.FAIL),
    Probe("mailbox.postmaster", for_the_world, recipients_accepted("postmaster", "abuse"), breaks=Verdict.FAIL),
    Probe("mailbox.bounces", for_the_world, recipients_accepted("prover", bounces=True), breaks=Verdict.FAIL),
)


def reach(target: Target, endpoint: Endpoint) -> Outcome:
    """Can the endpoint be connected to at all? If not, none of the probes says anything about it."""

    def outcome(verdict: Verdict, evidence: str) -> Outcome:
        return Outcome("smtp.reachable", verdict, target.fqdn, evidence, str(endpoint))

    try:
        with target.session(endpoint) as opened:
            return outcome(Verdict.PASS, str(opened.banner))
    except SmtpError as error:
        said = str(error)
        if error.kind == "busy":
            return outcome(Verdict.UNKNOWN, f"{said}: try again in some minutes")
        if error.kind == "unreachable":
            return outcome(Verdict.UNKNOWN, f"this controller has no way to {endpoint.address}: {said}")
        # A reply that is none, or TLS that fails, is the server's; silence and refusal may be those of a network on
        # the way.
        if endpoint.listener.port == 25 and error.kind in ("timeout", "refused") and not _any_25(target):
            tried = ", ".join(target.other_25) or "no other host to compare with"
            return outcome(
                Verdict.UNKNOWN, f"{said}; this controller reaches port 25 nowhere ({tried}): try from elsewhere"
            )
        return outcome(Verdict.FAIL, said)


def _any_25(target: Target) -> bool:
    """True if port 25 of any of the hosts that surely have it answers this controller."""
    for other in target.other_25:
        probe = Endpoint(other, other, Listener(25, submission=False))
        try:
            with session(probe, tls_context(verify=False), timeout=min(target.timeout, 10.0)):
                return True
        except SmtpError:
            continue
    return False


def try_probe(target: Target, probe: Probe, endpoint: Endpoint) -> Outcome:
    """Run one row of the table at one endpoint; whatever happens to the session becomes an outcome."""
    try:
        finding = probe.run(target, endpoint)
    except SmtpError as error:
        finding = Finding(Verdict.UNKNOWN if error.kind == "busy" else probe.breaks, str(error))
    return Outcome(probe.check, finding.verdict, target.fqdn, finding.evidence, str(endpoint))


def run(target: Target, *, probes: Sequence[Probe] = PROBES, at_once: int = 4) -> list[Outcome]:
    """Try everything everywhere, `at_once` sessions side by side, in the order of table, address and port.

    Where an endpoint cannot be reached, that is its only outcome.
    """
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        reached = list(pool.map(lambda endpoint: reach(target, endpoint), target.endpoints))
        open_ones = [
            endpoint
            for endpoint, outcome in zip(target.endpoints, reached, strict=True)
            if outcome.verdict is Verdict.PASS
        ]
        pairs = [(probe, endpoint) for probe in probes for endpoint in _places(probe, open_ones)]
        return reached + list(pool.map(lambda pair: try_probe(target, *pair), pairs))


def _places(probe: Probe, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Where `probe` is tried, of the `endpoints` that were reached: see `Probe.at`."""
    chosen: dict[object, Endpoint] = {}
    for endpoint in endpoints:
        if probe.listeners(endpoint.listener):
            part = {"address": endpoint.address, "family": ":" in endpoint.address, "host": None}[probe.at]
            chosen.setdefault((endpoint.listener, part), endpoint)
    return list(chosen.values())
