# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What apt reads of the role's file, and which units the host's program finds to run what was replaced."""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import render

APT = "/etc/apt/apt.conf.d/52sendyard-updates"
SCRIPT = render.ROLES / "updates/files/restart_replaced.py"
DEBIANS = 'Unattended-Upgrade::Origins-Pattern { "origin=Debian"; };\nAPT::Periodic::Unattended-Upgrade "1";\n'


def load() -> ModuleType:
    """The script as a module."""
    loader = SourceFileLoader("restart_replaced", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


program = load()


def apt_has(tmp_path: Path, **variables: Any) -> dict[str, list[str]]:
    """What apt makes of the role's file beside Debian's: values by name."""
    directory = tmp_path / "apt.conf.d"
    directory.mkdir()
    (directory / "50unattended-upgrades").write_text(DEBIANS)
    (directory / "52sendyard-updates").write_text(render.role_files("updates", **variables)[APT].content)
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::Etc::parts "{directory}";\n')
    command = ["apt-config", "dump", "--format", "%f=%v%n"]
    environment = {"APT_CONFIG": str(config), "PATH": "/usr/bin:/bin"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout
    values: dict[str, list[str]] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        values.setdefault(name, []).append(value)
    return values


def test_only_security_updates_are_installed_and_nothing_boots(tmp_path: Path) -> None:
    values = apt_has(tmp_path)
    origins = ["origin=Debian,codename=${distro_codename}-security,label=Debian-Security"]
    assert values["Unattended-Upgrade::Origins-Pattern::"] == origins
    assert values["APT::Periodic::Unattended-Upgrade"] == values["APT::Periodic::Update-Package-Lists"] == ["1"]
    assert values["Unattended-Upgrade::Automatic-Reboot"] == ["false"]
    assert values["DPkg::Options::"] == ["--force-confdef", "--force-confold"]


def test_the_owners_choices_are_apts(tmp_path: Path) -> None:
    values = apt_has(
        tmp_path, updates_enabled=False, updates_held=["postfix", "linux-.*"], updates_reboot=True,
        updates_reboot_time="02:30", updates_origins=["origin=Debian", "site=packages.example"],
    )  # fmt: skip
    assert values["APT::Periodic::Unattended-Upgrade"] == ["0"]
    assert values["Unattended-Upgrade::Origins-Pattern::"] == ["origin=Debian", "site=packages.example"]
    assert values["Unattended-Upgrade::Package-Blacklist::"] == ["postfix", "linux-.*"]
    assert values["Unattended-Upgrade::Automatic-Reboot"] == ["true"]
    assert values["Unattended-Upgrade::Automatic-Reboot-Time"] == ["02:30"]


MAPS = """\
55d000-55e000 r-xp 00001000 00:6e 1535409                    /usr/sbin/opendkim{mark}
7f1000-7f2000 rw-p 00000000 00:00 0
7f3000-7f4000 rw-s 00000000 00:01 1024                       /memfd:x (deleted)
7f5000-7f6000 rw-s 00000000 00:01 77                         /var/lib/opendkim/table (deleted)
7ffc00-7ffd00 rw-p 00000000 00:00 0                          [stack]
"""


@pytest.mark.parametrize(("mark", "found"), [("", ""), (" (deleted)", "/usr/sbin/opendkim")])
def test_only_what_packages_bring_counts_as_replaced(mark: str, found: str) -> None:
    assert program.replaced(MAPS.format(mark=mark)) == found


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/sendyard-opendkim.service\n", "sendyard-opendkim.service"),
        ("12:cpu:/\n1:name=systemd:/system.slice/system-postfix.slice/postfix@-.service\n", "postfix@-.service"),
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/a.service\n", "user@1.service"),
        ("0::/user.slice/user-1.slice/session-3.scope\n", ""),
    ],
)
def test_a_process_belongs_to_the_systems_unit(cgroup: str, unit: str) -> None:
    assert program.unit_of(cgroup) == unit


def test_units_that_run_what_was_replaced_are_found_and_no_others(tmp_path: Path) -> None:
    units = {
        "self": "sendyard-restart",
        "1": "sendyard-restart",
        "2": "sendyard-gate",
        "3": "postgresql",
        "4": "dovecot",
    }
    for pid, unit in units.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(f"0::/system.slice/{unit}.service\n")
        (tmp_path / pid / "maps").write_text(MAPS.format(mark="" if unit == "dovecot" else " (deleted)"))
    wanted = program.patterns("# a comment\nsendyard-*.service\ndovecot.service\n\n")
    assert program.outdated(wanted, tmp_path) == ({"sendyard-gate.service": "/usr/sbin/opendkim"}, [])


def test_it_sees_that_apt_is_at_work_without_standing_in_its_way(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not program.locked(lock)
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    argv = [sys.executable, "-c", hold, str(lock)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert program.locked(lock)
        holder.communicate("\n", timeout=30)
    assert not program.locked(lock)
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_that_was_written_again_asks_for_a_reload(tmp_path: Path) -> None:
    path = tmp_path / "dynamicmaps.cf"
    files = {path: "postfix.service"}
    looks = [program.stamps(files)]
    for number, content in enumerate(("lmdb\n", "lmdb\n", None)):
        if path.exists():
            path.rename(tmp_path / f"old-{number}")  # so that its inode is not used again
        if content:
            path.write_text(content)
        looks.append(program.stamps(files))
    program.remember(looks[1], tmp_path / "run/seen.json")
    assert json.loads((tmp_path / "run/seen.json").read_text()) == looks[1]
    told = {"postfix.service": str(path)}
    assert [program.rewritten(files, before, now) for before, now in itertools.pairwise(looks)] == [told] * 3
    assert program.rewritten(files, looks[2], looks[2]) == {}
