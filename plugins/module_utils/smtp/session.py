# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SMTP session as a client sees it: every byte is ours, every line is written down, every wait ends.

`smtplib` mends what it sends (line ends, dots, greetings) and hides what it received; a probe needs neither. So this
is a client over a plain socket: it sends bytes untouched, returns each reply as it came, and keeps the dialogue with
the passwords left out. RFC 5321 (SMTP), 3207 (STARTTLS), 4954 (AUTH), 3030 (BDAT), 2034 (enhanced status codes).
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import errno
import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import SendyardError

REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?")
ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")
MAX_REPLY_BYTES = 64 * 1024


class SmtpError(SendyardError):
    """A session could not go on. `kind` says how, for those who must decide what that means:

    refused, unreachable, timeout, busy (421), certificate, tls, closed, protocol.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message, kind=kind)
        self.kind = kind


@dataclass(frozen=True)
class Listener:
    """What stands behind a port: a service for clients who log in, or the one for the world (RFC 8314, 6409)."""

    port: int
    implicit_tls: bool = False
    submission: bool = True


LISTENERS = (
    Listener(25, submission=False),
    Listener(587),
    Listener(465, implicit_tls=True),
    Listener(2525),
)


@dataclass(frozen=True)
class Endpoint:
    """One address and one listener of a server; `name` is what its certificate must carry."""

    name: str
    address: str
    listener: Listener

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.listener.port}"


@dataclass(frozen=True)
class Reply:
    """One reply of a server, all its lines without the code (RFC 5321 section 4.2)."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(line for line in self.lines if line)

    @property
    def enhanced(self) -> str:
        """The enhanced status code, such as "5.7.1"; "" where the server gave none (RFC 2034)."""
        found = ENHANCED.match(self.lines[0]) if self.lines else None
        return found.group() if found else ""

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


@dataclass(frozen=True)
class TlsFacts:
    """What was negotiated. `names` and `not_after` are known only where the certificate was verified."""

    version: str
    cipher: str
    verified: bool
    names: tuple[str, ...] = ()
    not_after: dt.datetime | None = None


@dataclass(frozen=True)
class Line:
    """One line of the dialogue: who said it ("C" or "S"; "*" is a remark of ours) and what."""

    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.who}: {self.text}"


