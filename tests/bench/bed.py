# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The sender of the lab that is measured, and runs of Ansible on it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lab_api
from programs import run
from tools import borrowed

HOST = "mx-trixie"
DEADLINE = 1800.0  # seconds for one run of Ansible
STEPS = ("preflight", "prepare", "publish", "serve")


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
