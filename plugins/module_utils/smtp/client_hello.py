# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server for an old TLS version, or for weak cipher suites, by hand, byte by byte.

A modern TLS library refuses SSL 3.0, TLS 1.0 and 1.1 by itself, before a byte is sent, and knows no RC4: asking through
it proves something about the client. This writes a ClientHello (RFC 5246 section 7.4.1.2; RFC 6101 for SSL 3.0) that
offers every old cipher suite a weak server may still take, or nothing but weak ones, and reads the first record of the
answer. Nothing is negotiated further.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303}
NAMES = {number: name for name, number in VERSIONS.items()}

ALERT, HANDSHAKE = 21, 22
CLIENT_HELLO, SERVER_HELLO = 1, 2
MAX_RECORD = 16384 + 2048

# ECDHE, DHE and RSA with AES, 3DES and RC4 (old versions), and the AEAD suites of TLS 1.2, so that the one refusal that
# is left to a server is the one for the version.
CIPHER_SUITES = (
    0xC009, 0xC00A, 0xC013, 0xC014, 0x0033, 0x0039, 0x002F, 0x0035,
    0xC008, 0xC012, 0x0016, 0x000A, 0xC007, 0xC011, 0x0005, 0x0004,
    0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9, 0x009E, 0x009F, 0x009C, 0x009D, 0x00FF,
)  # fmt: skip
# What RFC 9325 section 4.2.1 forbids: no encryption, nobody authenticated, export, RC2, RC4, IDEA, DES, 3DES.
WEAK_CIPHER_SUITES = (
    0x0001, 0x0002, 0x003B, 0xC001, 0xC006, 0xC00B, 0xC010,  # NULL
    0x0018, 0x001B, 0x0034, 0x003A, 0x006C, 0x006D, 0x00A6, 0x00A7, 0xC015, 0xC016, 0xC017, 0xC018, 0xC019,  # anonymous
    0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0011, 0x0014, 0x0017, 0x0019, 0x0062, 0x0064,  # export
    0x0004, 0x0005, 0xC002, 0xC007, 0xC00C, 0xC011,  # RC4
    0x0007, 0x0009, 0x000C, 0x000F, 0x0012, 0x0015,  # IDEA, DES
    0x000A, 0x000D, 0x0010, 0x0013, 0x0016, 0xC003, 0xC008, 0xC00D, 0xC012,  # 3DES
)  # fmt: skip
GROUPS = (0x001D, 0x0017, 0x0018, 0x0019)  # x25519, secp256r1, secp384r1, secp521r1
SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)

ALERTS = {
    10: "unexpected_message",
    40: "handshake_failure",
    47: "illegal_parameter",
    50: "decode_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    109: "missing_extension",
    112: "unrecognized_name",
}


class HelloError(ValueError):
    """The answer is no TLS record."""


@dataclass(frozen=True)
class Answer:
    """What the server said first: a version it would speak, or an alert; neither when it closed the connection."""

    version: str = ""
    cipher_suite: int = 0
    alert: str = ""

    @property
    def accepted(self) -> bool:
        return bool(self.version)

    def __str__(self) -> str:
        if self.version:
            return f"ServerHello {self.version}, cipher suite 0x{self.cipher_suite:04X}"
        return f"alert {self.alert}" if self.alert else "connection closed"


def _vector(data: bytes, width: int) -> bytes:
    """`data` behind its length in `width` bytes (RFC 5246 section 4.3)."""
    return len(data).to_bytes(width, "big") + data


def _numbers(values: tuple[int, ...]) -> bytes:
    return b"".join(struct.pack(">H", value) for value in values)


def _extensions(version: int, server_name: str) -> bytes:
    """Server name, groups, point formats and, for TLS 1.2, signature algorithms (RFC 6066, 8422, 5246)."""
    name = _vector(b"\0" + _vector(server_name.encode("idna"), 2), 2)
    found = [(0, name), (10, _vector(_numbers(GROUPS), 2)), (11, b"\x01\x00")]
    if version >= VERSIONS["TLS 1.2"]:
        found.append((13, _vector(_numbers(SIGNATURES), 2)))
    return _vector(b"".join(struct.pack(">H", number) + _vector(body, 2) for number, body in found), 2)


def client_hello(
    version: str, server_name: str, random: bytes | None = None, *, suites: tuple[int, ...] = CIPHER_SUITES
) -> bytes:
    """One record with a ClientHello that offers `version` (a key of VERSIONS) and nothing newer, and these `suites`."""
    number = VERSIONS[version]
    body = struct.pack(">H", number) + (random or os.urandom(32)) + b"\0"  # no session to resume
    body += _vector(_numbers(suites), 2) + b"\x01\x00"  # no compression
    if number > VERSIONS["SSL 3.0"]:
        body += _extensions(number, server_name)
    # The record says 3.1 at most: some servers drop a first record that says more (RFC 5246 appendix E.1).
    outer = min(number, VERSIONS["TLS 1.0"])
    return bytes([HANDSHAKE]) + struct.pack(">H", outer) + _vector(bytes([CLIENT_HELLO]) + _vector(body, 3), 2)


def missing(data: bytes) -> int:
    """How many bytes are needed, at least, before `data` holds a whole first record; 0 when it does."""
    if len(data) < 5:
        return 5 - len(data)
    length = 5 + int.from_bytes(data[3:5], "big")
    if data[0] not in (ALERT, HANDSHAKE) or length > MAX_RECORD:
        raise HelloError(f"no TLS record: {data[:40]!r}")
    return max(0, length - len(data))


def parse_answer(data: bytes) -> Answer:
    """Read the first record of a server's answer; b"" is a closed connection.

    Raises:
        HelloError: `data` is no whole TLS record, or one that nobody sends first.
    """
    if not data:
        return Answer()
    if missing(data):
        raise HelloError(f"a TLS record that was cut off: {data[:40]!r}")
    body = data[5:]
    if data[0] == ALERT and len(body) >= 2:
        return Answer(alert=ALERTS.get(body[1], str(body[1])))
    if data[0] == HANDSHAKE and len(body) >= 39 and body[0] == SERVER_HELLO:
        number = int.from_bytes(body[4:6], "big")
        after_session = 39 + body[38]
        suite = int.from_bytes(body[after_session : after_session + 2], "big")
        return Answer(version=NAMES.get(number, f"0x{number:04X}"), cipher_suite=suite)
    raise HelloError(f"a TLS record that is neither alert nor ServerHello: {data[:40]!r}")
