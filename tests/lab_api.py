# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The running lab for tests: what it is, what its receiver got, SMTP from its stranger, DNS as its servers say it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update

ROOT = Path(__file__).resolve().parent.parent
LAB = ROOT / "lab" / "lab"
COMMAND_SECONDS = 120
Value = TypeVar("Value")


def lab(*words: str, deadline: float = COMMAND_SECONDS) -> bytes:
    """Run lab/lab and return its standard output; a failure shows what it said."""
    done = subprocess.run([LAB, *words], capture_output=True, check=False, timeout=deadline)
    assert done.returncode == 0, f"lab/lab {' '.join(words)}: {done.stderr.decode(errors='replace')}"
    return done.stdout


@cache
def info() -> dict[str, Any]:
    """What `lab/lab info --json` says."""
    return dict(json.loads(lab("info", "--json")))


def address(host: str, index: int = 0, *, family: int = 4) -> str:
    """One of a host's addresses, the main one first; `family` is 4 or 6."""
    return str(info()["hosts"][host][f"ipv{family}"][index])


@dataclass(frozen=True)
class Ran:
    """How a command on a host ended."""

    rc: int
    stdout: str
    stderr: str


def ssh(host: str, *command: str, stdin: str = "", deadline: float = COMMAND_SECONDS, check: bool = True) -> Ran:
    """Run a command on a host as the login user, word by word as given here."""
    argv = ["ssh", "-F", info()["ssh_config"], host, shlex.join(command)]
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=deadline, text=True)
    assert not check or done.returncode == 0, f"{host}: {command}: {done.stderr or done.stdout}"
    return Ran(done.returncode, done.stdout, done.stderr)


def root(host: str, *command: str, stdin: str = "", deadline: float = COMMAND_SECONDS, check: bool = True) -> Ran:
    """Run a command on a host as root."""
    return ssh(host, "sudo", *command, stdin=stdin, deadline=deadline, check=check)


# What a look may raise on a busy machine, or while what it looks at starts anew: it looks again.
PASSING = (OSError, dns.exception.Timeout, subprocess.TimeoutExpired)


def until(
    look: Callable[[], Value | None],
    *,
    what: str,
    deadline: float = 30,
    pause: float = 0.2,
    passing: tuple[type[Exception], ...] = PASSING,
) -> Value:
    """The first true value of `look`; fails, saying `what` was awaited, after `deadline` seconds.

    A look that raises one of `passing` has seen nothing yet; the last of them is told where nothing came of it.
    """
    end = time.monotonic() + deadline
    while True:
        raised: Exception | None = None
        try:
            if value := look():
                return value
        except passing as error:
            raised = error
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline} s: {what}" + (f" ({raised!r})" if raised else "")) from raised
        time.sleep(pause)


def token() -> str:
    """A word that is in no other message."""
    return secrets.token_hex(12)


# -- what the receiver got -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mail:
    """One message as the receiver stored it."""

    raw: bytes  # line ends as on disk: LF

    @property
    def parsed(self) -> Message:
        """The message as Python's email package sees it."""
        return BytesParser().parsebytes(self.raw)

    @property
    def wire(self) -> bytes:
        """The message with CRLF, as signatures are computed over it, without the headers that delivery put in front."""
        body = re.sub(rb"\A(?:(?:Return-Path|X-Original-To|Delivered-To): [^\n]*\n)+", b"", self.raw)
        return re.sub(rb"\r?\n", b"\r\n", body)

    @property
    def results(self) -> str:
        """The receiver's Authentication-Results, unfolded."""
        fields = self.parsed.get_all("Authentication-Results") or []
        ours = [" ".join(str(field).split()) for field in fields if str(field).startswith("mx.rx.example;")]
        assert len(ours) == 1, f"{len(ours)} Authentication-Results of the receiver: {fields}"
        return ours[0]

    @property
    def opendmarc(self) -> str:
        """Whom OpenDMARC takes for the author, a domain; only sink.rx.example has it. "" where it finds none."""
        fields = [str(field) for field in self.parsed.get_all("Authentication-Results") or []]
        ours = [field for field in fields if field.startswith("opendmarc.rx.example;")]
        found = re.search(r"header\.from=(\S+)", ours[0]) if ours else None  # what was brought along stands below
        return found[1] if found else ""


def mails(word: str) -> list[Mail]:
    """Messages at the receiver that contain `word`, the oldest first."""
    box = b"\n" + lab("mail", word).removesuffix(b"\n")
    parts = re.split(rb"\nFrom rx [^\n]*\n", box)[1:]
    return [Mail(re.sub(rb"^>(>*From )", rb"\1", part, flags=re.MULTILINE)) for part in parts]


def wait_for_mail(word: str, *, deadline: float = 60) -> Mail:
    """The one message that contains `word`, once it is there."""
    found = until(lambda: mails(word), what=f"mail with {word} at the receiver", deadline=deadline)
    assert len(found) == 1, f"{len(found)} messages with {word}"
    return found[0]


# -- SMTP from the stranger ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """One reply of an SMTP server."""

    command: str
    code: int
    text: str


@dataclass(frozen=True)
class Dialogue:
    """A transaction up to its first refusal."""

    replies: tuple[Reply, ...]
    tls: str | None

    @property
    def last(self) -> Reply:
        """The reply that decided it."""
        return self.replies[-1]


def smtp(
    server: str,
    *,
    source: str,
    sender: str,
    recipients: Sequence[str],
    message: bytes | None = None,
    tls: str = "starttls",
    port: int = 25,
    helo: str = "sender.stranger.example",
    login: tuple[str, str] | None = None,
    host: str = "stranger",
) -> Dialogue:
    """One SMTP transaction from an address of the stranger; `message` goes out byte by byte as it is here."""
    order: dict[str, Any] = {
        "server": server, "port": port, "source": source, "tls": tls, "helo": helo,
        "sender": sender, "recipients": list(recipients),
    }  # fmt: skip
    if login:
        order["login"] = list(login)
    if message is not None:
        order["message"] = base64.b64encode(message).decode()
    answer = json.loads(ssh(host, "smtp-probe", stdin=json.dumps(order)).stdout)
    return Dialogue(tuple(Reply(**reply) for reply in answer["dialogue"]), answer["tls"])


# -- DNS and faults --------------------------------------------------------------------------------------------------


def ask(server: str, name: str, kind: str) -> list[str]:
    """The data of a record set on one name server ("ns1" or "ns2"), as text, sorted."""
    query = dns.message.make_query(name, kind)
    answer = dns.query.udp_with_fallback(query, address(server), timeout=5)[0]
    wanted = dns.rdatatype.from_text(kind)
    return sorted(record.to_text() for rrset in answer.answer if rrset.rdtype == wanted for record in rrset)


def update(zone: str, change: Callable[[dns.update.UpdateMessage], None], *, secret: str = "") -> str:
    """Send one dynamic update with the key of the run; the answer's rcode as text."""
    secret = secret or (Path(info()["state"]) / "tsig").read_text().strip()
    message = dns.update.UpdateMessage(zone, keyring=dns.tsigkeyring.from_text({"sendyard.": ("hmac-sha256", secret)}))
    change(message)
    return dns.rcode.to_text(dns.query.tcp(message, address("ns1"), timeout=5).rcode())


@contextlib.contextmanager
def fault(host: str, rule: str) -> Iterator[None]:
    """Break a host's network by an nft rule while the block runs."""
    lab("fault", host, rule)
    try:
        yield
    finally:
        lab("fault", host, "clear")
