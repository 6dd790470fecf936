# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small SMTP server on loopback that is right by default and wrong in one way on demand.

It is no stand-in for Postfix: it is the control of the probes. A probe that passes the right server and fails the
wrong one can tell them apart; one that only ever met Postfix might pass anything.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.sendyard.mail.plugins.module_utils.smtp.session import Endpoint, Listener

FQDN = "mx.yard.example"
USERNAME, PASSWORD = f"probe-0123456789abcdef={FQDN}@{FQDN}", "right"


@dataclass(frozen=True)
class Ca:
    """A CA with one certificate for FQDN and one for another name."""

    ca_file: Path
    certificate: Path
    other: Path


def make_ca(directory: Path) -> Ca:
    """Make CA and certificates (ECDSA) with openssl."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory, timeout=30)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    for stem, name in (("good", FQDN), ("other", "other.example")):
        openssl("req", *curve, "-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", f"/CN={name}")
        (directory / f"{stem}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{stem}.ext", "-out", f"{stem}.crt")  # fmt: skip
        chain = (directory / f"{stem}.key").read_text() + (directory / f"{stem}.crt").read_text()
        (directory / f"{stem}.pem").write_text(chain)
    return Ca(directory / "ca.pem", directory / "good.pem", directory / "other.pem")


@dataclass
class Server:
    """One listener. Each flag is one mistake; `taken` is what it has accepted: (sender, recipients, content)."""

    ca: Ca
    listener: Listener
    address: str = "127.0.0.1"
    greeting: str = FQDN
    vrfy_tells: bool = False
    offers_tls: bool = True
    wrong_certificate: bool = False
    old_tls: bool = False
    weak_suites: bool = False
    keeps_plaintext: bool = False
    says_tls_and_stays_in_clear: bool = False
    auth_in_clear: bool = False
    auth_on_25: bool = False
    any_password: bool = False
    relays: bool = False
    any_sender: bool = False
    any_from: bool = False
    null_sender: bool = False
    false_ends: tuple[bytes, ...] = ()
    refuses_bare_lf: bool = False
    refuses_messages: bool = False
    no_postmaster: bool = False
    no_bounces: bool = False
    taken: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)  # all that it was told, in clear or not

    @contextlib.contextmanager
    def run(self) -> Iterator[Endpoint]:
        """Serve on a free port for the body; yields where."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.create_server((self.address, 0), family=family) as listening:
            stop = threading.Event()
            listening.settimeout(0.02)
            thread = threading.Thread(target=self._serve, args=(listening, stop), daemon=True)
            thread.start()
            port = listening.getsockname()[1]
            try:
                yield Endpoint(FQDN, self.address, Listener(port, self.listener.implicit_tls, self.listener.submission))
            finally:
                stop.set()
                thread.join(5)

    def _serve(self, listening: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listening.accept()
                threading.Thread(target=self._session, args=(connection,), daemon=True).start()

    def _session(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError, ConnectionError):
            Conversation(self, connection).run()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca.other if self.wrong_certificate else self.ca.certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.old_tls:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
        if self.weak_suites:
            context.set_ciphers("ALL:NULL:@SECLEVEL=0")
        return context


class Conversation:
    """One client's session with a Server."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.server = server
        self.sock = connection
        self.buffer = b""
        self.login = ""
        self.secure = False

    def say(self, *lines: str) -> None:
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        self.buffer += data

    def line(self) -> str:
        while b"\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode()

    def run(self) -> None:
        if self.server.listener.implicit_tls:
            self.wrap()
        self.say(f"220 {self.server.greeting} ESMTP")
        self.sender: str | None = None
        self.recipients: list[str] = []
        while True:
            line = self.line()
            verb, _, rest = line.partition(" ")
            if verb.upper() == "QUIT":
                self.say("221 2.0.0 Bye")
                return
            handler = getattr(self, f"on_{verb.lower()}", None)
            if handler is None:
                self.say("502 5.5.2 Error: command not recognized")
            else:
                handler(rest)

    def wrap(self) -> None:
        self.sock = self.server.context().wrap_socket(self.sock, server_side=True)
        self.secure = True

    def on_ehlo(self, _rest: str) -> None:
        lines = [self.server.greeting]
        if not self.secure and self.server.offers_tls:
            lines.append("STARTTLS")
        if self.auth_offered():
            lines.append("AUTH PLAIN LOGIN")
        self.say(*(f"250-{line}" for line in lines), "250 8BITMIME")

    def auth_offered(self) -> bool:
        if not self.server.listener.submission:
            return self.server.auth_on_25 and (self.secure or self.server.auth_in_clear)
        return self.secure or self.server.auth_in_clear

    def on_noop(self, _rest: str) -> None:
        self.say("250 2.0.0 Ok")

    def on_rset(self, _rest: str) -> None:
        self.sender, self.recipients = None, []
        self.say("250 2.0.0 Ok")

    def on_vrfy(self, rest: str) -> None:
        if self.server.vrfy_tells:
            self.say(f"252 2.0.0 {rest}" if rest == "postmaster" else "550 5.1.1 unknown")
        else:
            self.say("502 5.5.1 VRFY command is disabled")

    def on_starttls(self, _rest: str) -> None:
        if not self.server.offers_tls:
            self.say("502 5.5.1 no TLS")
            return
        if self.server.says_tls_and_stays_in_clear:
            self.say("250 2.0.0 Ready to start TLS")
            return
        self.say("220 2.0.0 Ready to start TLS")
        kept, self.buffer = self.buffer, b""
        self.wrap()
        if self.server.keeps_plaintext:
            self.buffer = kept

    def on_auth(self, rest: str) -> None:
        if self.server.says_tls_and_stays_in_clear:
            self.server.passwords.append(base64.b64decode(rest.partition(" ")[2]).decode().rpartition("\0")[2])
        if not self.auth_offered():
            self.say("530 5.7.0 Must issue a STARTTLS command first")
            return
        mechanism, _, initial = rest.partition(" ")
        if mechanism.upper() == "LOGIN":
            self.say("334 VXNlcm5hbWU6")
            username = base64.b64decode(self.line()).decode()
            self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(self.line()).decode()
        else:
            _, username, password = base64.b64decode(initial).decode().split("\0")
        if (username, password) == (USERNAME, PASSWORD) or self.server.any_password:
            self.login = username
            self.say("235 2.7.0 Authentication successful")
        else:
            self.say("535 5.7.8 Error: authentication failed")

    def on_mail(self, rest: str) -> None:
        self.sender = rest.partition("<")[2].partition(">")[0]
        self.recipients = []
        self.say("250 2.1.0 Ok")

    def on_rcpt(self, rest: str) -> None:
        recipient = rest.partition("<")[2].rpartition(">")[0]
        refusal = self.refusal(recipient)
        if refusal:
            self.say(refusal)
        else:
            self.recipients.append(recipient)
            self.say("250 2.1.5 Ok")

    def refusal(self, recipient: str) -> str:
        server = self.server
        if not self.login:
            local = {f"postmaster@{FQDN}", f"abuse@{FQDN}", f"canary@{FQDN}"}
            if server.relays or (not server.listener.submission and recipient in local and not server.no_postmaster):
                return ""
            if not server.listener.submission and recipient.endswith(f"@bounces.{FQDN}") and not server.no_bounces:
                return ""
            return "554 5.7.1 Relay access denied"
        if self.sender == "" and not server.null_sender:
            return "554 5.7.1 null sender not allowed"
        if self.sender and not self.sender.endswith(f"@{FQDN}") and not server.any_sender:
            return f"553 5.7.1 not owned by user {self.login}"
        return ""

    def on_data(self, _rest: str) -> None:
        if not self.recipients:
            self.say("503 5.5.1 Error: need RCPT command")
            return
        self.say("354 End data with <CR><LF>.<CR><LF>")
        ends = (b"\r\n.\r\n", *self.server.false_ends)
        while not any(end in self.buffer for end in ends):
            self.more()
        end = min((end for end in ends if end in self.buffer), key=self.buffer.index)
        content, _, self.buffer = self.buffer.partition(end)
        if self.server.refuses_bare_lf and b"\n" in content.replace(b"\r\n", b""):
            self.say("521 5.5.2 bare <LF> received")
            raise ConnectionError
        if self.server.refuses_messages:
            self.say("451 4.7.1 Service unavailable - try again later")
        elif self.login and not self.server.any_from and f"@{FQDN}".encode() not in content.partition(b"\r\n")[0]:
            self.say("550 5.7.1 From domain does not belong to login")
        else:
            self.taken.append((self.sender or "", self.recipients, content))
            self.say("250 2.0.0 Ok: queued as 4ABC")
        self.sender, self.recipients = None, []

    @property
    def taken(self) -> list[tuple[str, list[str], bytes]]:
        return self.server.taken
