# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of replies, and the registered enhanced status codes (RFC 3463, RFC 5248).

https://www.iana.org/assignments/smtp-enhanced-status-codes, as of 2024-12-06.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Category(enum.StrEnum):
    """Whose matter a reply is, and of which kind."""

    ACCEPTED = "accepted"
    RATE = "rate"
    REPUTATION = "reputation"
    AUTHENTICATION = "authentication"
    LISTED = "listed"
    CONTENT = "content"
    RECIPIENT = "recipient"
    SIZE = "size or quota"
    POLICY = "policy"
    TLS = "tls"
    DNS = "dns"
    THEIRS = "trouble of theirs"
    OURS = "trouble of ours"
    UNKNOWN = "unknown"


class Retry(enum.StrEnum):
    """Whether sending the message again helps."""

    BY_ITSELF = "by itself"  # Postfix does it, and nothing has to change
    MENDED = "once mended"
    NEVER = "never"
    DONE = "not needed"


@dataclass(frozen=True)
class Source:
    """Where a fact stands. `seen` is the date of the copy that was read where it bears one, else of the reading."""

    url: str
    seen: str  # ISO 8601


@dataclass(frozen=True)
class Registered:
    """One registered status code without its class: "7.28" stands for 4.7.28 and 5.7.28."""

    text: str
    category: Category


IANA = Source("https://www.iana.org/assignments/smtp-enhanced-status-codes/", "2024-12-06")

REGISTERED: Mapping[str, Registered] = {
    "0.0": Registered("other undefined status", Category.UNKNOWN),
    "1.0": Registered("other address status", Category.RECIPIENT),
    "1.1": Registered("bad destination mailbox address", Category.RECIPIENT),
    "1.2": Registered("bad destination system address", Category.RECIPIENT),
    "1.3": Registered("bad destination mailbox address syntax", Category.RECIPIENT),
    "1.4": Registered("destination mailbox address ambiguous", Category.RECIPIENT),
    "1.5": Registered("destination address valid", Category.ACCEPTED),
    "1.6": Registered("destination mailbox has moved, no forwarding address", Category.RECIPIENT),
    "1.7": Registered("bad sender's mailbox address syntax", Category.OURS),
    "1.8": Registered("bad sender's system address", Category.DNS),
    "1.9": Registered("message relayed to non-compliant mailer", Category.THEIRS),
    "1.10": Registered("recipient address has null MX", Category.RECIPIENT),
    "2.0": Registered("other or undefined mailbox status", Category.RECIPIENT),
    "2.1": Registered("mailbox disabled, not accepting messages", Category.RECIPIENT),
    "2.2": Registered("mailbox full", Category.SIZE),
    "2.3": Registered("message length exceeds administrative limit", Category.SIZE),
    "2.4": Registered("mailing list expansion problem", Category.THEIRS),
    "3.0": Registered("other or undefined mail system status", Category.THEIRS),
    "3.1": Registered("mail system full", Category.THEIRS),
    "3.2": Registered("system not accepting network messages", Category.THEIRS),
    "3.3": Registered("system not capable of selected features", Category.THEIRS),
    "3.4": Registered("message too big for system", Category.SIZE),
    "3.5": Registered("system incorrectly configured", Category.THEIRS),
    "3.6": Registered("requested priority was changed", Category.ACCEPTED),
    "4.0": Registered("other or undefined network or routing status", Category.THEIRS),
    "4.1": Registered("no answer from host", Category.THEIRS),
    "4.2": Registered("bad connection", Category.THEIRS),
    "4.3": Registered("directory server failure", Category.DNS),
    "4.4": Registered("unable to route", Category.DNS),
    "4.5": Registered("mail system congestion", Category.RATE),
    "4.6": Registered("routing loop detected", Category.THEIRS),
    "4.7": Registered("delivery time expired", Category.THEIRS),
    "5.0": Registered("other or undefined protocol status", Category.OURS),
    "5.1": Registered("invalid command", Category.OURS),
    "5.2": Registered("syntax error", Category.OURS),
    "5.3": Registered("too many recipients", Category.RATE),
    "5.4": Registered("invalid command arguments", Category.OURS),
    "5.5": Registered("wrong protocol version", Category.OURS),
    "5.6": Registered("authentication exchange line is too long", Category.OURS),
    "6.0": Registered("other or undefined media error", Category.CONTENT),
    "6.1": Registered("media not supported", Category.CONTENT),
    "6.2": Registered("conversion required and prohibited", Category.CONTENT),
    "6.3": Registered("conversion required but not supported", Category.CONTENT),
    "6.4": Registered("conversion with loss performed", Category.CONTENT),
    "6.5": Registered("conversion failed", Category.CONTENT),
    "6.6": Registered("message content not available", Category.CONTENT),
    "6.7": Registered("non-ASCII addresses not permitted for that sender/recipient", Category.RECIPIENT),
    "6.8": Registered("UTF-8 string reply is required, but not permitted by the SMTP client", Category.OURS),
    "6.9": Registered("UTF-8 header message cannot be transferred to a recipient", Category.CONTENT),
    "6.10": Registered("UTF-8 string reply is required (deprecated, see 6.8)", Category.OURS),
    "7.0": Registered("other or undefined security status", Category.POLICY),
    "7.1": Registered("delivery not authorized, message refused", Category.POLICY),
    "7.2": Registered("mailing list expansion prohibited", Category.POLICY),
    "7.3": Registered("security conversion required but not possible", Category.TLS),
    "7.4": Registered("security features not supported", Category.TLS),
    "7.5": Registered("cryptographic failure", Category.TLS),
    "7.6": Registered("cryptographic algorithm not supported", Category.TLS),
    "7.7": Registered("message integrity failure", Category.CONTENT),
    "7.8": Registered("authentication credentials invalid", Category.OURS),
    "7.9": Registered("authentication mechanism is too weak", Category.OURS),
    "7.10": Registered("encryption needed", Category.TLS),
    "7.11": Registered("encryption required for requested authentication mechanism", Category.TLS),
    "7.12": Registered("a password transition is needed", Category.OURS),
    "7.13": Registered("user account disabled", Category.OURS),
    "7.14": Registered("trust relationship required", Category.POLICY),
    "7.15": Registered("priority level is too low", Category.POLICY),
    "7.16": Registered("message is too big for the specified priority", Category.SIZE),
    "7.17": Registered("mailbox owner has changed", Category.RECIPIENT),
    "7.18": Registered("domain owner has changed", Category.RECIPIENT),
    "7.19": Registered("RRVS test cannot be completed", Category.THEIRS),
    "7.20": Registered("no passing DKIM signature found", Category.AUTHENTICATION),
    "7.21": Registered("no acceptable DKIM signature found", Category.AUTHENTICATION),
    "7.22": Registered("no valid author-matched DKIM signature found", Category.AUTHENTICATION),
    "7.23": Registered("SPF validation failed", Category.AUTHENTICATION),
    "7.24": Registered("SPF validation error", Category.AUTHENTICATION),
    "7.25": Registered("reverse DNS validation failed", Category.DNS),
    "7.26": Registered("multiple authentication checks failed", Category.AUTHENTICATION),
    "7.27": Registered("sender address has null MX", Category.DNS),
    "7.28": Registered("mail flood detected", Category.RATE),
    "7.29": Registered("ARC validation failure", Category.AUTHENTICATION),
    "7.30": Registered("REQUIRETLS support required", Category.TLS),
}


def registered(status: str) -> Registered | None:
    """What is registered for an enhanced status code such as "5.7.26"; None where nothing is."""
    return REGISTERED.get(status.partition(".")[2])
