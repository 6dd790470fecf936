# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who speaks in a message, and whether they may: the one place that says what counts as the From domain.

Receivers do not agree on how a From: field is read (RFC 5322 section 3.6.2 allows lists, groups, comments and quoting,
and much else is seen in the wild). So what is taken here is narrow on purpose: a header that every reader reads alike,
with one author. Pure functions over what the mail server hands to a milter; no input, no output.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

FORMS = 'From must be one address: user@domain or "name" <user@domain>'

_VALUE_LIMIT = 998  # bytes of a From: field without its folds: the longest line of RFC 5322 section 2.1.1
_LOCAL_LIMIT = 64  # RFC 5321 section 4.5.3.1.1
_DOMAIN_LIMIT = 253  # RFC 1035 section 2.3.4, as text

# dot-atom (RFC 5322 section 3.2.3). No quoted local part: nobody has one, and readers differ over it.
_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = rb"(?P<local>" + _ATEXT + rb"(?:\." + _ATEXT + rb")*)"
_LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rb"(?P<domain>" + _LABEL + rb"(?:\." + _LABEL + rb")+)"
_ADDRESS = re.compile(_LOCAL + rb"@" + _DOMAIN)

# A quoted name has no quoted pair and no angle bracket: many readers look for the first "<" or the next quote.
_QUOTED_NAME = rb'"[^"\\<>\x00-\x1f\x7f]*"'
# An unquoted one has no "special" but the dot, which "John Q. Public" needs; as the first character it is not allowed
# (obs-phrase, RFC 5322 section 4.1), and on it, as on one right before the "<", Python's parser fails.
_PLAIN_NAME = rb'(?!\.)[^<>@,;:()\[\]"\\\x00-\x1f\x7f]*'
_NAMED = re.compile(rb"(?P<name>" + _QUOTED_NAME + rb"|" + _PLAIN_NAME + rb") *(?<!\.)<(?P<address>[^<>]*)>")

# RFC 2047 section 2, with the charsets that mail has: not those in which an ASCII byte is something else.
_CHARSET = (
    rb"(?P<charset>utf-8|us-ascii|iso-8859-[0-9]{1,2}|windows-[0-9]{3,4}|koi8-[ru]|iso-2022-(?:jp|kr)|euc-(?:jp|kr)"
    rb"|shift_jis|gb2312|gbk|gb18030|big5)"
)
_ENCODED_WORD = re.compile(rb"=\?" + _CHARSET + rb"\?(?P<encoding>[bq])\?(?P<text>[!->@-~]*)\?=", re.IGNORECASE)

_ADDRESS_OR_CONTROL = re.compile(r'[@"<>\\\x00-\x1f\x7f-\x9f\u2028\u2029]')

_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# In any field: what ends a line, or the text, for one reader and not for another. (\x0b … \x1e end lines for Python's
# str.splitlines.) A field from Postfix has "\n" before the white space of a fold and nowhere else.
_HIDDEN_LINE = re.compile(rb"[\x00\x0b\x0c\x1c-\x1e]|\r(?!\n)|\n(?![ \t])")

# Postfix adds these before a milter sees the header; to a message with a Resent- field, only Resent-Date and so on.
_COMPLETE = {"date": "Date", "message-id": "Message-ID"}

_PROBE_LOGIN = re.compile(r"(?P<prefix>probe-[0-9a-f]{16,64})=(?P<domain>[a-z0-9.-]+)@(?P<host>[a-z0-9.-]+)")


def is_probe(login: str) -> bool:
    """True if `login` is one that a proof makes for minutes."""
    return _PROBE_LOGIN.fullmatch(login) is not None


class Refused(Exception):
    """The message must not leave. The text is for the client that submitted it, and holds nothing of the content."""


@dataclass(frozen=True)
class Author:
    """The one address of the one From: field; the domain is in lower case."""

    local: str
    domain: str


@dataclass(frozen=True)
class Submitter:
    """Who handed the message over.

    `login` is the SASL name, "" without one. `listener` says that a submission service took the message; otherwise the
    host itself made it (a bounce, an alert). `sender` is the envelope's as a milter is told it: of what passes no SMTP
    server, Postfix leaves out the angle brackets, so that the null sender of a bounce is "".
    """

    login: str
    listener: bool
    sender: str


@dataclass
class Header:
    """The header of one message, field by field, as far as it matters who speaks."""

    _from_values: list[bytes] = field(default_factory=list)
    _lacking: set[str] = field(default_factory=lambda: set(_COMPLETE))
    _fault: str = ""

    def add(self, name: str, value: bytes) -> None:
        """Take the next field: its `name` as it was written before the colon, and its raw `value`, folds included."""
        if value.strip():
            self._lacking.discard(name.lower())
        letters = re.sub("[^a-z]", "", name.lower())
        if letters == "from":
            self._from_values.append(value)
            if name.lower() != "from":
                self._fault = "the From field must be written as From:"
        elif letters == "xmailboxline":  # what Postfix makes of a first line "From : …", which readers may still take
            self._fault = "the first line of the message is not a header field"
        if _HIDDEN_LINE.search(value) or not name.isprintable():
            self._fault = "a header field holds a control character or a bare CR or LF"

    def author(self) -> Author:
        """Return the one author.

        Raises:
            Refused: there is none, more than one, or the field can be read in more than one way.
        """
        if self._fault:
            raise Refused(self._fault)
        if len(self._from_values) != 1:
            raise Refused(f"exactly one From field is required, {len(self._from_values)} found")
        return parse_from(self._from_values[0])

    def require_complete(self) -> None:
        """Raise Refused where a field is missing without which a message is no message to receivers."""
        for name in filter(self._lacking.__contains__, _COMPLETE):
            raise Refused(f"a {_COMPLETE[name]} field is required; it is added only where there is no Resent- field")


