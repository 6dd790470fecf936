# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The first run on a bare host is killed while it installs packages: the next one finishes it without help.

How far dpkg is, is seen in its log. The packages at which it is killed are drawn anew each time; SEED in the
environment draws the same ones again.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import lab_api
import pytest
from lab_hosts import SENDERS, Sender
from lab_killed import KILL_MODULES
from lab_listeners import BARE, LISTENS, LOOPBACK, QUERY, watch, watched
from programs import BIN, ROOT, clean_environment, recap, run

SEED = os.environ.get("SEED") or secrets.token_hex(4)
DEADLINE = 300.0  # seconds for one run
PLAYBOOK = "playbooks/prepare.yml"
POLICY = "/usr/sbin/policy-rc.d"
OWNERS = "#!/bin/sh\n# An owner's.\nexit 0\n"
DAEMONS = ("postfix", "unbound", "opendkim", "dovecot-core")
# apt-get and dpkg each have a session of their own, which the death of the module leaves alone.
KILL_DPKG = "for one in apt-get dpkg; do pid=$(pgrep -o -x $one) && pkill -KILL -s $(ps -o sid= $pid); done || :"


@dataclass(frozen=True)
class Case:
    """A run is killed when dpkg has come to `state` with a package, and on the host the module, and dpkg with it."""

    state: str
    module: bool = False
    dpkg: bool = False
    owners_policy: bool = False

    def __str__(self) -> str:
        killed = "-".join(("controller", *["module"] * self.module, *["dpkg"] * self.dpkg))
        return f"{self.state or 'begun'}-{killed}{'-beside-a-policy' * self.owners_policy}"


CASES = (
    Case("", module=True, dpkg=True, owners_policy=True),  # its policy stands, and dpkg has not begun
    Case("half-installed"),  # the module goes on for as long as it can
    Case("half-installed", module=True),  # apt-get does
    Case("half-installed", module=True, dpkg=True, owners_policy=True),
    Case("half-configured", module=True, dpkg=True),
)


def in_turn() -> list[tuple[str, Case]]:
    """Each case with one of the senders, by chance which begins."""
    first = random.Random(SEED).randrange(2)  # noqa: S311  # no secret: it is to be drawn again
    return [(SENDERS[(first + number) % 2], case) for number, case in enumerate(CASES)]


@pytest.fixture
def bare(sender: Sender) -> Iterator[str]:
    """A sender that no run has touched, watched; nothing may ever have listened but the resolver that prepare makes."""
    lab_api.lab("reset", sender.name, "--name", "fresh", deadline=120)
    watch(sender.name)
    yield sender.name
    resolver = {place for place in LISTENS if place[1:] == (LOOPBACK, 53, "unbound")}
    assert {one.place for one in watched(sender.name)} - {QUERY} == BARE | resolver
    assert {one.place for one in watched(sender.name) if not one.behind_firewall} == BARE


def prepare(host: str) -> int:
    """A run, which needs no help; how many tasks changed something."""
    done = run("ansible-playbook", PLAYBOOK, "--limit", host, deadline=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    return recap(done.stdout)[host][0]


def policy(host: str) -> str:
    return lab_api.root(host, "cat", POLICY, check=False).stdout


def killed(host: str, case: Case, package: str) -> None:
    """Begin a run, and kill it where the case says."""
    seen = f"grep -q 'status {case.state} {package}' /var/log/dpkg.log" if case.state else f"grep -q Sendyard {POLICY}"
    kill = f"{KILL_MODULES if case.module else ''}\n{KILL_DPKG if case.dpkg else ''}"
    with subprocess.Popen(
        [BIN / "ansible-playbook", PLAYBOOK, "--limit", host], cwd=ROOT, env=clean_environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            script = f"until {seen} 2>/dev/null; do sleep 0.01; done\n{kill}"
            lab_api.root(host, "timeout", "240", "sh", "-c", script, deadline=250)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    own_end = {2, 4} if case.module else set()  # whose module is dead may end before it is killed
    assert process.returncode in {-signal.SIGKILL, *own_end}


@pytest.mark.parametrize(("sender", "case"), in_turn(), indirect=["sender"], ids=str)
def test_a_killed_installation(sender: Sender, bare: str, case: Case) -> None:
    draw = random.Random(f"{SEED} {sender.name} {case}")  # noqa: S311  # no secret: it is to be drawn again
    package = draw.choice(DAEMONS)
    print(f"\nSEED={SEED} {package}")
    if case.owners_policy:
        lab_api.root(bare, "sh", "-c", f"cat > {POLICY}; chmod 750 {POLICY}", stdin=OWNERS)
    killed(bare, case, package)
    if case.module:
        assert "Sendyard" in policy(bare), "the fault does not bite"
    if case.dpkg and case.state:
        assert lab_api.root(bare, "dpkg", "--audit").stdout != "", "the fault does not bite"
    assert prepare(bare) > 0
    assert lab_api.root(bare, "dpkg", "--audit").stdout == ""
    assert prepare(bare) == 0, "a run that follows a good one has nothing to do"
    assert policy(bare) == (OWNERS if case.owners_policy else "")
    left = lab_api.root(bare, "sh", "-c", f"stat -c '%a %n' {POLICY}*", check=False).stdout
    assert left == (f"750 {POLICY}\n" if case.owners_policy else "")
