# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.host import command, files, systemd
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import probe_login, probe_names
from sendyard import from_header

FQDN = "mx1.yard.example"
GROUP = files.group_name(os.getegid())
TABLE = {
    "host": {"name": "mx1", "fqdn": FQDN, "selector": "s1"},
    "domains": {
        FQDN: {"logins": [], "record_settings": "0"},
        "acme.example": {"logins": ["app@acme.example"], "record_settings": "1"},
        "globex.example": {"logins": [], "record_settings": "2"},
        "new.example": {"logins": [], "record_settings": "3"},
    },
}
PUBLISHED = {FQDN: "k0", "acme.example": "k1", "globex.example": "k2"}


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run."""
    ran: list[list[str]] = []

    def run(argv: list[str], **_options: Any) -> command.Result:
        ran.append(list(argv))
        return command.Result(tuple(argv), 0, "", "")

    monkeypatch.setattr(systemd, "run", run)
    return ran


@pytest.fixture
def make(tmp_path: Path, programs: list[list[str]]) -> Callable[..., probe_login.Made]:
    def make(*domains: str, lifetime: int = 600) -> probe_login.Made:
        return probe_login.make(domains, FQDN, lifetime=lifetime, path=tmp_path / "logins", group=GROUP)

    return make


def test_only_published_domains_other_than_the_own_are_due() -> None:
    digests = probe_login.proof_digests(TABLE, PUBLISHED)
    assert probe_login.due(digests, {}, everything=False) == ["acme.example", "globex.example"]


def test_what_was_proven_is_due_again_when_key_or_logins_change() -> None:
    proven = probe_login.proof_digests(TABLE, PUBLISHED)
    assert probe_login.due(proven, proven, everything=False) == []
    assert probe_login.due(proven, proven, everything=True) == ["acme.example", "globex.example"]
    rotated = probe_login.proof_digests(TABLE, {**PUBLISHED, "acme.example": "k9"})
    assert probe_login.due(rotated, proven, everything=False) == ["acme.example"]
    entry = {"logins": ["new@globex.example"], "record_settings": "2"}
    changed = {**TABLE, "domains": {**TABLE["domains"], "globex.example": entry}}
    assert probe_login.due(probe_login.proof_digests(changed, PUBLISHED), proven, everything=False) == [
        "globex.example"
    ]


def test_a_domain_that_failed_is_forgotten_and_so_due_again() -> None:
    digests = {"a.example": "1", "b.example": "2"}
    memory = probe_login.remembered(digests, {"a.example": "1", "gone.example": "0"}, ["b.example"], ["a.example"])
    assert memory == {"b.example": "2"}


def test_logins_are_named_so_that_gate_and_postfix_know_their_one_sender(
    make: Callable[..., probe_login.Made], tmp_path: Path
) -> None:
    made = make("acme.example")
    lines = (tmp_path / "logins").read_text().splitlines()
    names = [line.partition(":")[0] for line in lines]
    assert names == [f"{made.prefix}={FQDN}@{FQDN}", f"{made.prefix}=acme.example@{FQDN}"]
    assert (tmp_path / "logins").stat().st_mode & 0o777 == 0o640
    assert made.password not in (tmp_path / "logins").read_text()
    assert all(re.fullmatch(r"[^:]+:\{SSHA512\}[^:]+:::expires=\d+::", line) for line in lines)
    assert probe_names.sender_address(made.prefix, "acme.example") == f"{made.prefix}@acme.example"


def test_the_gate_lets_such_a_login_send_from_its_address_and_no_other(make: Callable[..., probe_login.Made]) -> None:
    made = make()

    def gate(local: str, domain: str) -> None:
        login = probe_names.login_name(made.prefix, "acme.example", FQDN)
        submitter = from_header.Submitter(login, True, f"<{local}@{domain}>")
        from_header.check(from_header.Author(local, domain), submitter, FQDN, lambda _domain: [])

    gate(made.prefix, "acme.example")
    for local, domain in ((made.prefix, "globex.example"), ("ceo", "acme.example"), (made.prefix, FQDN)):
        with pytest.raises(from_header.Refused):
            gate(local, domain)


def test_a_timer_ends_the_logins_before_they_are_there(
    make: Callable[..., probe_login.Made], programs: list[list[str]]
) -> None:
    made = make(lifetime=90)
    (armed,) = programs
    assert armed[0] == "systemd-run"
    assert "--on-active=90s" in armed
    assert f"/^{made.prefix}=/d" in armed
    assert made.password not in " ".join(armed)


def test_taking_away_leaves_what_others_have(
    make: Callable[..., probe_login.Made], tmp_path: Path, programs: list[list[str]]
) -> None:
    path = tmp_path / "logins"
    mine, other = make(), make()
    expired = f"probe-ffffffffffffffff=x@{FQDN}:hash:::expires=1::\n"
    path.write_text(f"unmarked@{FQDN}:hash\n{expired}{path.read_text()}")
    assert probe_login.take_away(mine.prefix, path=path, group=GROUP)
    kept = path.read_text()
    assert mine.prefix not in kept
    assert expired not in kept
    assert other.prefix in kept
    assert kept.startswith("unmarked@")
    assert not probe_login.take_away(mine.prefix, path=path, group=GROUP)
    assert programs[-1] == ["systemctl", "stop", f"sendyard-{mine.prefix}.timer"]


def test_taking_away_where_nothing_was_made_is_no_fault(tmp_path: Path, programs: list[list[str]]) -> None:
    assert not probe_login.take_away("probe-0123456789abcdef", path=tmp_path / "logins", group=GROUP)
    assert not (tmp_path / "logins").exists()
