# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""P2 and P3: what a run costs, the first one and one with nothing to do."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import lab_api
import yaml
from bed import DEADLINE, HOST, ansible, make_bare, serve, timed
from figures import Figure, middle, ratio
from programs import ROOT

WANTED = yaml.safe_load((ROOT / "playbooks/vars/packages.yml").read_text())["sender_packages"]
PACKAGES = [package.partition("|")[0] for package in WANTED]  # of alternatives, a run installs the first
# What a run does to packages, without Ansible: nothing may start by itself.
INSTALL = f"""set -e
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y --no-install-recommends install {" ".join(PACKAGES)}
"""
# The least that a run of Ansible can do and still have looked at the host.
FACTS_AND_PING = """
- name: The host answers
  hosts: senders
  gather_facts: true
  tasks:
    - name: It answers
      ansible.builtin.ping:
"""
EXECUTION = re.compile(r"^<(\S+)> SSH: EXEC ", re.MULTILINE)


def install() -> None:
    """Install the packages on the bare host without Ansible."""
    lab_api.root(HOST, "sh", "-s", stdin=INSTALL, deadline=DEADLINE)


def first_runs(rounds: int) -> tuple[Figure, Figure]:
    """P2: a first run on a bare host against the mere installation of its packages; and what proving took."""
    timed("packages once, so that they are fetched (not counted)", install)
    floor, site, prove = [], [], []
    for number in range(1, rounds + 1):
        make_bare()
        floor.append(timed(f"{number}: apt-get install on a bare host", install))
        make_bare()
        site.append(timed(f"{number}: site.yml on a bare host, preflight to serve", serve))
        prove.append(timed(f"{number}: prove, after it (not counted)", lambda: ansible(["playbooks/prove.yml"])))
    return ratio(site, floor, names=("site_seconds", "apt_seconds"), target=2.0), middle(prove, "seconds")


def second_runs(rounds: int) -> tuple[Figure, Figure]:
    """P3: a run with nothing to do against facts and a ping, and how often it executes something on the host."""
    floor, site = [], []
    with tempfile.TemporaryDirectory() as directory:
        ping = Path(directory) / "ping.yml"
        ping.write_text(FACTS_AND_PING)
        for number in range(1, rounds + 1):
            floor.append(timed(f"{number}: facts and a ping", lambda: ansible([ping])))
            site.append(timed(f"{number}: site.yml with nothing to do, preflight to serve", serve))
    executions = EXECUTION.findall(serve("-vvv")).count(lab_api.address(HOST))
    return (
        ratio(site, floor, names=("site_seconds", "ping_seconds"), target=3.5),
        Figure(executions, "executions", 12),
    )


def figures(rounds: int) -> tuple[dict[str, Figure], dict[str, object]]:
    """P2, P3 and what belongs to them; there is nothing raw that is not in their samples."""
    p2, prove = first_runs(rounds)
    p3, executions = second_runs(rounds)
    return {"P2": p2, "P3": p3, "P3_executions": executions, "prove_seconds": prove}, {}
