# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Faults of a sender's daemons. Each shows that it is there before the test goes on, and ends with the block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lab_api
from lab_hosts import Sender

GATE, SIGNER, AUTH, RESOLVER = (
    "sendyard-gate.service", "sendyard-opendkim.service", "dovecot.service", "unbound.service",
)  # fmt: skip


def postfix(sender: Sender) -> str:
    """The unit that runs Postfix: Debian 12's postfix.service is a dummy."""
    return "postfix@-.service" if "bookworm" in sender.name else "postfix.service"


def mail_path(sender: Sender) -> tuple[str, ...]:
    """Every daemon that a message needs."""
    return postfix(sender), GATE, SIGNER, AUTH, RESOLVER


def processes(sender: Sender, *units: str) -> dict[int, str]:
    """The processes of units, by number, with the state that proc(5) tells ("S" sleeps, "T" is stopped)."""
    script = (
        'for unit; do for pid in $(cat "/sys/fs/cgroup/systemd$(systemctl show -P ControlGroup "$unit")/cgroup.procs"'
        ' 2>/dev/null || cat "/sys/fs/cgroup$(systemctl show -P ControlGroup "$unit")/cgroup.procs" 2>/dev/null); do'
        " sed 's/^\\([0-9]*\\) (.*) \\(.\\).*/\\1 \\2/' /proc/$pid/stat 2>/dev/null || :; done; done"
    )
    found = lab_api.root(sender.name, "sh", "-c", script, "-", *units).stdout.splitlines()
    return {int(pid): state for pid, state in map(str.split, found)}


def signal(sender: Sender, name: str, *units: str) -> None:
    """Send a signal to every process of some units."""
    lab_api.root(sender.name, "systemctl", "kill", "--signal", name, *units)


@contextmanager
def stopped(sender: Sender, unit: str) -> Iterator[None]:
    """A daemon that was stopped, and is started again."""
    lab_api.root(sender.name, "systemctl", "stop", unit)
    try:
        assert not processes(sender, unit), f"{unit} still has processes"
        yield
    finally:
        lab_api.root(sender.name, "systemctl", "start", unit)


@contextmanager
def hung(sender: Sender, unit: str) -> Iterator[None]:
    """A daemon that neither ends nor answers."""
    signal(sender, "STOP", unit)
    try:
        states = lab_api.until(lambda: processes(sender, unit), what=f"processes of {unit}")
        assert set(states.values()) == {"T"}, f"{unit} is not stopped: {states}"
        yield
    finally:
        signal(sender, "CONT", unit)


@contextmanager
def killed(sender: Sender, *units: str, for_good: bool = False) -> Iterator[None]:
    """Daemons whose every process was killed at once; at the end of the block they are started if they are not up.

    With `for_good` systemd does not start them before.
    """
    before = processes(sender, *units)
    assert before
    signal(sender, "KILL", *units)
    try:
        left = before.keys() & processes(sender, *units).keys()
        assert not left, f"{left} outlived SIGKILL"
        if for_good:
            lab_api.root(sender.name, "systemctl", "stop", *units)
        yield
    finally:
        lab_api.root(sender.name, "systemctl", "reset-failed", *units, check=False)
        lab_api.root(sender.name, "systemctl", "start", *units)
