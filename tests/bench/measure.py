# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Measure what a run costs, on one sender of the lab; docs/bench.md says what the figures mean.

Ratios are of medians taken in one go, measured in turn, so that a machine that is slow today is slow for both.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import lab_api
import yaml
from programs import ROOT, run
from tools import borrowed

HOST = "mx-trixie"
ROUNDS = 3
DEADLINE = 900.0  # seconds for one run of Ansible
STEPS = ("preflight", "prepare", "publish", "serve")
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


@dataclass(frozen=True)
class Figure:
    """One figure of reports/bench.json; `samples` are seconds by what was timed, or counts."""

    value: float
    unit: str
    target: float
    samples: dict[str, list[float]]


def ratio(above: Sequence[float], below: Sequence[float], *, names: tuple[str, str], target: float) -> Figure:
    """The ratio of two medians."""
    value = round(median(above) / median(below), 2)
    return Figure(value, "ratio", target, {names[0]: _rounded(above), names[1]: _rounded(below)})


def table(figures: dict[str, Figure]) -> Iterator[str]:
    """The figures for a person."""
    yield f"{'figure':<14} {'value':>7} {'target':>7}  {'':<6} samples"
    for name, figure in figures.items():
        verdict = "met" if figure.value <= figure.target else "missed"
        samples = "; ".join(f"{key} {' '.join(map(str, values))}" for key, values in figure.samples.items())
        yield f"{name:<14} {figure.value:>7g} {figure.target:>7g}  {verdict:<6} {samples}"


def ansible(playbooks: Sequence[str | Path], *options: str) -> str:
    """Run playbooks on the one host; their output.

    Raises:
        RuntimeError: the run failed; holds the end of what it said.
    """
    done = run("ansible-playbook", "--limit", HOST, *options, *playbooks, deadline=DEADLINE)
    if done.returncode != 0:
        raise RuntimeError(f"{playbooks}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def serve(*options: str) -> str:
    """Run site.yml without what proves its work."""
    return ansible([f"playbooks/{step}.yml" for step in STEPS], *options)


def timed(what: str, work: Callable[[], object]) -> float:
    """Seconds that `work` takes; says so."""
    started = time.monotonic()
    work()
    seconds = time.monotonic() - started
    print(f"  {what:<52} {seconds:6.1f} s", flush=True)
    return seconds


def make_bare() -> None:
    """Bring the whole lab back to what `lab/lab up` made: bare hosts, empty zones."""
    lab_api.lab("reset", "--name", "fresh", deadline=DEADLINE)


def install() -> None:
    """Install the packages on the bare host without Ansible."""
    lab_api.root(HOST, "sh", "-s", stdin=INSTALL, deadline=DEADLINE)


def first_runs() -> tuple[Figure, list[float]]:
    """P2: a first run on a bare host against the mere installation of its packages; and what proving took."""
    timed("packages once, so that they are fetched (not counted)", install)
    floor, site, prove = [], [], []
    for number in range(1, ROUNDS + 1):
        make_bare()
        floor.append(timed(f"{number}: apt-get install on a bare host", install))
        make_bare()
        site.append(timed(f"{number}: site.yml on a bare host, preflight to serve", serve))
        prove.append(timed(f"{number}: prove, after it (not counted)", lambda: ansible(["playbooks/prove.yml"])))
    return ratio(site, floor, names=("site_seconds", "apt_seconds"), target=2.0), prove


def second_runs() -> tuple[Figure, Figure]:
    """P3: a run with nothing to do against facts and a ping, and how often it executes something on the host."""
    floor, site = [], []
    with tempfile.TemporaryDirectory() as directory:
        ping = Path(directory) / "ping.yml"
        ping.write_text(FACTS_AND_PING)
        for number in range(1, ROUNDS + 1):
            floor.append(timed(f"{number}: facts and a ping", lambda: ansible([ping])))
            site.append(timed(f"{number}: site.yml with nothing to do, preflight to serve", serve))
    executions = EXECUTION.findall(serve("-vvv")).count(lab_api.address(HOST))
    return (
        ratio(site, floor, names=("site_seconds", "ping_seconds"), target=3.5),
        Figure(executions, "executions", 12, {"executions": [executions]}),
    )


@contextlib.contextmanager
def borrowed_lab() -> Iterator[None]:
    """A bare lab; what was there before is left as it was."""
    loan = borrowed.loan("before-bench")
    try:
        for words in loan.take:
            lab_api.lab(*words, deadline=DEADLINE)
        yield
    finally:
        for words in loan.give_back:
            lab_api.lab(*words, deadline=DEADLINE)


def main() -> int:
    reports = ROOT / "reports"
    reports.mkdir(exist_ok=True)
    with borrowed_lab():
        p2, prove = first_runs()
        p3, executions = second_runs()
    figures = {"P2": p2, "P3": p3, "P3_executions": executions}
    report: dict[str, Any] = {name: asdict(figure) for name, figure in figures.items()}
    report["prove_seconds"] = {"value": round(median(prove), 1), "unit": "seconds", "samples": _rounded(prove)}
    (reports / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print("\n".join(table(figures)))
    print(f"{'prove':<14} {median(prove):>7.1f} s, timed apart. All of it: reports/bench.json")
    return 0


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


if __name__ == "__main__":
    sys.exit(main())
