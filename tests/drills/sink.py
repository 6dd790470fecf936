# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A receiver that writes every message down, byte for byte: `sink.py DIRECTORY CHAIN_FILE ADDRESS=MODE …`, on port 25.

Modes: "eight" offers 8BITMIME, "seven" does not, "tls" offers STARTTLS and 8BITMIME, "refusing" answers every RCPT with
550. Each message becomes `NUMBER.json` with its envelope and `NUMBER.eml` with what stood between DATA and the dot.
"""

from __future__ import annotations

import itertools
import json
import socketserver
import ssl
import sys
import time
from pathlib import Path

NUMBERS = itertools.count()


class Session(socketserver.StreamRequestHandler):
    """One SMTP session."""

    server: Sink

    def handle(self) -> None:
        """Answer commands until the client leaves."""
        self.envelope: dict[str, object] = {"mode": self.server.mode, "tls": "", "ehlo": ""}
        self.messages = 0
        self._say("220 sink ESMTP")
        while line := self.rfile.readline():
            command = line.decode(errors="replace").strip()
            verb = command.upper()[:4]
            if verb == "QUIT":
                self._say("221 bye")
                return
            getattr(self, f"do_{verb.lower()}", self.do_rset)(command)

    def do_ehlo(self, command: str) -> None:
        """Offer what the mode offers."""
        self.envelope["ehlo"] = command[5:]
        offers = ["sink", "SIZE 60000000", "PIPELINING"]
        offers += ["8BITMIME"] if self.server.mode != "seven" else []
        offers += ["STARTTLS"] if self.server.mode == "tls" and not self.envelope["tls"] else []
        self._say(*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}")

    def do_star(self, command: str) -> None:
        """STARTTLS."""
        self._say("220 go on")
        wrapped = self.server.tls.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = wrapped.makefile("rb"), wrapped.makefile("wb", buffering=0)
        self.envelope["tls"] = wrapped.version()

    def do_mail(self, command: str) -> None:
        """A transaction begins."""
        self.envelope |= {"mail": command[10:], "rcpt": []}
        self._say("250 2.1.0 ok")

    def do_rcpt(self, command: str) -> None:
        """Take or refuse a recipient."""
        if self.server.mode == "refusing":
            self._say("550 5.1.1 no such user here")
            return
        self.envelope["rcpt"].append(command[8:])
        self._say("250 2.1.5 ok")

    def do_data(self, command: str) -> None:
        """Take the message; only CRLF ends a line here (RFC 5321 section 2.3.8)."""
        self._say("354 go on")
        lines: list[bytes] = []
        while (line := self._line()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        self.messages += 1
        path = DIRECTORY / f"{next(NUMBERS):06d}-{self.server.mode}"
        path.with_suffix(".eml").write_bytes(b"".join(lines))
        path.with_suffix(".part").write_text(json.dumps(self.envelope | {"number_in_session": self.messages}))
        path.with_suffix(".part").rename(path.with_suffix(".json"))
        time.sleep(0.2 if self.server.mode == "tls" else 0)  # so that mail waits for the connection that there is
        self._say("250 2.0.0 taken")

    def do_rset(self, command: str) -> None:
        """RSET, NOOP and what is not known."""
        self._say("250 2.0.0 ok")

    def _line(self) -> bytes:
        """Bytes up to CRLF. Raises ConnectionError where the client went away."""
        line = bytearray()
        while not line.endswith(b"\r\n"):
            piece = self.rfile.readline()
            if not piece:
                raise ConnectionError
            line += piece
        return bytes(line)

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


class Sink(socketserver.ThreadingTCPServer):
    """Many sessions at once on one address."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str, mode: str, tls: ssl.SSLContext) -> None:
        super().__init__((address, 25), Session)
        self.mode = mode
        self.tls = tls


if __name__ == "__main__":
    import threading

    DIRECTORY = Path(sys.argv[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    sinks = [Sink(*argument.split("="), context) for argument in sys.argv[3:]]
    for sink in sinks[1:]:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
    sinks[0].serve_forever()
