# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whom receivers take for the author of a message: Python's parsers, in every field, and those who decode first."""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils


def author_domains(content: bytes) -> set[str]:
    """Every domain that a reader finds in the From: fields of `content`; "" where one finds an address without."""
    found: set[str] = set()
    plain = email.message_from_bytes(content, policy=email.policy.compat32)
    for value in plain.get_all("from", []):
        found |= _domains(str(value))
        found |= _domains(str(email.header.make_header(email.header.decode_header(value)))) - {""}
    modern = email.message_from_bytes(content, policy=email.policy.default)
    for field in modern.get_all("from", []):
        found.update(address.domain.lower() for address in field.addresses)
    return found


def _domains(value: str) -> set[str]:
    pairs = [email.utils.parseaddr(value), *email.utils.getaddresses([value])]
    return {address.rpartition("@")[2].lower() if "@" in address else "" for _, address in pairs}
