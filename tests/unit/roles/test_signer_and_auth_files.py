# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What roles signer and auth put on a host, as far as the text says it. (What it does: tests/integration/signer.)"""

from __future__ import annotations

import re

import pytest
from render import host_config_calls, role_files

SIGNER = role_files("signer", signer_fqdn="mx1.yard.example", signer_selector="mx1-1")
OVERSIGNED = {"from", "to", "cc", "subject", "date", "message-id", "reply-to", "mime-version", "content-type"}
UNITS = [path for path in SIGNER if path.endswith(".service")]


def opendkim(name: str) -> str:
    """The value of a setting of opendkim.conf."""
    [value] = re.findall(rf"(?m)^{name}\s+(\S.*)$", SIGNER["/etc/sendyard/opendkim.conf"].content)
    return value


def rows(path: str) -> list[str]:
    return [line for line in SIGNER[path].content.splitlines() if line and not line.startswith("#")]


def test_the_tables_are_one_line_for_all_domains() -> None:
    assert rows("/etc/sendyard/SigningTable") == ["* all"]
    assert rows("/etc/sendyard/KeyTable") == ["all %:mx1-1:/etc/opendkim/keys/%.pem"]
    assert opendkim("KeyTable") == "file:/etc/sendyard/KeyTable"
    assert opendkim("SigningTable") == "file:/etc/sendyard/SigningTable"


def test_nothing_that_leaks_grows_or_breaks_a_signature_is_used() -> None:
    settings = re.sub(r"(?m)#.*$", "", SIGNER["/etc/sendyard/opendkim.conf"].content)
    assert not re.search(r"refile:|db:|lua|Script|BodyLengths?\b", settings, re.IGNORECASE)


def test_what_a_replayer_would_add_is_oversigned() -> None:
    signed = {name.lower() for name in opendkim("SignHeaders").split(",")}
    oversigned = {name.lower() for name in opendkim("OversignHeaders").split(",")}
    assert oversigned == OVERSIGNED
    assert oversigned | {"list-unsubscribe", "list-unsubscribe-post", "feedback-id"} <= signed
    assert {f"list-{name}" for name in ("id", "help", "subscribe", "post", "owner", "archive")} <= signed


@pytest.mark.parametrize("path", UNITS)
def test_a_unit_runs_as_a_user_of_its_own_without_network(path: str) -> None:
    unit = SIGNER[path].content
    assert re.search(r"(?m)^User=(sendyard-gate|opendkim)$", unit)
    assert "\nPrivateNetwork=yes\n" in unit
    assert "\nRestart=on-failure\n" in unit
    assert "\n\n[Install]\n" in unit
    assert "\nBefore=postfix.service postfix@-.service\n" in unit


def test_the_gate_is_the_program_of_this_tree() -> None:
    names = {path.rpartition("/")[2] for path in SIGNER if path.startswith("/usr/lib/sendyard/sendyard/")}
    assert names == {"__init__.py", "from_header.py", "gate.py", "limits.py"}
    assert SIGNER["/usr/lib/sendyard/sendyard/gate.py"].content.endswith("main()\n")


def test_the_sockets_are_for_the_group_postfix() -> None:
    [call] = host_config_calls("signer", signer_fqdn="mx1.yard.example", signer_selector="mx1-1")
    directories = {one["path"]: one for one in call["directories"]}
    for setting in ("gate_socket", "signer_socket"):
        directory = directories[call["settings"][setting].rpartition("/")[0]]
        assert (directory["mode"], directory["group"]) == ("2710", "postfix")


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_dovecot_knows_two_files_caches_none_and_serves_no_port(version: str) -> None:
    text = role_files("auth", auth_dovecot_version=version)["/etc/dovecot/dovecot.conf"].content
    assert re.findall(r"(?m)(/\S+-logins)$", text) == ["/etc/dovecot/sendyard-logins", "/run/sendyard/probe-logins"]
    assert "\nprotocols =\n" in text
    assert not re.search(r"(?m)^\s*auth_cache", text)
    assert ("dovecot_config_version" in text) == (version == "2.4")