def tls_context(*, ca_file: str | None = None, verify: bool = True) -> ssl.SSLContext:
    """A client context of TLS 1.2 and later, trusting `ca_file` (PEM), or the system's roots.

    Without `verify` anyone may answer: only for sessions that carry no password.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def dot_stuffed(content: bytes) -> bytes:
    """`content` as DATA carries it: lines that begin with a dot get another, and the end is marked (RFC 5321 4.5.2)."""
    stuffed = re.sub(rb"(\A|\r\n)\.", rb"\1..", content)
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def _connect(endpoint: Endpoint, source: str | None, timeout: float) -> socket.socket:
    try:
        return socket.create_connection(
            (endpoint.address, endpoint.listener.port),
            timeout=timeout,
            source_address=(source, 0) if source else None,
        )
    except TimeoutError as error:
        raise SmtpError(f"{endpoint}: no answer to a connection within {timeout:.0f} s", kind="timeout") from error
    except ConnectionRefusedError as error:
        raise SmtpError(f"{endpoint}: connection refused", kind="refused") from error
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        raise SmtpError(
            f"{endpoint}: cannot connect: {error.strerror or error} {name}".rstrip(), kind="unreachable"
        ) from error


@dataclass
class Session:
    """An open session. Every method raises SmtpError where the connection ends, is silent or talks no SMTP."""

    endpoint: Endpoint
    sock: socket.socket
    context: ssl.SSLContext
    deadline: float  # time.monotonic() at which the whole session must be over
    timeout: float  # seconds to wait for one reply
    dialogue: list[Line] = field(default_factory=list)
    tls: TlsFacts | None = None
    extensions: dict[str, str] = field(default_factory=dict)
    banner: Reply | None = None
    over: bool = False
    _buffer: bytes = b""

    @property
    def local_address(self) -> str:
        """The address that this session comes from, as this machine knows it."""
        return str(self.sock.getsockname()[0])

    # --- bytes -----------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise SmtpError(f"{self.endpoint}: the session took longer than it may", kind="timeout")
        self.sock.settimeout(min(left, self.timeout))

    def send_raw(self, data: bytes) -> None:
        """Send `data` as it is. Nothing is noted: say with `remark` what a reader of the dialogue must know."""
        self._arm()
        try:
            self.sock.sendall(data)
        except TimeoutError as error:
            raise SmtpError(f"{self.endpoint}: the server stopped reading", kind="timeout") from error
        except OSError as error:
            raise SmtpError(f"{self.endpoint}: the connection broke while sending: {error}", kind="closed") from error

    def receive_raw(self) -> bytes:
        """What has arrived, at least one byte; b"" when the server has closed the connection."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        self._arm()
        try:
            return self.sock.recv(65536)
        except TimeoutError as error:
            raise SmtpError(f"{self.endpoint}: no reply within {self.timeout:.0f} s", kind="timeout") from error
        except ConnectionResetError:
            return b""
        except OSError as error:
            raise SmtpError(f"{self.endpoint}: the connection broke: {error}", kind="closed") from error

    def _line(self) -> bytes:
        data = b""
        while b"\n" not in data:
            more = self.receive_raw()
            if not more:
                raise SmtpError(f"{self.endpoint}: the server closed the connection", kind="closed")
            data += more
            if len(data) > MAX_REPLY_BYTES:
                raise SmtpError(f"{self.endpoint}: a reply of more than {MAX_REPLY_BYTES} bytes", kind="protocol")
        line, self._buffer = data.split(b"\n", 1)
        return line.rstrip(b"\r")

    # --- dialogue --------------------------------------------------------------------------------------------

    def remark(self, text: str) -> None:
        self.dialogue.append(Line("*", text))

    def reply(self) -> Reply:
        """Read one reply, all its lines."""
        lines: list[str] = []
        code = b""
        while True:
            raw = self._line()
            found = REPLY_LINE.fullmatch(raw)
            if found is None or (code and found[1] != code):
                raise SmtpError(f"{self.endpoint}: no SMTP reply: {raw[:80]!r}", kind="protocol")
            code = found[1]
            lines.append((found[3] or b"").decode("utf-8", "backslashreplace"))
            self.dialogue.append(Line("S", raw.decode("utf-8", "backslashreplace")))
            if found[2] != b"-":
                return Reply(int(code), tuple(lines))
            if sum(map(len, lines)) > MAX_REPLY_BYTES:
                raise SmtpError(f"{self.endpoint}: a reply of more than {MAX_REPLY_BYTES} bytes", kind="protocol")

    def command(self, line: str, *, shown: str | None = None) -> Reply:
        """Send one command and read its reply; `shown` stands in the dialogue in its place (for secrets)."""
        self.dialogue.append(Line("C", line if shown is None else shown))
        self.send_raw(line.encode() + b"\r\n")
        return self.reply()

    def ehlo(self, name: str) -> Reply:
        """Greet, and learn the server's extensions (upper case, with their parameters)."""
        reply = self.command(f"EHLO {name}")
        offered = (line.partition(" ") for line in reply.lines[1:])
        self.extensions = {parts[0].upper(): parts[2] for parts in offered} if reply.positive else {}
        return reply

    def ask_for_tls(self) -> Reply:
        """STARTTLS without the handshake. Only 220 is a yes (RFC 3207 section 4).

        Raises:
            SmtpError: any other reply. Were it returned, a caller could go on in clear.
        """
        reply = self.command("STARTTLS")
        if reply.code != 220:
            kind = "busy" if reply.code == 421 else "refused"
            raise SmtpError(f"{self.endpoint}: STARTTLS was answered with {reply}, not 220", kind=kind)
        return reply

    def start_tls(self) -> Reply:
        """`ask_for_tls`, and the handshake. Greet again after it (RFC 3207 section 4.2)."""
        reply = self.ask_for_tls()
        self.handshake()
        return reply

    def handshake(self) -> TlsFacts:
        """Turn the connection into TLS, checking chain and name where the session's context verifies."""
        if self._buffer:
            raise SmtpError(
                f"{self.endpoint}: the server spoke in clear behind its 220: {self._buffer[:80]!r}", kind="protocol"
            )
        self._arm()
        try:
            wrapped = self.context.wrap_socket(self.sock, server_hostname=self.endpoint.name)
        except ssl.SSLCertVerificationError as error:
            raise SmtpError(
                f"{self.endpoint}: the certificate is not valid: {error.verify_message}", kind="certificate"
            ) from error
        except TimeoutError as error:
            raise SmtpError(f"{self.endpoint}: the TLS handshake got no answer", kind="timeout") from error
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise SmtpError(f"{self.endpoint}: the TLS handshake failed: {reason}", kind="tls") from error
        self.sock = wrapped
        self.tls = tls_facts(wrapped)
        self.extensions = {}
        self.remark(f"{self.tls.version} {self.tls.cipher}" + (", certificate valid" if self.tls.verified else ""))
        return self.tls

    def login_plain(self, username: str, password: str) -> Reply:
        """AUTH PLAIN with its initial response (RFC 4616)."""
        token = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        return self.command(f"AUTH PLAIN {token}", shown=f"AUTH PLAIN (login {username})")

    def login_login(self, username: str, password: str) -> Reply:
        """AUTH LOGIN: never standardised, still what many clients speak."""
        reply = self.command("AUTH LOGIN")
        for value, shown in ((username, f"(login {username})"), (password, "(password)")):
            if reply.code != 334:
                break
            reply = self.command(base64.b64encode(value.encode()).decode(), shown=shown)
        return reply

    def data(self, content: bytes) -> Reply:
        """DATA with `content` (CRLF line ends; dots are stuffed here). A refusal of DATA itself is returned too."""
        return self.data_raw(dot_stuffed(content), shown=f"(message of {len(content)} bytes)")

    def data_raw(self, content: bytes, *, shown: str) -> Reply:
        """DATA with bytes that are sent as they are, the end of data included; returns the first reply to them."""
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        self.dialogue.append(Line("C", shown))
        self.send_raw(content)
        return self.reply()

    def bdat(self, chunks: Sequence[bytes]) -> Reply:
        """The chunks by BDAT, the last one marked; stops at the first refusal (RFC 3030)."""
        reply = Reply(250, ())
        for number, chunk in enumerate(chunks, 1):
            line = f"BDAT {len(chunk)}" + (" LAST" if number == len(chunks) else "")
            self.dialogue.append(Line("C", line))
            self.send_raw(line.encode() + b"\r\n" + chunk)
            reply = self.reply()
            if not reply.positive:
                break
        return reply

    def last_replies(self) -> list[Reply]:
        """Say QUIT and read every reply until the server closes: its own and all that nobody has asked for.

        QUIT may stand behind anything (RFC 2920 section 3.1), and is answered last: nothing depends on waiting.
        """
        self.abandon()
        replies: list[Reply] = []
        try:
            self.send_raw(b"QUIT\r\n")
            self.dialogue.append(Line("C", "QUIT"))
            while True:
                replies.append(self.reply())
        except SmtpError as error:
            if error.kind != "closed":
                raise
        return replies

    def abandon(self) -> None:
        """Nothing more will be said: `session` then closes without a QUIT, which nobody would answer."""
        self.over = True


