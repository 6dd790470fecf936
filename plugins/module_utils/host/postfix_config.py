# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix's two files as data, and what can be said of them without running anything (postconf(5), master(5)).

Postfix itself checks little: `postconf` and `postfix check` accept a misspelt restriction, a missing map and
`smtpd_tls_security_level = maybe`. What they let through is looked for here; a staged instance finds the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SendyardError


class PostfixConfigError(SendyardError):
    """A line of main.cf or master.cf that is not what it should be."""


@dataclass(frozen=True)
class Setting:
    """`name = value` of main.cf, with the line (from 1) on which it starts."""

    name: str
    value: str
    line: int


@dataclass(frozen=True)
class Service:
    """One service of master.cf: its eight fields, and the `-o` overrides of its command."""

    name: str
    type: str
    private: str
    unprivileged: str
    chroot: str
    wakeup: str
    maxproc: str
    command: str
    arguments: str  # as written, `-o` included
    overrides: Mapping[str, str]
    line: int

    @property
    def label(self) -> str:
        """How postconf -P names it, such as "submission/inet"."""
        return f"{self.name}/{self.type}"


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The logical lines of main.cf or master.cf with the number of their first line.

    A line that starts with white space continues the one before; comments and empty lines may stand between
    (postconf(5)).
    """
    number, collected = 0, ""
    for count, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and collected:
            collected += " " + line.strip()
            continue
        if collected:
            yield number, collected
        number, collected = count, line.strip()
    if collected:
        yield number, collected


def parse_main(text: str) -> dict[str, Setting]:
    """The settings of main.cf; of one given twice the last, as Postfix takes it.

    Raises:
        PostfixConfigError: a line without "=".
    """
    settings = {}
    for number, line in logical_lines(text):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise PostfixConfigError(f'main.cf line {number}: "{line[:60]}" is not of the form name = value.')
        settings[name.strip()] = Setting(name.strip(), value.strip(), number)
    return settings


def parse_master(text: str) -> list[Service]:
    """The services of master.cf, in order.

    Raises:
        PostfixConfigError: a line with fewer than eight fields.
    """
    services = []
    for number, line in logical_lines(text):
        fields = line.split(None, 7)
        if len(fields) < 8:
            raise PostfixConfigError(
                f'master.cf line {number}: "{line[:60]}" has {len(fields)} fields; a service has eight: service type '
                "private unpriv chroot wakeup maxproc command."
            )
        name, kind, private, unprivileged, chroot, wakeup, maxproc, rest = fields
        command, _blank, arguments = rest.partition(" ")
        services.append(
            Service(
                name=name,
                type=kind,
                private=private,
                unprivileged=unprivileged,
                chroot=chroot,
                wakeup=wakeup,
                maxproc=maxproc,
                command=command,
                arguments=arguments.strip(),
                overrides=dict(_overrides(arguments)),
                line=number,
            )
        )
    return services


def _overrides(arguments: str) -> Iterator[tuple[str, str]]:
    """The `-o name=value` and `-o { name = value }` of a command's arguments."""
    words = iter(_outside_braces(arguments, " \t"))
    for word in words:
        if word == "-o":
            setting = next(words, "")
            if setting.startswith("{") and setting.endswith("}"):
                setting = setting[1:-1]
            name, _equals, value = setting.partition("=")
            yield name.strip(), value.strip()


def with_settings(text: str, changes: Mapping[str, str]) -> str:
    """`main.cf` text with the lines of `changes`' names dropped and the new values at its end."""
    kept = [line for number, line in logical_lines(text) if line.partition("=")[0].strip() not in changes]
    return "\n".join([*kept, *(f"{name} = {value}" for name, value in changes.items())]) + "\n"


# --- values ---------------------------------------------------------------------------------------------------------

