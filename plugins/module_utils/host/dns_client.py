# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to one name server (RFC 1035, 6891), as a probe of the host's own resolver."""

from __future__ import annotations

import secrets
import socket
import struct
import time
from dataclasses import dataclass

from ..errors import SendyardError

_TYPES = {"A": 1, "NS": 2, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "DS": 43, "DNSKEY": 48}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_RETRY = 2.0  # seconds until the question is asked again


class DnsError(SendyardError):
    """The server does not answer, or not the question that was asked."""


@dataclass(frozen=True)
class Answer:
    """The head of an answer. `authenticated` is the AD bit: the resolver has validated it (RFC 4035 section 3.2.3)."""

    rcode: str
    authenticated: bool
    records: int


def question(name: str, kind: str, identity: int) -> bytes:
    """A recursive query for `name`, asking for the AD bit, with EDNS so that a large answer comes whole."""
    labels = [label for label in name.rstrip(".").split(".") if label]
    encoded = b"".join(bytes([len(label)]) + label.encode("ascii") for label in labels) + b"\0"
    header = struct.pack("!HHHHHH", identity, 0x0120, 1, 0, 0, 1)  # RD, AD
    option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    return header + encoded + struct.pack("!HH", _TYPES[kind], 1) + option


def ask(server: str, name: str, kind: str, *, deadline: float, port: int = 53) -> Answer:
    """Ask `server` for `name` over UDP, again every two seconds until `deadline` (seconds).

    Raises:
        DnsError: no answer in time.
    """
    if kind not in _TYPES:
        raise DnsError(f'record type "{kind}" is none that a probe can ask for; known are {", ".join(_TYPES)}.')
    end = time.monotonic() + deadline
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    problem = "no answer"
    while (left := end - time.monotonic()) > 0:
        identity = secrets.randbits(16)
        query = question(name, kind, identity)
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(min(_RETRY, left))
                client.connect((server, port))  # only its answers are then received
                client.send(query)
                reply = client.recv(4096)
        except OSError as error:
            problem = str(error)
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))  # a refused port answers at once
            continue
        if len(reply) >= 12 and reply[:2] == query[:2] and reply[2] & 0x80:
            flags, records = struct.unpack("!H2xH", reply[2:8])
            return Answer(RCODES.get(flags & 0xF, str(flags & 0xF)), bool(flags & 0x20), records)
    raise DnsError(f"{server} port {port} did not answer for {name} {kind} within {deadline:g} s ({problem}).")
