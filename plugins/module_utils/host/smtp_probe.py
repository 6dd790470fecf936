# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that a sending server must answer in one way only: what a listener offers, takes and refuses.

They run on the host against its own listeners, staged or live, so the certificate's name is not looked at (the run's
prove step does that from outside).
"""

from __future__ import annotations

import base64
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from .probe_logins import Login
from .subsystems.base import ProbeError

_TIMEOUT = 20.0  # seconds for one reply: longer than Dovecot's delay after a failure
_HELO = "[127.0.0.1]"
_WRONG_PASSWORD = "wrong-password-of-a-probe"  # noqa: S105  the same each time: Dovecot then does not count it again

Kind = Literal["mx", "submission", "submissions"]


@dataclass(frozen=True)
class Listener:
    """A port that the host serves: for the world's mail, with STARTTLS, or with TLS from the first byte (RFC 8314)."""

    port: int
    kind: Kind


def listener(port: int) -> Listener:
    """What stands behind `port`: 25 is the world's, 465 has implicit TLS, all others are submission with STARTTLS."""
    return Listener(port, {25: "mx", 465: "submissions"}.get(port, "submission"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Target:
    """Where a listener answers: its own address and port, or those of its staged twin."""

    listener: Listener
    host: str
    port: int


@dataclass(frozen=True)
class Expectation:
    """What the sessions expect. `staged`: of an instance beside the live one, whose map has `login.sender`."""

    fqdn: str
    recipient: str  # an address of this host, such as postmaster@fqdn
    login: Login
    staged: bool


def _text(code: int, message: bytes) -> str:
    """A reply as one line."""
    return f"{code} {message.decode(errors='replace')}"


class _Greeted(smtplib.SMTP):
    """A client that keeps the greeting, which smtplib forgets."""

    greeting = ""

    def connect(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        """Connect; the greeting is the server's first reply."""
        code, message = super().connect(*args, **options)
        self.greeting = _text(code, message)
        return code, message


class _GreetedTls(_Greeted, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""


class _Session:
    """One SMTP session whose every reply is compared with what it must be."""

    def __init__(self, target: Target, tls: ssl.SSLContext) -> None:
        self.name = f"port {target.listener.port}"
        self.tls = tls
        self.smtp: _Greeted
        if target.listener.kind == "submissions":
            self.smtp = _GreetedTls(target.host, target.port, timeout=_TIMEOUT, context=tls)
        else:
            self.smtp = _Greeted(target.host, target.port, timeout=_TIMEOUT)

    def say(self, command: str, *, shown: str = "") -> str:
        """Send `command`, return the reply. `shown` stands for a command that holds a password."""
        reply = _text(*self.smtp.docmd(command))
        if reply.startswith("4") and "onfiguration error" in reply:
            raise ProbeError(f"{self.name}: Postfix answered {shown or command} with {reply}")
        return reply

    def expect(self, command: str, *codes: str, why: str, shown: str = "") -> str:
        """Send `command` and return the reply; ProbeError saying `why` unless it begins with one of `codes`."""
        reply = self.say(command, shown=shown)
        if not reply.startswith(codes):
            raise ProbeError(
                f"{self.name}: {shown or command} was answered with {reply}; {' or '.join(codes)} was expected: {why}."
            )
        return reply

    def hello(self) -> dict[str, str]:
        """EHLO; returns the extensions offered, in lower case, with their parameters."""
        code, message = self.smtp.ehlo(_HELO)
        if code != 250:
            raise ProbeError(f"{self.name}: EHLO was answered with {_text(code, message)}. Are both milters running?")
        return dict(self.smtp.esmtp_features)

    def starttls(self) -> dict[str, str]:
        """STARTTLS and EHLO; returns the extensions offered under TLS."""
        try:
            self.smtp.starttls(context=self.tls)
        except smtplib.SMTPResponseException as error:
            said = _text(error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b"")
            raise ProbeError(f"{self.name}: STARTTLS was answered with {said}.") from error
        return self.hello()

    def login(self, login: Login, password: str, *codes: str, why: str) -> None:
        """AUTH PLAIN with `password`; ProbeError unless the reply begins with one of `codes`."""
        token = base64.b64encode(f"\0{login.username}\0{password}".encode()).decode()
        self.expect(f"AUTH PLAIN {token}", *codes, why=why, shown="AUTH PLAIN …")


def _mx(session: _Session, expected: Expectation) -> None:
    """Port 25: TLS and no AUTH, mail for this host, relay for nobody."""
    offered = session.hello()
    if "starttls" not in offered:
        raise ProbeError(f"{session.name}: STARTTLS is not offered; is there a certificate (smtpd_tls_chain_files)?")
    if "auth" in offered or "auth" in session.starttls():
        raise ProbeError(f"{session.name}: AUTH is offered; logins belong to the submission ports only.")
    session.expect("MAIL FROM:<>", "250", why="bounces come from the null sender")
    session.expect("RCPT TO:<probe@relay-probe.invalid>", "554 5.7.1", why="this host relays for nobody")
    session.expect(f"RCPT TO:<{expected.recipient}>", "250", why="this is an address of this host")
    session.say("RSET")


def _submission(session: _Session, expected: Expectation, implicit: bool) -> None:
    """587, 465, 2525: AUTH under TLS only, nothing without it, and a login sends as itself only."""
    offered = session.hello()
    if not implicit:
        if "auth" in offered:
            raise ProbeError(f"{session.name}: AUTH is offered before STARTTLS; passwords would cross in clear text.")
        session.expect("MAIL FROM:<>", "530", why="nothing is taken before STARTTLS")
        offered = session.starttls()
    mechanisms = offered.get("auth", "").split()
    if not {"PLAIN", "LOGIN"} <= set(mechanisms):
        raise ProbeError(
            f"{session.name}: AUTH offers {mechanisms or 'nothing'} under TLS; PLAIN and LOGIN are needed."
        )
    login = expected.login
    session.say(f"MAIL FROM:<{login.sender}>")
    session.expect(f"RCPT TO:<{expected.recipient}>", "5", why="nobody sends here without logging in")
    session.say("RSET")
    if expected.staged:  # once is enough: Dovecot, the same for both, takes two seconds to answer
        session.login(login, _WRONG_PASSWORD, "535", why="the password is wrong")
    session.login(login, login.password, "235", why="it is right; does dovecot.conf name /run/sendyard/probe-logins?")
    _sender(session, "", expected, "5", why="a login may not use the null sender")
    _sender(session, f"not-owned@{expected.fqdn}", expected, "553 5.7.1", why="the login does not own that sender")
    # Two canaries that go nowhere: a listener without the gate takes the first one, one without the signer the second.
    _author(
        session, f"not-owned@{expected.fqdn}", expected, "550", why="the gate lets a login write its own From: only"
    )
    _author(session, login.sender, expected, "451", why="the signer lets nothing pass that it has no key for")


def _author(session: _Session, author: str, expected: Expectation, *codes: str, why: str) -> None:
    """A message of the login's with From: `author`, to the host itself; the reply to it must begin with a code."""
    session.expect(f"MAIL FROM:<{expected.login.sender}>", "250", why="the login owns that sender")
    session.expect(f"RCPT TO:<{expected.recipient}>", "250", why="this is an address of this host")
    session.expect("DATA", "354", why="sender and recipient were accepted")
    session.smtp.send(_canary(author, expected))
    reply = _text(*session.smtp.getreply())
    session.say("RSET")
    if not reply.startswith(codes):
        raise ProbeError(
            f"{session.name}: a message with From: {author} was answered with {reply}; {' or '.join(codes)} was "
            f"expected: {why}."
        )


def _canary(author: str, expected: Expectation) -> bytes:
    """A whole message with its end, which a person who finds it understands."""
    lines = (
        f"From: {author}",
        f"To: {expected.recipient}",
        "Subject: Sendyard probe",
        "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        f"Message-ID: <probe@{expected.fqdn}>",
        "",
        "This message tried whether gate and signer stand behind a port of this server. That it was taken is a fault.",
        ".",
        "",
    )
    return "\r\n".join(lines).encode()


def _sender(session: _Session, sender: str, expected: Expectation, *codes: str, why: str) -> None:
    """MAIL and RCPT as `sender`; the second reply (smtpd_delay_reject) must begin with one of `codes`."""
    reply = session.say(f"MAIL FROM:<{sender}>")
    if reply.startswith("250"):
        reply = session.say(f"RCPT TO:<{expected.recipient}>")
    session.say("RSET")
    if not reply.startswith(codes):
        raise ProbeError(
            f"{session.name}: a message from <{sender}> was answered with {reply}; {' or '.join(codes)} was expected: "
            f"{why}."
        )


def check(target: Target, expected: Expectation) -> None:
    """Run the session that belongs to the target's kind.

    Raises:
        ProbeError: it does not answer, or not as it must.
    """
    kind = target.listener.kind
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    try:
        session = _Session(target, tls)
        try:
            greeting = session.smtp.greeting
            if not greeting.startswith(f"220 {expected.fqdn}"):
                raise ProbeError(f"{session.name}: the greeting is {greeting!r}; 220 {expected.fqdn} was expected.")
            if kind == "mx":
                _mx(session, expected)
            else:
                _submission(session, expected, implicit=kind == "submissions")
        finally:
            with suppress(smtplib.SMTPException, OSError):
                session.smtp.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise ProbeError(f"port {target.listener.port} does not answer as SMTP: {error}") from error


def check_all(targets: Sequence[Target], expected: Expectation, *, patience: float = 0.0) -> None:
    """Check all `targets` at the same time (Dovecot answers a wrong password only after seconds).

    A daemon that was told to reload may answer with its old files for a moment: one that fails is asked again, a second
    later, as long as `patience` (seconds from the beginning) lasts.

    Raises:
        ProbeError: names every target that fails.
    """
    end = time.monotonic() + patience
    with ThreadPoolExecutor(max_workers=max(1, len(targets))) as pool:
        problems = list(pool.map(lambda target: _problem(target, expected, end), targets))
    if any(problems):
        raise ProbeError("\n".join(filter(None, problems)))


def _problem(target: Target, expected: Expectation, end: float) -> str:
    """What is wrong with `target`, "" if nothing; asked again until `end` on the monotonic clock."""
    while True:
        try:
            check(target, expected)
        except ProbeError as error:
            if time.monotonic() >= end:
                return str(error)
            time.sleep(1)
        else:
            return ""


def wait_until(ready: Callable[[], bool], *, deadline: float, what: str) -> None:
    """Poll `ready` until it is True.

    Raises:
        ProbeError: `what` did not happen within `deadline` seconds.
    """
    end = time.monotonic() + deadline
    while not ready():
        if time.monotonic() >= end:
            raise ProbeError(f"{what} did not happen within {deadline:g} s.")
        time.sleep(0.05)
