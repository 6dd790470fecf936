# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Messages whose signature must verify at the receiver, or which must be refused with a text: one row each.

As Debian ships it, Postfix rewrites some of them after they were signed (long lines, 8-bit text to a receiver without
8BITMIME). A row is sent through a submission port and read at the receiver; a case found later is one more row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Envelope:
    """Who sends to whom, and a word that is found in the message."""

    sender: str
    recipient: str
    token: str


@dataclass(frozen=True)
class Case:
    """One message.

    `build` gives its bytes as the client means them, before dots are stuffed. `survives` means: taken with 250, and at
    the receiver the signature of the sender's domain verifies and the body is what was sent (with `altered`: need not
    be); `refused` means 5xx with a text at the end of the data. With `chunks` it goes by BDAT in that many pieces.
    """

    name: str
    build: Callable[[Envelope], bytes]
    expectation: Literal["survives", "refused"] = "survives"
    altered: bool = False
    chunks: int = 0


def message(envelope: Envelope, body: bytes = b"Hello.\r\n", *fields: bytes, without: tuple[str, ...] = ()) -> bytes:
    """A message with the usual fields, less those `without`, then `fields` (no line ends), then `body`."""
    usual = {
        "From": envelope.sender,
        "To": envelope.recipient,
        "Subject": f"survival {envelope.token}",
        "Date": "Tue, 24 Nov 2026 10:00:00 +0000",
        "Message-ID": f"<{envelope.token}@{envelope.sender.partition('@')[2]}>",
    }
    lines = [f"{name}: {value}".encode() for name, value in usual.items() if name not in without]
    return b"".join(line + b"\r\n" for line in (*lines, *fields, b"")) + body


def without(*names: str) -> Callable[[Envelope], bytes]:
    """A message that lacks the fields `names`."""
    return lambda envelope: message(envelope, without=names)


def resent(*names: str) -> Callable[[Envelope], bytes]:
    """A message that lacks the fields `names`, sent again by its sender (RFC 5322 section 3.6.6)."""
    return lambda envelope: message(envelope, b"Hello.\r\n", b"Resent-From: " + envelope.sender.encode(), without=names)


def body(text: bytes, *fields: bytes) -> Callable[[Envelope], bytes]:
    """A message with this body and these further fields."""
    return lambda envelope: message(envelope, text, *fields)


def field(*fields: bytes) -> Callable[[Envelope], bytes]:
    """A message with these further fields."""
    return lambda envelope: message(envelope, b"Hello.\r\n", *fields)


def subject(value: bytes) -> Callable[[Envelope], bytes]:
    """A message with this subject."""
    return lambda envelope: message(envelope, b"Hello.\r\n", b"Subject: " + value, without=("Subject",))


def empty(name: str) -> Callable[[Envelope], bytes]:
    """A message whose field `name` is empty."""
    return lambda envelope: message(envelope, b"Hello.\r\n", name.encode() + b":", without=(name,))


def from_field(before: bytes) -> Callable[[Envelope], bytes]:
    """A message whose From: has `before` in front of the address in angle brackets."""
    return lambda envelope: message(
        envelope, b"Hello.\r\n", b"From: " + before + f"<{envelope.sender}>".encode(), without=("From",)
    )


def lines(content: bytes) -> bytes:
    """`content` cut into lines of 76 characters, as base64 is written."""
    return b"".join(content[start : start + 76] + b"\r\n" for start in range(0, len(content), 76))


