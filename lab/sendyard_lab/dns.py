# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The one DNS question that the lab asks: which serial a server has of a zone."""

from __future__ import annotations

import secrets
import socket
import struct

SOA, IN = 6, 1
AUTHORITATIVE = 0x0400
ANSWER_SECONDS = 1.0


def serial(server: str, zone: str) -> int | None:
    """The serial in the SOA record of `zone` (absolute) on `server`, or None without an authoritative answer."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".") if label) + b"\0"
    question += struct.pack("!HH", SOA, IN)
    identifier = secrets.token_bytes(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(ANSWER_SECONDS)
        try:
            udp.connect((server, 53))
            udp.send(identifier + struct.pack("!HHHHH", 0, 1, 0, 0, 0) + question)
            reply = udp.recv(4096)
        except OSError:
            return None
    flags, _, answers = struct.unpack("!HHH", reply[2:8])
    if reply[:2] != identifier or not flags & AUTHORITATIVE or flags & 0xF or not answers:
        return None
    # The answer's owner is a pointer to the question, or the root's single zero byte.
    start = 12 + len(question) + (2 if reply[12 + len(question)] >= 0xC0 else 1)
    length = struct.unpack("!H", reply[start + 8 : start + 10])[0]
    end = start + 10 + length
    return int(struct.unpack("!I", reply[end - 20 : end - 16])[0])  # serial, refresh, retry, expire, minimum
