# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Run Ansible's programs as a user does, for tests."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv/bin"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def clean_environment(**more: str) -> dict[str, str]:
    """What the tests inherit, without what would change how Ansible works, and `more`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    return {**inherited, **more}


def run(
    *command: str | Path, cwd: Path = ROOT, deadline: float = 120.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of the virtualenv, with nothing in its environment that would change how Ansible works.

    Args:
        deadline: seconds.
        environment: what is set beside what the tests inherit.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )


def recap(output: str) -> dict[str, tuple[int, int, int]]:
    """Changed, unreachable and failed tasks of every host, as ansible-playbook sums up."""
    return {host: (int(changed), int(lost), int(failed)) for host, changed, lost, failed in RECAP.findall(output)}
