# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whom receivers take for the author of a message.

Python's parsers, in every field; those who decode first; and those who look for lines themselves, and take the first or
the last that reads as From.
"""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils
import re

_FROM_LINE = re.compile(rb"from[ \t]*:", re.IGNORECASE)


def author_domains(content: bytes) -> set[str]:
    """Every domain that a reader finds in the From: fields of `content`; "" where one finds an address without."""
    found: set[str] = set()
    plain = email.message_from_bytes(content, policy=email.policy.compat32)
    for value in plain.get_all("from", []):
        found |= _domains(str(value))
        found |= _domains(_decoded(str(value))) - {""}
    modern = email.message_from_bytes(content, policy=email.policy.default)
    for field in modern.get_all("from", []):
        found.update(address.domain.lower() for address in field.addresses)
    for lines in (content.split(b"\r\n"), content.split(b"\n"), content.splitlines()):
        fields = _from_lines(lines)
        for line in {*fields[:1], *fields[-1:]}:
            found |= _domains(line.decode(errors="replace"))
    return found


def _decoded(value: str) -> str:
    """`value` with its encoded words read as well as can be."""
    parts = []
    for part, charset in email.header.decode_header(value):
        try:
            parts.append(part if isinstance(part, str) else part.decode(charset or "ascii", errors="replace"))
        except LookupError:
            parts.append(part.decode("ascii", errors="replace"))
    return "".join(parts)


def _from_lines(lines: list[bytes]) -> list[bytes]:
    """The values of what reads as a From field in the header that ends at the first empty one of `lines`, unfolded."""
    fields: list[bytes] = []
    for line in lines:
        if not line.strip(b"\r"):
            break
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        else:
            fields.append(line)
    return [field.partition(b":")[2].strip() for field in fields if _FROM_LINE.match(field)]


def _domains(value: str) -> set[str]:
    pairs = [email.utils.parseaddr(value), *email.utils.getaddresses([value])]
    return {address.rpartition("@")[2].lower() if "@" in address else "" for _, address in pairs}