_TLS_LEVELS = ("none", "may", "encrypt")
_TLS_CLIENT_LEVELS = (*_TLS_LEVELS, "dane", "dane-only", "fingerprint", "verify", "secure")
_GRADES = ("export", "low", "medium", "high", "null")
# Parameters whose values are words of a list; "" stands for the empty value.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "smtpd_tls_security_level": ("", *_TLS_LEVELS),
    "smtp_tls_security_level": ("", *_TLS_CLIENT_LEVELS),
    "lmtp_tls_security_level": ("", *_TLS_CLIENT_LEVELS),
    "smtpd_tls_ciphers": _GRADES,
    "smtpd_tls_mandatory_ciphers": _GRADES,
    "smtp_tls_ciphers": _GRADES,
    "smtp_tls_mandatory_ciphers": _GRADES,
    "smtp_dns_support_level": ("", "disabled", "enabled", "dnssec"),
    "smtp_tls_dane_insecure_mx_policy": ("may", "encrypt", "dane"),
    "smtpd_sasl_type": ("cyrus", "dovecot"),
    "milter_default_action": ("accept", "reject", "tempfail", "quarantine", "shutdown"),
    "milter_protocol": ("2", "3", "4", "6"),
    "smtpd_forbid_bare_newline": ("yes", "no", "normalize", "note", "reject"),
    "smtp_address_preference": ("any", "ipv4", "ipv6"),
    "smtpd_tls_eecdh_grade": ("none", "strong", "ultra", "auto"),
}
_SASL_OPTIONS = frozenset({"noplaintext", "noactive", "nodictionary", "noanonymous", "forward_secrecy", "mutual_auth"})
# Lists of words, each from the same set.
CHOICE_LISTS: Mapping[str, frozenset[str]] = {
    "inet_protocols": frozenset({"all", "ipv4", "ipv6"}),
    "smtp_host_lookup": frozenset({"dns", "native"}),
    "notify_classes": frozenset({"bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"}),
    "internal_mail_filter_classes": frozenset({"bounce", "notify"}),
    "smtpd_sasl_security_options": _SASL_OPTIONS,
    "smtpd_sasl_tls_security_options": _SASL_OPTIONS,
}

# What a parameter takes, by what its default looks like: (default, value, in words).
_KINDS = (
    (re.compile(r"yes|no"), re.compile(r"yes|no"), "yes or no"),
    (re.compile(r"\d+[smhdw]"), re.compile(r"\d+[smhdw]?"), "a time such as 30s, 5m, 3h or 1d"),
    (re.compile(r"-?\d+"), re.compile(r"-?\d+"), "a whole number"),
)
# Their defaults look like a number, and they take other values too.
_UNTYPED = re.compile(r"compatibility_level|\w+_concurrency_(positive|negative)_feedback|\w+_tcp_port")


def bad_value(name: str, value: str, default: str) -> str:
    """What parameter `name` takes, where `value` is not that; "" where nothing is known against it.

    `value` is expanded. `default` is what postconf -d prints: a parameter whose default is yes or no is boolean, one
    whose default is a number or a time takes such.
    """
    if name in CHOICES:
        return "" if value in CHOICES[name] else f"one of {', '.join(filter(None, CHOICES[name]))}"
    if name in CHOICE_LISTS:
        good = all(word.lower() in CHOICE_LISTS[name] for word in split_list(value))
        return "" if good else f"any of {', '.join(sorted(CHOICE_LISTS[name]))}"
    if not _UNTYPED.fullmatch(name):
        for of_default, of_value, words in _KINDS:
            if of_default.fullmatch(default):
                return "" if of_value.fullmatch(value) else words
    return ""


def split_list(value: str) -> list[str]:
    """The elements of a list: separated by commas or white space, braces keep together what they hold."""
    return _outside_braces(value, ", \t\n")


def _outside_braces(text: str, separators: str) -> list[str]:
    """The non-empty parts of `text` between `separators` that stand outside of braces."""
    parts, current, depth = [], "", 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and character in separators:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part]


# --- restrictions ---------------------------------------------------------------------------------------------------

