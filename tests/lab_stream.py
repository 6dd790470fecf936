# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A numbered stream of mail through a sender while something happens to it, and what became of every message.

Whatever was answered with 250 must arrive, signed by its own domain and aligned; what was not may be lost, and says so
to its client. Beside the stream somebody knocks at every port each second.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import lab_api
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from lab_hosts import Login, Sender
from lab_submission import signers
from tls import start_tls_if_granted

PORTS = (587, 465, 2525)
IN_FLIGHT = 16  # submissions at once; the next one waits for its turn when all hang
REPLY_SECONDS = 45.0  # a client's patience with one reply
KNOCK_SECONDS = 10.0
SETTLED = 2.0  # seconds after a fault begins in which a submission that was under way may still end well
MARK = "stream-"


@dataclass(frozen=True)
class Attempt:
    """One message of the stream: `code` is the reply that decided, 0 where the connection broke before one came."""

    number: int
    login: str
    port: int
    began: float  # time.monotonic()
    took: float  # seconds
    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the server has taken it over (RFC 5321 section 6.1)."""
        return self.code == 250


@dataclass(frozen=True)
class Knock:
    """One look at a port: "" where it greeted (on 465: let us in), else what was met instead."""

    port: int
    at: float  # time.monotonic()
    met: str


@dataclass(frozen=True)
class Fate:
    """What became of the stream."""

    attempts: tuple[Attempt, ...]
    knocks: tuple[Knock, ...]
    arrived: Counter[int]
    flawed: dict[int, str]  # what is wrong with messages that arrived

    @property
    def accepted(self) -> set[int]:
        """The messages that were answered with 250."""
        return {attempt.number for attempt in self.attempts if attempt.accepted}

    @property
    def lost(self) -> set[int]:
        """Those of them that never arrived."""
        return self.accepted - self.arrived.keys()

    @property
    def duplicates(self) -> int:
        """How many arrived more often than once; each counts for every time too often."""
        return sum(times - 1 for times in self.arrived.values())

    @property
    def refused(self) -> Counter[int]:
        """How many others ended with which code; 0: the connection broke."""
        return Counter(attempt.code for attempt in self.attempts if not attempt.accepted)

    @property
    def shut(self) -> list[Knock]:
        """The looks that found a port shut or silent."""
        return [knock for knock in self.knocks if knock.met]

    def __str__(self) -> str:
        shut = Counter(f"{knock.port} {knock.met}" for knock in self.shut)
        return (
            f"{len(self.attempts)} sent, {len(self.accepted)} accepted, {len(self.lost)} lost, "
            f"{self.duplicates} twice, {len(self.flawed)} flawed; refused: {dict(self.refused)}; "
            f"{len(self.knocks)} knocks, shut: {dict(shut)}"
        )

    def assert_kept(self, *, waits: bool = True) -> None:
        """Fail unless all that was accepted arrived, and all that arrived is signed by its own domain and aligned; and
        with `waits` no client was refused for good: who tries again will be served.
        """
        print(f"stream: {self}")
        assert self.attempts
        assert not self.lost, f"lost: {sorted(self.lost)}; {self}"
        assert not self.flawed, f"{self.flawed}; {self}"
        for_good = [attempt.text for attempt in self.attempts if attempt.code >= 500]
        assert not (waits and for_good), f"refused for good: {for_good}; {self}"


@dataclass
class Stream:
    """A stream that runs. `word` is in every message of it."""

    sender: Sender
    logins: Sequence[Login]
    rate: float
    limit: int
    word: str = field(default_factory=lambda: MARK + lab_api.token())
    attempts: list[Attempt] = field(default_factory=list)
    knocks: list[Knock] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def wait_for(self, count: int, *, deadline: float = 60.0) -> None:
        """Until `count` more messages have been accepted than by now."""
        goal = self._count() + count
        lab_api.until(lambda: self._count() >= goal, what=f"{count} more messages accepted", deadline=deadline)

    def hold(self, *, attempts: int = 6, deadline: float = 150.0) -> tuple[Attempt, ...]:
        """Wait until some submissions that began after now have ended; returns those."""
        since = time.monotonic() + SETTLED

        def ended() -> tuple[Attempt, ...] | None:
            found = tuple(attempt for attempt in self.attempts if attempt.began > since)
            return found if len(found) >= attempts else None

        return lab_api.until(ended, what="submissions during the fault", deadline=deadline)

    def wait_until_shut(self) -> None:
        """Until somebody has found a port shut after now."""
        since = time.monotonic()
        lab_api.until(lambda: any(knock.met and knock.at > since for knock in self.knocks), what="a port that is shut")

    def _count(self) -> int:
        return sum(attempt.accepted for attempt in self.attempts)

    def start(self) -> None:
        """Begin to send and to knock."""
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send_all, self._knock_all)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more, and wait for the answers that are due."""
        self._over.set()
        for thread in self._threads:
            thread.join(REPLY_SECONDS * 6)
            assert not thread.is_alive(), "a submission has no end"

    def _send_all(self) -> None:
        began = time.monotonic()
        turns = itertools.cycle(itertools.product(PORTS, self.logins, self.sender.addresses))
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for number, (port, login, address) in zip(range(self.limit), turns, strict=False):
                pool.submit(self._send, number, port, login, address)
                if self._over.wait(max(0.0, began + (number + 1) / self.rate - time.monotonic())):
                    break
            else:
                self._over.wait()

    def _send(self, number: int, port: int, login: Login, address: str) -> None:
        if self._over.is_set():  # it waited for its turn all the while
            return
        began = time.monotonic()
        try:
            reply = self._transaction(number, port, login, address)
            code, text = reply.code, str(reply)
        except smtp.SmtpError as error:
            code, text = 0, str(error)
        self.attempts.append(Attempt(number, login.username, port, began, time.monotonic() - began, code, text))

    def _transaction(self, number: int, port: int, login: Login, address: str) -> smtp.Reply:
        """The reply that decided."""
        listener = next(one for one in smtp.LISTENERS if one.port == port)
        context = smtp.tls_context(ca_file=lab_api.info()["ca"])
        content = (
            f"From: {login.username}\r\nTo: {self.word}@sink.rx.example\r\nSubject: {number}\r\n"
            f"Message-ID: <{number}.{self.word}@{login.domains[0]}>\r\nX-Number: {number}\r\n\r\n"
        ).encode() + b"Counted.\r\n" * 100
        endpoint = smtp.Endpoint(self.sender.fqdn, address, listener)
        with smtp.session(endpoint, context, timeout=REPLY_SECONDS, whole=REPLY_SECONDS * 4) as opened:
            steps = [
                lambda: opened.ehlo("client.example"),
                *(
                    []
                    if listener.implicit_tls
                    else [lambda: start_tls_if_granted(opened), lambda: opened.ehlo("client.example")]
                ),
                lambda: opened.login_plain(login.username, login.password),
                lambda: opened.command(f"MAIL FROM:<{login.username}>"),
                lambda: opened.command(f"RCPT TO:<{self.word}@sink.rx.example>"),
                lambda: opened.data(content),
            ]
            reply = steps[0]()
            for step in steps[1:]:
                if not reply.positive:
                    opened.abandon()
                    break
                reply = step()
            return reply

    def _knock_all(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for second in itertools.count(1):
                for port in (25, *PORTS):
                    pool.submit(self._knock, port)
                if self._over.wait(max(0.0, began + second - time.monotonic())):
                    break

    def _knock(self, port: int) -> None:
        at = time.monotonic()
        met = ""
        try:
            with socket.create_connection((self.sender.ipv4, port), timeout=KNOCK_SECONDS) as opened:
                if port != 465 and not opened.recv(100).startswith(b"220"):
                    met = "turned away"
        except TimeoutError:
            met = "silent"
        except OSError as error:
            met = type(error).__name__
        self.knocks.append(Knock(port, at, met))

    def fate(self, *, deadline: float = 180.0) -> Fate:
        """Stop, have the queue tried again until all that was accepted has arrived or `deadline` seconds are over."""
        self.stop()
        accepted = {attempt.number for attempt in self.attempts if attempt.accepted}
        end = time.monotonic() + deadline
        while True:
            mails = [(_number(mail), mail) for mail in lab_api.mails(self.word)]
            arrived = Counter(number for number, _ in mails)
            if accepted <= arrived.keys() or time.monotonic() >= end:
                break
            lab_api.root(self.sender.name, "postqueue", "-f", check=False)
            time.sleep(3)
        logins = {attempt.number: attempt.login for attempt in self.attempts}
        flaws = {number: _flaw(mail, logins[number].partition("@")[2]) for number, mail in mails}
        return Fate(
            tuple(self.attempts), tuple(self.knocks), arrived, {number: flaw for number, flaw in flaws.items() if flaw}
        )


def _number(mail: lab_api.Mail) -> int:
    return int(str(mail.parsed["X-Number"]))


def _flaw(mail: lab_api.Mail, domain: str) -> str:
    """What is wrong with a message of `domain` that arrived, "" if nothing."""
    if (signed := signers(mail.wire)) != [domain]:
        return f"signed by {signed or 'nobody'}"
    return "" if "dmarc=pass" in mail.results else mail.results


@contextmanager
def stream(sender: Sender, logins: Sequence[Login], *, rate: float = 5.0, limit: int = 1500) -> Iterator[Stream]:
    """A stream of at most `limit` messages, `rate` a second, that is under way: some have been accepted."""
    running = Stream(sender, logins, rate, limit)
    running.start()
    try:
        running.wait_for(5)
        yield running
    finally:
        running.stop()