def attachment(size: int) -> Callable[[Envelope], bytes]:
    """Text and an attachment of `size` bytes in base64 beside it."""

    def build(envelope: Envelope) -> bytes:
        parts = (
            b'--b\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\nSee the attachment.\r\n'
            b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        )
        text = parts + lines(b"QUJD" * (size // 3)) + b"--b--\r\n"
        return message(envelope, text, b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=b")

    return build


def forwarded(envelope: Envelope) -> bytes:
    """A message attached whole, with fields that would be refused were they the message's own."""
    inner = (
        b"Received: from a.example (a.example [10.1.2.3])\r\n\tby mx1.yard.example (Postfix) with ESMTPS id 1; then\r\n"
        b"From: a@one.example, b@two.example\r\nX-Mailbox-Line: From c\r\nSubject: inner\r\n\r\nInner text.\r\n"
    )
    text = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"--b--\r\n"
    return message(envelope, text, b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=b")


EIGHT_BIT = (b"MIME-Version: 1.0", b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit")
GREETING = "Grüße aus Köln, 你好\r\n".encode()

CASES = (
    Case("plain", message),
    # What is missing is added before the signature.
    Case("no Date", without("Date")),
    Case("no Message-ID", without("Message-ID")),
    Case("no From", without("From")),
    Case("no To", without("To")),
    Case("no Subject", without("Subject")),
    Case("no field at all", without("From", "To", "Subject", "Date", "Message-ID")),
    Case("resent", resent()),
    # Postfix adds Resent-Message-ID to these, and no Message-ID.
    Case("resent, no Message-ID", resent("Message-ID"), "refused"),
    Case("resent, no Date", resent("Date"), "refused"),
    Case("resent, no From", resent("From"), "refused"),
    Case("empty Message-ID", empty("Message-ID"), "refused"),
    # Lines longer than 998, the most that RFC 5321 section 4.5.3.1.6 has.
    Case("body line of 1 500", body(b"x" * 1500 + b"\r\n")),
    Case("body line of 5 000 words", body(b"word " * 5000 + b"\r\n")),
    Case("body line of 998", body(b"x" * 998 + b"\r\n")),
    Case("subject of 1 200", subject(b"y" * 1200)),
    Case("folded field of 1 200", field(b"X-Long: " + b"\r\n ".join([b"z" * 70] * 17))),
    Case("field of 40 000", field(b"References: " + b"\r\n ".join([b"<0123456789@acme.example>"] * 1500))),
    Case("header of 70 000", field(*(b"X-%d: " % n + b"z" * 690 for n in range(100))), "refused"),
    Case("300 fields", field(*(b"X-%d: z" % n for n in range(300)))),
    # Text that is not ASCII.
    Case("8-bit body", body(GREETING, *EIGHT_BIT)),
    Case("8-bit body without MIME", body(GREETING)),
    Case("8-bit body in Latin-1", body(GREETING[:13].decode().encode("latin-1") + b"\r\n", *EIGHT_BIT)),
    Case("8-bit subject", subject("Grüße".encode())),
    Case("8-bit body line of 1 500", body("ü".encode() * 750 + b"\r\n", *EIGHT_BIT)),
    Case("8-bit part of a multipart", body(
        b"--b\r\n" + b"\r\n".join(EIGHT_BIT[1:]) + b"\r\n\r\n" + GREETING + b"--b--\r\n",
        b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=b",
    )),
    Case("binary by BDAT", body(bytes(range(14, 256)) * 4 + b"\r\n"), chunks=1),
    Case("8-bit display name", from_field("Jörg ".encode())),
    Case("encoded display name", from_field(b"=?utf-8?q?J=C3=B6rg?= ")),
    Case("quoted display name with a comma", from_field(b'"Last, First" ')),
    Case("folded display name", from_field(b'First\r\n Last\r\n ')),
    # BDAT (RFC 3030).
    Case("by BDAT", message, chunks=1),
    Case("8-bit by BDAT in 7 chunks", body(GREETING * 20, *EIGHT_BIT), chunks=7),
    Case("by BDAT, cut between CR and LF", body(b"\r\n" * 40), chunks=101),
    Case("by BDAT, no line end at the end", body(b"no end"), chunks=2, altered=True),
    # Odd line ends, and what is where they are.
    Case("empty body", body(b"")),
    Case("body of blank lines", body(b"\r\n" * 5)),
    Case("blank lines at the end", body(b"text\r\n\r\n\r\n\r\n")),
    Case("white space at line ends", body(b"text \t \r\n  \t\r\n two  spaces\r\n")),
    Case("lines that begin with dots", body(b".\r\n..\r\n.text\r\n...\r\n")),
    Case("lines that begin with From", body(b"From here on\r\n>From there\r\n")),
    Case("bare CR in the body", body(b"one\rtwo\r\r\nthree\r\n"), altered=True),
    Case("bare CR in a field", field(b"X-Odd: one\rtwo")),
    Case("bare LF in the body", body(b"one\ntwo\r\n"), "refused"),
    Case("bare LF in a field", field(b"X-Odd: one\nX-Other: two"), "refused"),
    Case("nothing but LF", lambda envelope: message(envelope).replace(b"\r\n", b"\n") + b"\r\n", "refused"),
    Case("bare LF by BDAT", body(b"one\ntwo\r\n"), "refused", chunks=1),
    Case("NUL in the body", body(b"one\x00two\r\n"), "refused"),
    Case("NUL in a field", field(b"X-Odd: one\x00two"), "refused"),
    Case("mbox line first", lambda envelope: b"From a@b Tue Nov 24 2026\r\n" + message(envelope), "refused"),
    # Whole messages of others, and much of it.
    Case("forwarded message", forwarded),
    Case("fields that Postfix drops", field(b"Return-Path: <a@b.example>", b"Bcc: c@d.example", b"Content-Length: 3")),
    Case("DKIM-Signature of another", field(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=x; h=from; bh=AA==; b=AA==",
    )),
    Case("attachment of 20 MB", attachment(20 * MEGABYTE)),
    Case("larger than the limit", attachment(60 * MEGABYTE), "refused"),
)  # fmt: skip