RESTRICTION_LISTS = frozenset(
    f"smtpd_{stage}_restrictions"
    for stage in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn")
)
# Restrictions that stand alone (postconf(5), smtpd_client_restrictions and those after it).
_PLAIN = frozenset(
    re.findall(
        r"\w+",
        """
        defer defer_if_permit defer_if_reject defer_unauth_destination permit permit_auth_destination
        permit_inet_interfaces permit_mx_backup permit_mynetworks permit_naked_ip_address
        permit_sasl_authenticated permit_tls_all_clientcerts permit_tls_clientcerts reject
        reject_authenticated_sender_login_mismatch reject_invalid_helo_hostname
        reject_known_sender_login_mismatch reject_multi_recipient_bounce reject_non_fqdn_helo_hostname
        reject_non_fqdn_recipient reject_non_fqdn_sender reject_plaintext_session reject_sender_login_mismatch
        reject_unauth_destination reject_unauth_pipelining reject_unauthenticated_sender_login_mismatch
        reject_unknown_client_hostname reject_unknown_forward_client_hostname reject_unknown_helo_hostname
        reject_unknown_recipient_domain reject_unknown_reverse_client_hostname reject_unknown_sender_domain
        reject_unlisted_recipient reject_unlisted_sender reject_unverified_recipient reject_unverified_sender
        warn_if_reject
        """,
    )
)
# Restrictions that take the next element as their argument.
_ARGUED = re.compile(
    r"check_(ccert|client|client_a|client_mx|client_ns|etrn|helo|helo_a|helo_mx|helo_ns|recipient|recipient_a|recipient_mx"
    r"|recipient_ns|reverse_client_hostname|reverse_client_hostname_a|reverse_client_hostname_mx"
    r"|reverse_client_hostname_ns|sasl|sender|sender_a|sender_mx|sender_ns)_access"
    r"|check_policy_service|(permit|reject)_(rbl_client|dnswl_client|rhswl_client|rhsbl_client|rhsbl_helo"
    r"|rhsbl_recipient|rhsbl_reverse_client|rhsbl_sender)|sleep"
)
_TABLE = re.compile(r"[a-z]\w*:.+")


def misspelt_restriction(value: str, classes: Sequence[str] = ()) -> str:
    """The first element of restriction list `value` (expanded) that Postfix does not know, "" if it knows all.

    `classes` are the words of smtpd_restriction_classes. A bare type:table is allowed (an access map of its stage).
    """
    elements = iter(split_list(value))
    for element in elements:
        if _ARGUED.fullmatch(element):
            if next(elements, None) is None:
                return f"{element} (what it looks up is missing)"
        elif not (element in _PLAIN or element in classes or _TABLE.fullmatch(element)):
            return element
    return ""


# --- files that values name -----------------------------------------------------------------------------------------

# Table types that are one file, with what the type appends to the name.
_FILE_TABLES = {
    "btree": ".db", "cdb": ".cdb", "cidr": "", "hash": ".db", "lmdb": ".lmdb", "pcre": "", "regexp": "", "texthash": "",
}  # fmt: skip
_TABLE_REFERENCE = re.compile(rf"(?<![\w-])({'|'.join(_FILE_TABLES)}):(/[^\s,{{}}]+)")
# Parameters whose value is the path of a file, or a list of such.
_FILE_PARAMETERS = re.compile(
    r"(smtpd?|lmtp|tls|postscreen)_tls_(chain_files|cert_file|key_file|CAfile|eccert_file|eckey_file|dh1024_param_file)"
)
# Caches that Postfix makes by itself.
_MADE_BY_POSTFIX = re.compile(r"\w+_(session_cache_database|cache_map|tls_cache)|address_verify_map")


def named_files(name: str, value: str) -> Iterator[Path]:
    """The files that must exist for parameter `name` with the expanded `value` to work."""
    if _MADE_BY_POSTFIX.fullmatch(name):
        return
    if _FILE_PARAMETERS.fullmatch(name):
        yield from (Path(word) for word in split_list(value) if word.startswith("/"))
    for match in _TABLE_REFERENCE.finditer(value):
        yield Path(match[2] + _FILE_TABLES[match[1]])


def named_tables(value: str) -> set[str]:
    """The tables of the expanded `value` that are one file, as type:path."""
    return {match[0] for match in _TABLE_REFERENCE.finditer(value)}


def lmdb_sources(text: str) -> set[Path]:
    """The files from which `lmdb:` tables named in `text` (main.cf or master.cf) are compiled."""
    return {Path(match[2]) for match in _TABLE_REFERENCE.finditer(text) if match[1] == "lmdb"}