def parse_from(value: bytes) -> Author:
    """Return the author that From: `value` names: `addr-spec`, or `name <addr-spec>` (RFC 5322 section 3.4).

    Raises:
        Refused: it is anything else, longer than 998 bytes, not UTF-8, or its domain is not made of A-labels.
    """
    lines = _FOLD.split(value)
    if any(not line.strip(b" \t") for line in lines[1:]):
        raise Refused(FORMS)  # a line of blanks ends the header for some readers
    if any(line.count(b'"') % 2 for line in lines):
        # Python's parseaddr ends a quoted string at a CR: '"ceo@other.example\r\n x" <app@own.example>' is ceo's to it.
        raise Refused("the quotes in From must close on the line on which they open")
    flat = b"".join(lines).replace(b"\t", b" ").strip(b" ")
    if len(flat) > _VALUE_LIMIT:
        raise Refused(f"the From field is longer than {_VALUE_LIMIT} bytes")
    named = _NAMED.fullmatch(flat)
    address = _ADDRESS.fullmatch(named["address"] if named else flat)
    if not address or not _is_utf8(flat):
        raise Refused(FORMS)
    if named and b"=?" in named["name"]:
        _check_encoded_words(named["name"])
    local, domain = address["local"].decode(), address["domain"].decode().lower()
    # "=?" in a local part would be an encoded word to some readers, and what it decodes to may hold an "@".
    if len(local) > _LOCAL_LIMIT or len(domain) > _DOMAIN_LIMIT or "=?" in local:
        raise Refused(FORMS)
    return Author(local, domain)


def _check_encoded_words(name: bytes) -> None:
    """Raise Refused unless those who decode display `name` first and parse it then find no address in it either."""
    try:
        decoded = "".join(_decode(word) for word in _ENCODED_WORD.finditer(name))
    except ValueError:
        raise Refused("an encoded word in From cannot be decoded") from None
    plain = _ENCODED_WORD.sub(b"", name)
    if b"=?" in plain or b"@" in plain or _ADDRESS_OR_CONTROL.search(decoded):
        raise Refused('a name in From that has encoded words must hold no @ " < > \\ and no control character')


def _decode(word: re.Match[bytes]) -> str:
    """The text of an encoded word. Raises ValueError where it is not base64."""
    if word["encoding"].lower() == b"b":
        raw = binascii.a2b_base64(word["text"], strict_mode=True)
    else:
        raw = binascii.a2b_qp(word["text"], header=True)
    # Some writers split a character over two words; what they show is their affair.
    return raw.decode(word["charset"].decode(), errors="replace")


def _is_utf8(value: bytes) -> bool:
    """True if `value` is UTF-8 without C1 control characters (RFC 6532 section 3.1)."""
    try:
        return not re.search("[\x80-\x9f\u2028\u2029]", value.decode())
    except UnicodeDecodeError:
        return False


def _domain_of(sender: str) -> str:
    """The domain of an envelope sender in lower case, for comparing and for a text."""
    return re.sub(r"[^a-z0-9.-]", "?", sender.rpartition("@")[2].lower())


def check(author: Author, submitter: Submitter, own_domain: str, owners: Callable[[str], Collection[str]]) -> None:
    """Return if `submitter` may speak as `author`.

    Args:
        own_domain: the host's own fully qualified name, under which it sends its bounces and alerts.
        owners: gives the logins (lower case) that own a domain, none for an unknown one.

    Raises:
        Refused: they may not.
    """
    login = submitter.login.lower()
    if not login:
        if submitter.listener:
            raise Refused("not authenticated")
        if author.domain != own_domain:
            raise Refused(f"From domain {author.domain}: this host itself sends only as {own_domain}")
        # A login's is bound to it by Postfix (smtpd_sender_login_maps); sendmail(1) asks nobody.
        sender = submitter.sender.removeprefix("<").removesuffix(">")
        if sender and (domain := _domain_of(sender)) != own_domain:
            raise Refused(f"envelope sender domain {domain}: this host itself sends only as {own_domain}")
    elif probe := _PROBE_LOGIN.fullmatch(login):
        # Made by the host's root for minutes; its name says the one address that it may use.
        allowed = Author(probe["prefix"], probe["domain"])
        if probe["host"] != own_domain or Author(author.local.lower(), author.domain) != allowed:
            raise Refused(f"login {login} may send as {allowed.local}@{allowed.domain} only")
    elif login not in owners(author.domain):
        raise Refused(f"From domain {author.domain} does not belong to login {login}")
