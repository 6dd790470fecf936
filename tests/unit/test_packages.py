# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The policy under which packages are installed: whose it is, and what stands there afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import inspection, packages
from ansible_collections.sendyard.mail.plugins.module_utils.host import files
from ansible_collections.sendyard.mail.plugins.module_utils.host.command import Result

OWNERS = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy-rc.d"
    for module in (inspection, packages):
        monkeypatch.setattr(module, "POLICY", path)
        monkeypatch.setattr(module, "POLICY_ASIDE", tmp_path / "aside")
    monkeypatch.setattr(files, "owner_id", lambda _: os.geteuid())
    monkeypatch.setattr(files, "group_id", lambda _: os.getegid())
    return path


def left(policy: Path) -> list[str]:
    return [path.read_text() for path in policy.parent.iterdir()]


@pytest.mark.parametrize("before", ["", OWNERS])
def test_a_policy_stands_while_packages_are_installed(policy: Path, before: str) -> None:
    if before:
        policy.write_text(before)
    with packages.nothing_starts():
        assert policy.read_bytes() == packages.FORBID
        assert policy.stat().st_mode & 0o777 == 0o755
        assert inspection.installation_is_unfinished()
    assert not inspection.installation_is_unfinished()
    assert left(policy) == [before] * bool(before)


@pytest.mark.parametrize("before", ["", OWNERS])
def test_a_killed_run_leaves_it_to_the_next(policy: Path, before: str) -> None:
    if before:
        policy.write_text(before)
    packages.nothing_starts().__enter__()  # and never out of it
    assert inspection.installation_is_unfinished()
    with packages.nothing_starts():
        assert policy.read_bytes() == packages.FORBID
    assert left(policy) == [before] * bool(before)


def test_an_owners_policy_may_be_put_aside_before_ours_stands(policy: Path) -> None:
    policy.with_name("aside").write_text(OWNERS)
    assert inspection.installation_is_unfinished()
    with packages.nothing_starts():
        pass
    assert left(policy) == [OWNERS]


@pytest.mark.parametrize(("audit", "stays"), [("", False), ("postfix is only half configured", True)])
def test_what_failed_goes_on_forbidding_where_dpkg_has_half_a_package(
    policy: Path, monkeypatch: pytest.MonkeyPatch, audit: str, stays: bool
) -> None:
    monkeypatch.setattr(packages, "_patiently", lambda *argv: Result(argv, 0, audit, ""))
    with pytest.raises(packages.PackagesError), packages.nothing_starts():
        raise packages.PackagesError("no mirror")
    assert policy.exists() is stays


def test_a_program_that_is_at_work_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PAUSE", 0.0)
    busy = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 612 (apt-get)"
    script = f"test -e {tmp_path}/tried && exit; touch {tmp_path}/tried; echo '{busy}' >&2; exit 100"
    assert packages._patiently("sh", "-c", script).ok
    assert packages._patiently("sh", "-c", "echo 'E: Unable to locate package' >&2; exit 100").rc == 100
