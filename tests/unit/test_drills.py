# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which drills there are, what they get, and which of them fit into a run of CI."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import ROOT
from tools import borrowed, ci, drills
from tools.drills import DRILLS, LAB_MINUTES, ON_CONTAINERS, ON_LAB, Clock, Drill

OWN, LAB = Drill("own", 10, ON_CONTAINERS), Drill("lab", 10)


def rooms(where: str) -> set[str]:
    """The directories with tests below `where`."""
    return {path.parent.name for path in (ROOT / where).glob("*/test_*.py")}


def test_every_room_is_a_drill() -> None:
    assert {(drill.name, drill.where) for drill in DRILLS} == {
        (name, where) for where in (ON_CONTAINERS, ON_LAB) for name in rooms(where)
    }
    assert len({drill.name for drill in DRILLS}) == len(DRILLS)


def test_every_drill_fits_into_a_run_of_ci() -> None:
    """After "make test", which has half an hour, and with the lab to be made."""
    clock = Clock(30)
    assert [drill.name for drill in DRILLS if not clock.admits(drill, lab_is_up=False)] == []


def test_a_drill_on_the_lab_begins_with_the_senders_as_site_yml_left_them() -> None:
    assert LAB.stage.commands[0] == ("lab/lab", "reset", "--name", "served")
    assert LAB.stage.needs == "drill-lab"
    assert OWN.stage.needs == ""
    take, give_back = drills.lab_life(borrowed.Loan(take=(("up",),), give_back=(("down",),)))
    assert take.name == LAB.stage.needs
    assert take.commands == (
        ("lab/lab", "up"), ("ansible-playbook", "site.yml"), ("lab/lab", "save", "--name", "served"),
    )  # fmt: skip
    assert give_back.commands == (("lab/lab", "down"),)


def test_what_the_drills_keep_of_a_borrowed_lab_goes(tmp_path: Path) -> None:
    assert borrowed.loan("kept", made="served", state=tmp_path).give_back == (
        ("reset", "--name", "kept"), ("forget", "--name", "kept"), ("forget", "--name", "served"),
    )  # fmt: skip


def test_the_slice_begins_where_it_is_told_and_goes_round() -> None:
    assert [drill.name for drill in drills.rotated((OWN, LAB, Drill("third", 1)), "lab")] == ["lab", "third", "own"]


@pytest.mark.parametrize(
    ("elapsed", "drill", "lab_is_up", "fits"),
    [
        (0, OWN, False, True),
        (59, OWN, False, True),
        (61, Drill("short", 1, ON_CONTAINERS), False, False),
        (59, Drill("long", 17, ON_CONTAINERS), False, False),
        (59, LAB, True, True),
        (59, LAB, False, False),
        (75 - LAB_MINUTES - LAB.minutes - 0.1, LAB, False, True),
    ],
)
def test_none_starts_too_late_to_end_in_time(elapsed: float, drill: Drill, lab_is_up: bool, fits: bool) -> None:
    assert Clock(elapsed).admits(drill, lab_is_up=lab_is_up) is fits


def test_what_does_not_fit_is_left_and_named_and_a_shorter_one_takes_its_place() -> None:
    left: list[str] = []
    long, short = Drill("long", 40, ON_CONTAINERS), Drill("short", 5, ON_CONTAINERS)
    assert list(drills.those_that_fit((long, short), Clock(50), left)) == [short]
    assert left == ["long"]


@pytest.mark.parametrize(
    ("script", "counted"),
    [
        ("echo noise; echo '7 passed, 0 failed'", (7, 0)),
        ("echo '7 passed, 2 failed'; exit 1", (7, 2)),
        ("echo '7 passed, 0 failed'; exit 1", (7, 1)),
        ("echo '7 passed, 0 failed'; echo more", (0, 1)),
        ("exit 3", (0, 1)),
    ],
)
def test_ci_counts_what_both_say_last(script: str, counted: tuple[int, int], tmp_path: Path) -> None:
    assert ci.show(("sh", "-c", script), root=tmp_path) == counted
