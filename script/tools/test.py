# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Every check but the drills, in one exit code. Ends by removing the lab that it made, however it ends.

The last line of its output is for programs: "N passed, N failed".
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from tools import check
from tools.stages import REPORTS, Runner, Stage, pytest_stage, summary

STATIC = (
    pytest_stage("collection", "tests/collection", deadline=300),
    pytest_stage("integration", "tests/integration", deadline=1800),
    Stage("sanity", (("script/sanity",),), 600),
)


def molecule(name: str, action: str, *, deadline: float, needs: str = "", junit: bool = False) -> Stage:
    """One action of the default scenario. (As stages, a failed one does not hide what comes after it.)"""
    return Stage(name, (("script/molecule", action),), deadline, junit=junit, needs=needs)


LEFT_OUT = ("--ignore=tests/lab/verify", "--ignore=tests/lab/fresh")  # stages of their own

# What "molecule test" runs, in its order, and the tests that need the lab after it.
LAB = (
    molecule("lab", "create", deadline=900),
    pytest_stage("fresh", "tests/lab/fresh", deadline=60, needs="lab"),
    molecule("syntax", "syntax", deadline=60, needs="lab"),
    molecule("check-bare", "check", deadline=300, needs="lab"),
    molecule("converge", "converge", deadline=900, needs="lab"),
    molecule("idempotence", "idempotence", deadline=300, needs="converge"),
    molecule("check-again", "check", deadline=300, needs="converge"),
    molecule("verify", "verify", deadline=300, needs="converge", junit=True),
    pytest_stage("lab-tests", "tests/lab", *LEFT_OUT, deadline=1800, needs="converge"),
)
REMOVE = (molecule("destroy", "destroy", deadline=120),)


def end_like_ctrl_c(number: int, frame: FrameType | None) -> NoReturn:
    """Handle the signals of a polite kill and a closed terminal: the lab is removed then too."""
    raise KeyboardInterrupt


def main() -> int:
    for report in REPORTS.glob("*.xml"):
        report.unlink()
    started = time.monotonic()
    runner = Runner()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_like_ctrl_c)
    try:
        runner.run_all((*check.STAGES, *STATIC), at_once=os.cpu_count() or 1)
        runner.run_all(LAB)
    except KeyboardInterrupt:
        print("interrupted: removing the lab", file=sys.stderr, flush=True)
        return 130
    finally:
        runner.run_all(REMOVE)
    print(f"\nall of it {time.monotonic() - started:.0f} s; JUnit and logs: reports/")
    print("\n".join(summary(runner.outcomes.values())), flush=True)
    return int(runner.failed)


if __name__ == "__main__":
    sys.exit(main())
