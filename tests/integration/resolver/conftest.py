# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Hosts whose resolv.conf is fought over: SENDYARD_TEST_HOSTS names them, as `tests/integration/host` says.

A host on which the role has run is taken as it is; on another one the role's files are put in place.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from integration.host.conftest import Host
from render import role_files

OURS = "/etc/sendyard/resolv.conf"
LIVE = '{\n "status": "live"\n}\n'  # what the engine writes once Unbound has answered


@dataclass(frozen=True)
class Machine:
    """A host, and the command that boots it anew."""

    host: Host
    restart: tuple[str, ...]

    def sh(self, command: str, *, check: bool = True) -> str:
        """What a shell command prints there."""
        return self.host.run(command, check=check)

    def resolv_conf(self) -> str:
        """What resolv.conf is: its text, or what stands in its place."""
        return self.sh(
            "if [ -L /etc/resolv.conf ]; then readlink /etc/resolv.conf; else cat /etc/resolv.conf; fi", check=False
        )

    def held(self, deadline: float = 8) -> bool:
        """True once resolv.conf is ours, within `deadline` seconds."""
        return self.becomes(lambda: self.resolv_conf() == self.sh(f"cat {OURS}"), deadline)

    def becomes(self, condition: object, deadline: float) -> bool:
        """True once `condition()` is, within `deadline` seconds."""
        end = time.monotonic() + deadline
        assert callable(condition)
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True

    def settled(self) -> None:
        """Wait until the guard has looked for the last time, and watches again."""
        asleep = "test $(systemctl show -P ActiveState sendyard-resolv.service) = inactive && echo yes"
        assert self.becomes(lambda: self.sh(asleep, check=False) == "yes\n", 15)

    def reboot(self) -> None:
        """Boot it anew, and wait until it is up."""
        before = self.sh("stat -c %Y /proc/1")
        subprocess.run(self.restart, capture_output=True, timeout=90, check=False)
        up = "stat -c %Y /proc/1; systemctl is-system-running --wait >/dev/null"
        assert self.becomes(lambda: self.sh(up, check=False) not in {"", before}, 60)


def provision(host: Host) -> None:
    """Put the role's files on a host where the role has not run, and start what it starts."""
    for file in role_files("resolver").values():
        host.put(file.path, file.content, file.mode)
    host.put("/var/lib/sendyard/resolver.json", LIVE, "0600")
    host.run("systemctl daemon-reload; systemctl -q enable --now sendyard-resolv.path unbound postfix")


def machines() -> Iterator[str]:
    """The hosts to be tried."""
    yield from shlex.split(os.environ.get("SENDYARD_TEST_HOSTS", ""))


@pytest.fixture(
    scope="module", params=[*machines()] or [pytest.param("", marks=pytest.mark.skip("SENDYARD_TEST_HOSTS"))]
)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A throw-away host whose resolv.conf is ours."""
    kind, _, rest = request.param.partition(":")
    name = rest
    if kind == "image":
        name = f"sendyard-resolver-{uuid.uuid4().hex[:8]}"
        capabilities = ["--cap-add", "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_PTRACE"]
        start = [
            "podman",
            "run",
            "-d",
            "--name",
            name,
            "--dns=none",
            "--systemd=always",
            *capabilities,
            rest,
            "/sbin/init",
        ]
        subprocess.run(start, check=True, capture_output=True, timeout=120)
    try:
        if kind == "ssh":
            prefix = ("ssh", "-o", "BatchMode=yes", *shlex.split(rest))
            made = Machine(Host(rest, prefix), (*prefix, "systemctl reboot"))
        else:
            made = Machine(Host(rest, ("podman", "exec", "-i", name)), ("podman", "restart", "-t", "10", name))
        made.sh("systemctl is-system-running --wait", check=False)
        if not made.sh(f"ls {OURS} 2>/dev/null", check=False):
            provision(made.host)
        yield made
    finally:
        if kind == "image":
            subprocess.run(["podman", "rm", "-f", "-t", "1", name], capture_output=True, timeout=60, check=False)