def tls_facts(sock: ssl.SSLSocket) -> TlsFacts:
    """What `sock` negotiated, and whose certificate was verified."""
    cipher = sock.cipher()
    certificate = sock.getpeercert() or {}
    alternatives = certificate.get("subjectAltName", ())
    names = tuple(str(entry[1]) for entry in alternatives if entry[0] == "DNS")
    not_after = certificate.get("notAfter")
    return TlsFacts(
        version=sock.version() or "",
        cipher=cipher[0] if cipher else "",
        verified=sock.context.verify_mode == ssl.CERT_REQUIRED,
        names=names,
        not_after=dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(not_after)), dt.UTC) if not_after else None,
    )


@contextlib.contextmanager
def session(
    endpoint: Endpoint,
    context: ssl.SSLContext,
    *,
    source: str | None = None,
    timeout: float = 20.0,
    whole: float = 90.0,
    banner: bool = True,
) -> Iterator[Session]:
    """Connect, do the handshake where TLS is implicit, and read the banner; leave with QUIT where that still works.

    `timeout` bounds each wait for the server and `whole` the session, in seconds; `source` is a local address to bind.
    Without `banner` nothing is read or sent after connecting, and no handshake made: the caller speaks first.

    Raises:
        SmtpError: no connection, no TLS, no banner, or one that sends us away.
    """
    opened = Session(
        endpoint=endpoint,
        sock=_connect(endpoint, source, timeout),
        context=context,
        deadline=time.monotonic() + whole,
        timeout=timeout,
    )
    try:
        if banner:
            if endpoint.listener.implicit_tls:
                opened.handshake()
            opened.banner = opened.reply()
            if not opened.banner.positive:
                kind = "refused" if opened.banner.permanent else "busy"
                raise SmtpError(f"{endpoint}: the server greets with {opened.banner}", kind=kind)
        yield opened
        if not opened.over:
            with contextlib.suppress(SmtpError):
                opened.command("QUIT")
    finally:
        opened.sock.close()
