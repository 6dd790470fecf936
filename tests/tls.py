# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Certificates for tests, made by the real openssl: a root, an intermediate, and servers' certificates below it.

And a mail server that shows them, for tests of what a client sees; and a client that takes no for an answer.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.sendyard.mail.plugins.module_utils.smtp.session import Reply, Session

KEY_OPTIONS = {
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*arguments: str | Path, stdin: str = "") -> str:
    """What `openssl` prints with these arguments."""
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, timeout=60).stdout


def make_key(kind: str = "ecdsa") -> str:
    """A private key, PEM."""
    return openssl("genpkey", "-quiet", *KEY_OPTIONS[kind])


@dataclass(frozen=True)
class Issued:
    """A certificate (PEM) with its key."""

    certificate: str
    key: str = field(repr=False)


class Authority:
    """A root and one intermediate in `directory`; certificates are signed by the intermediate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = self._authority("Test root", None)
        self.intermediate = self._authority("Test intermediate", self.root)

    def _authority(self, name: str, issuer: Issued | None) -> Issued:
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        return self._sign(make_key(), name, extensions, issuer, days=3650)

    def issue(self, *names: str, key: str = "", days: int = 90) -> Issued:
        """A server's certificate for `names`. Negative `days`: it ended that many days ago."""
        alternative = ",".join(f"DNS:{name}" for name in names)
        extensions = f"subjectAltName={alternative}\n" if names else "basicConstraints=CA:FALSE\n"
        return self._sign(key or make_key(), names[0] if names else "nobody", extensions, self.intermediate, days)

    def _sign(self, key: str, name: str, extensions: str, issuer: Issued | None, days: int) -> Issued:
        """Sign a request of `key`; without `issuer` by itself."""
        files = {"key": key, "extensions": extensions}
        files |= {"issuer.key": issuer.key, "issuer": issuer.certificate} if issuer else {"issuer.key": key}
        for file, content in files.items():
            (self.directory / file).write_text(content)
        at = {file: self.directory / file for file in files}
        request = openssl("req", "-new", "-key", at["key"], "-subj", f"/CN={name}")
        signer = ["-CA", at["issuer"], "-CAkey", at["issuer.key"]] if issuer else ["-signkey", at["issuer.key"]]
        signed = openssl(
            "x509", "-req", "-days", str(days), "-set_serial", "0x" + f"{abs(hash((name, key, days))):x}",
            "-extfile", at["extensions"], *signer, stdin=request,
        )  # fmt: skip
        return Issued(signed, key)


@dataclass
class MailServer:
    """A mail server on loopback that says EHLO and STARTTLS, or TLS at once, and shows the pair in `pem`.

    It reads `pem` when it is made and at each `reload()`, as Postfix does.
    """

    pem: Path
    implicit: bool = False
    port: int = 0
    sessions: int = 0

    def reload(self) -> None:
        """Show what stands in `pem` now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.pem)
        except (OSError, ssl.SSLError):
            self._context: ssl.SSLContext | None = None  # Postfix goes on too, and offers no TLS
        else:
            self._context = context

    def serve(self, listener: socket.socket) -> None:
        """Answer until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(10)
                    self.sessions += 1
                    self._session(connection)

    def _session(self, connection: socket.socket) -> None:
        if self.implicit:
            connection = self._secured(connection)
        connection.sendall(b"220 test\r\n")
        while line := connection.recv(1024):
            if line.upper().startswith(b"EHLO"):
                connection.sendall(b"250-test\r\n250 STARTTLS\r\n")
            elif line.upper().startswith(b"STARTTLS"):
                if self._context is None:
                    connection.sendall(b"454 4.7.0 TLS not available due to local problem\r\n")
                    continue
                connection.sendall(b"220 ready\r\n")
                connection = self._secured(connection)
            else:
                connection.sendall(b"221 bye\r\n")
                return

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._context is None:
            raise OSError("no certificate")
        return self._context.wrap_socket(connection, server_side=True)


@contextmanager
def mail_server(pem: Path, *, implicit: bool = False) -> Iterator[MailServer]:
    """A running MailServer on a free port."""
    server = MailServer(pem, implicit)
    server.reload()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def start_tls_if_granted(opened: Session) -> Reply:
    """The reply to STARTTLS, whatever it is, and the handshake where it is 220. (The product takes no other reply.)"""
    reply = opened.command("STARTTLS")
    if reply.code == 220:
        opened.handshake()
    return reply
