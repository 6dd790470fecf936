# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What some server takes for the end of a message and another does not, with two messages more behind it.

The first of the two is the login's own, which a sender that sees the end there would take; the second another tenant's,
which a receiver that sees it there would take, from an address that SPF allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from cases.from_forms import LOGIN

END = b"\r\n.\r\n"
# The ends that a server which takes a bare LF for a line end sees.
BARE_LF = (b"\n.\n", b"\n.\r\n", b"\r\n.\n")
ENDS = (
    *BARE_LF,
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\r.\r\r",
    b"\n\n.\n\n",
    b"\n\r.\n\r",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\x00\n.\r\x00\n",
    b"\n\x00.\x00\n",
    b"\r\n \x08.\r\n",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
    b"\x0b.\x0b",
    b"\x0c.\x0c",
    b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\x8d\x8a.\x8d\x8a",  # CR and LF with the eighth bit set
)


@dataclass(frozen=True)
class Smuggled:
    """Three messages of one body, to `first`, `own` and `other`; `foreign` is another tenant's address."""

    first: str
    own: str
    other: str
    foreign: str

    def content(self, end: bytes) -> bytes:
        """What is sent after DATA, without the true end; `end` stands where the second and third message begin."""
        return b"".join(
            (
                self._message(LOGIN, "first"),
                end,
                self._transaction(LOGIN, self.own),
                end,
                self._transaction(self.foreign, self.other),
            )
        )

    @staticmethod
    def _message(author: str, subject: str) -> bytes:
        return f"From: {author}\r\nSubject: {subject}\r\n\r\nHello.".encode()

    def _transaction(self, sender: str, recipient: str) -> bytes:
        commands = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
        return commands.encode() + self._message(sender, "behind it")
