# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Every check but the drills, in one exit code. However it ends, it leaves the lab that was there before, or none.

The last line of its output is for programs: "N passed, N failed".
"""

from __future__ import annotations

import os
import sys
import time

from tools import borrowed, check
from tools.stages import REPORTS, Runner, Stage, end_like_ctrl_c, pytest_stage, summary

STATIC = (
    pytest_stage("collection", "tests/collection", deadline=300),
    pytest_stage("integration", "tests/integration", deadline=1800),
    Stage("sanity", (("script/sanity",),), 600),
)


def molecule(name: str, action: str, *, deadline: float, needs: str = "", junit: bool = False) -> Stage:
    """One action of the default scenario. (As stages, a failed one does not hide what comes after it.)"""
    return Stage(name, (("script/molecule", action),), deadline, junit=junit, needs=needs)


# Stages of their own, and the drills.
LEFT_OUT = ("--ignore=tests/lab/verify", "--ignore=tests/lab/fresh", "--ignore=tests/lab/drills")

# What "molecule test" runs, in its order, on the lab that is there by then, and the tests that need the lab after it.
LAB = (
    pytest_stage("fresh", "tests/lab/fresh", deadline=300, needs="lab"),  # check mode on bare hosts too
    molecule("syntax", "syntax", deadline=60, needs="lab"),
    molecule("converge", "converge", deadline=900, needs="lab"),
    molecule("idempotence", "idempotence", deadline=300, needs="converge"),
    molecule("check-again", "check", deadline=300, needs="converge"),
    molecule("verify", "verify", deadline=300, needs="converge", junit=True),
    pytest_stage("lab-tests", "tests/lab", *LEFT_OUT, deadline=1800, needs="converge"),
)


def lab_life(loan: borrowed.Loan) -> tuple[Stage, Stage]:
    """A bare lab, of which molecule knows that it is there; and in its place what was there before."""
    # molecule goes by what it remembers, and a run that was killed left it something
    forget = ("script/molecule", "reset")
    take = (*loan.take_commands, forget, ("script/molecule", "create"))
    give_back = (*loan.give_back_commands, forget)
    return Stage("lab", take, deadline=900), Stage("lab-back", give_back, deadline=300)


def main() -> int:
    for report in REPORTS.glob("*.xml"):
        report.unlink()
    started = time.monotonic()
    runner = Runner()
    take, give_back = lab_life(borrowed.loan("before-tests"))
    end_like_ctrl_c()
    try:
        runner.run_all((*check.STAGES, *STATIC), at_once=os.cpu_count() or 1)
        runner.run_all((take, *LAB))
    except KeyboardInterrupt:
        print("interrupted: leaving the lab that was there before, or none", file=sys.stderr, flush=True)
        return 130
    finally:
        runner.run_all((give_back,))
    print(f"\nall of it {time.monotonic() - started:.0f} s; JUnit and logs: reports/")
    print("\n".join(summary(runner.outcomes.values())), flush=True)
    return int(runner.failed)


if __name__ == "__main__":
    sys.exit(main())
