# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The slow proofs: faults, kills and whole tables of cases.

Each room is a drill, and a stage of its own: those in tests/drills have throw-away hosts in containers of their own,
those in tests/lab/drills the senders of the lab as site.yml leaves them, brought back to that state before each.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tools import borrowed
from tools.stages import Runner, Stage, end_like_ctrl_c, pytest_stage, summary

ON_CONTAINERS, ON_LAB = "tests/drills", "tests/lab/drills"
SERVED = "served"  # the state of the lab that each drill on it begins with
LAB_MINUTES = 10.0  # for a bare lab and a first site.yml, and for leaving it
LATEST_START, LATEST_END = 60.0, 75.0  # minutes of a run of CI, which is killed after 90


@dataclass(frozen=True)
class Drill:
    """A room. `minutes`: a drill that takes longer is ended."""

    name: str
    minutes: float
    where: str = ON_LAB

    @property
    def on_lab(self) -> bool:
        """Whether it needs the lab's senders."""
        return self.where == ON_LAB

    @property
    def stage(self) -> Stage:
        """What runs it."""
        stage = pytest_stage(f"drill-{self.name}", f"{self.where}/{self.name}", deadline=self.minutes * 60)
        if not self.on_lab:
            return stage
        back = ("lab/lab", "reset", "--name", SERVED)
        return replace(stage, commands=(back, *stage.commands), needs="drill-lab")


DRILLS = (
    Drill("engine", 20, ON_CONTAINERS),
    Drill("postfix", 15, ON_CONTAINERS),
    Drill("probes", 10, ON_CONTAINERS),
    Drill("signer", 20, ON_CONTAINERS),
    Drill("door", 20),
    Drill("daemons", 20),
    Drill("surroundings", 20),
    Drill("broken", 12),
    Drill("killed", 30),
    Drill("installation", 30),
    Drill("reruns", 20),
    Drill("guard", 20),
    Drill("secrets", 15),
    Drill("records", 15),
    Drill("tenants", 20),
    Drill("upgrade", 20),
    Drill("soak", 20),
)


def lab_life(loan: borrowed.Loan) -> tuple[Stage, Stage]:
    """Stages for a lab whose senders serve, saved as SERVED; and for what was there before it."""
    served = (("ansible-playbook", "site.yml"), ("lab/lab", "save", "--name", SERVED))
    take = Stage("drill-lab", (*loan.take_commands, *served), LAB_MINUTES * 60)
    return take, Stage("drill-lab-back", loan.give_back_commands, 300)


def rotated(drills: Sequence[Drill], first: str) -> tuple[Drill, ...]:
    """The drills in their order, beginning with the one named `first`."""
    start = [drill.name for drill in drills].index(first)
    return (*drills[start:], *drills[:start])


class Clock:
    """Says what still fits into a run of CI, `elapsed` minutes of which are over when it is made."""

    def __init__(self, elapsed: float) -> None:
        self._began = time.monotonic() - elapsed * 60

    def admits(self, drill: Drill, *, lab_is_up: bool) -> bool:
        """Whether `drill` may start now: by LATEST_START, and over by LATEST_END if it takes all its minutes."""
        now = (time.monotonic() - self._began) / 60
        needed = drill.minutes + (LAB_MINUTES if drill.on_lab and not lab_is_up else 0.0)
        return now <= LATEST_START and now + needed <= LATEST_END


def those_that_fit(drills: Iterable[Drill], clock: Clock, left: list[str]) -> Iterator[Drill]:
    """The drills that may start, asked when the one before is done; the names of the others go to `left`."""
    lab_is_up = False
    for drill in drills:
        if clock.admits(drill, lab_is_up=lab_is_up):
            lab_is_up = lab_is_up or drill.on_lab
            yield drill
        else:
            left.append(drill.name)


def run(runner: Runner, drills: Iterable[Drill]) -> None:
    """Run drills one after the other. The lab is taken for the first that needs it, and given back at the end."""
    give_back: Stage | None = None
    try:
        for drill in drills:
            if drill.on_lab and not give_back:
                take, give_back = lab_life(borrowed.loan("before-drills", made=SERVED))
                runner.run_all((take,))
            runner.run_all((drill.stage,))
    finally:
        if give_back:
            runner.run_all((give_back,))


def main() -> int:
    names = [drill.name for drill in DRILLS]
    parser = argparse.ArgumentParser(prog="script/drills", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("drills", nargs="*", choices=[*names, []], metavar="DRILL", help=", ".join(names))
    parser.add_argument(
        "--elapsed",
        type=float,
        metavar="MINUTES",
        help="of a run of CI: what still fits, from a random drill on",
    )
    parser.add_argument("--first", choices=names, metavar="DRILL", help="with --elapsed: begin with this one")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only the drill soak, so long on each release")
    options = parser.parse_args()
    chosen = [drill for drill in DRILLS if not options.drills or drill.name in options.drills]
    if options.soak is not None:
        os.environ["SOAK_MINUTES"] = str(options.soak)
        chosen = [replace(drill, minutes=drill.minutes + 2 * options.soak) for drill in DRILLS if drill.name == "soak"]
    left: list[str] = []
    drills: Iterable[Drill] = chosen
    if options.elapsed is not None:
        first = options.first or secrets.choice(chosen).name
        print(
            f"drills from {first} on, as far as the time of this run goes (--first {first} begins so again)", flush=True
        )
        drills = those_that_fit(rotated(chosen, first), Clock(options.elapsed), left)
    runner = Runner()
    end_like_ctrl_c()
    try:
        run(runner, drills)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        return 130
    if left:
        print(f"left for other runs: {', '.join(left)}")
    print("\n".join(summary(runner.outcomes.values())), flush=True)
    return int(runner.failed)


if __name__ == "__main__":
    sys.exit(main())
