# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that chance makes of those in the table."""

from __future__ import annotations

import random
from collections.abc import Iterator

from cases.from_forms import BAD, CASES, GOOD

_PIECES = (
    *(b"\r\n ", b"\r\n\t", b"\r\n", b" \r\n ", b" ", b"\t", b"\r", b"\x00", b"\x0b", b"\x7f", b"\x85"),
    *(b'"', b"\\", b"(", b")", b"<", b">", b",", b";", b":", b"@", b".", b"[", b"]", b"%", b"!", b"="),
    *(b"From: ", b"from:", b"From : ", b">From ", b"Sender: ", b"Resent-From: ", b"X-A: b\r\n"),
    *(b"ceo@globex.example", b"<ceo@globex.example>", b"app@acme.example", b"<app@acme.example>", b"globex.example"),
    *(b"=?utf-8?q?", b"=?utf-8?b?", b"?=", b"=40", b"=2C", b"=?utf-8?q?ceo=40globex.example?="),
    *("é".encode(), "\u00a0".encode(), "\u2028".encode(), "\uff20".encode(), "\ufeff".encode(), b"\xff", b"\xc0\xbc"),
    *(BAD, GOOD, b"From:\r\n", b"Date: x\r\n"),
)
_LARGEST = 2000  # bytes of a row that is taken to begin with


def mutated(seed: int, count: int) -> Iterator[bytes]:
    """`count` headers, the same ones for the same `seed`."""
    chance = random.Random(seed)  # noqa: S311  to be had again
    rows = [case.header for case in CASES if len(case.header) <= _LARGEST]
    for _ in range(count):
        # Rows that are taken stand for as many as those that are not; most of what is made of the others is refused.
        header = chance.choice(rows) if chance.random() < 0.5 else GOOD
        for _ in range(chance.randint(1, 3)):
            header = _changed(header, chance)
        yield header if header.endswith(b"\r\n") else header + b"\r\n"


def _changed(header: bytes, chance: random.Random) -> bytes:
    """One change: something put in, taken out, doubled, or two lines exchanged."""
    at = chance.randrange(len(header) + 1)
    match chance.randrange(5):
        case 0 | 1:
            return header[:at] + chance.choice(_PIECES) + header[at:]
        case 2:
            return header[:at] + header[at + chance.randint(1, 4) :]
        case 3:
            end = min(len(header), at + chance.randint(1, 30))
            return header[:end] + header[at:end] + header[end:]
        case _:
            lines = header.splitlines(keepends=True)
            chance.shuffle(lines)
            return b"".join(lines)
