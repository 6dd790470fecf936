# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Templates and programs with a mistake in them, and where the message about it must point."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    """In `file` of the tree `old` becomes `new` (where `old` is empty, `new` is added at the end).

    `says` is a regular expression for the message: file and line as they are on the host.
    """

    name: str
    file: str
    old: str
    new: str
    says: str


BREAKS = (
    Break(
        "misspelt restriction",
        "roles/postfix/templates/main.cf.j2",
        "reject_non_fqdn_recipient",
        "reject_none_fqdn_recipient",
        r"main\.cf line \d+: .*reject_none_fqdn_recipient",
    ),
    Break(
        "listener without the signer",
        "roles/postfix/templates/master.cf.j2",
        "-o smtpd_milters={{ __postfix_milters | join(',') }}",
        "-o smtpd_milters={{ __postfix_milters[0] }}",
        r"master\.cf line \d+: submission \(port 587\): smtpd_milters",
    ),
    Break(
        "pattern that does not compile",
        "roles/postfix/templates/submission_header_checks.pcre.j2",
        "",
        "/([/ REJECT\n",
        r"submission_header_checks\.pcre, line \d+",
    ),
    Break(
        "option that OpenDKIM does not know",
        "roles/signer/templates/opendkim.conf.j2",
        "RequireSafeKeys ",
        "RequireSaveKeys ",
        r"opendkim\.conf.*line \d+.*RequireSaveKeys|RequireSaveKeys.*opendkim\.conf.*line \d+",
    ),
    Break(
        "server of transport policies that does not compile",
        "agent/sendyard/transport_policy.py",
        "class Judge:",
        "class Judge((:",
        r"sendyard/transport_policy\.py.*line \d+",
    ),
    Break(
        "gate that does not compile",
        "agent/sendyard/gate.py",
        "class Gate(",
        "class Gate((",
        r"sendyard/gate\.py.*line \d+",
    ),
    Break(
        "setting that Dovecot does not know",
        "roles/auth/templates/_auth_service.j2",
        "service auth {",
        "nosuch_setting = 1\nservice auth {",
        r"dovecot\.conf.*line \d+.*nosuch_setting|nosuch_setting.*dovecot\.conf.*line \d+",
    ),
    Break(
        "rule that nftables does not know",
        "roles/firewall/templates/firewall.nft.j2",
        "iif lo accept",
        "iif lo acept",
        r"firewall\.nft:\d+",
    ),
    Break(
        "option that Unbound does not know",
        "roles/resolver/templates/unbound.conf.j2",
        "server:",
        "server:\n    no-such-option: yes",
        r"sendyard\.conf:\d+.*no-such-option",
    ),
)
