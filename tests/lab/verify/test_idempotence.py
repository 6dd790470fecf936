# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A run with nothing to do does nothing: more than "changed=0", which only says what a run believes of itself."""

from __future__ import annotations

import lab_state
from lab_hosts import SENDERS
from programs import recap, run

DEADLINE = 300.0  # seconds


def test_a_second_run_leaves_files_daemons_and_zones_alone() -> None:
    before = lab_state.everything(SENDERS)
    again = run("ansible-playbook", "site.yml", deadline=DEADLINE)
    assert again.returncode == 0, again.stdout + again.stderr
    assert recap(again.stdout) == dict.fromkeys(SENDERS, (0, 0, 0)), again.stdout
    assert lab_state.changed(before, lab_state.everything(SENDERS)) == ""


def test_check_mode_finds_nothing_to_change() -> None:
    checked = run("ansible-playbook", "site.yml", "--check", "--diff", deadline=DEADLINE)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert recap(checked.stdout) == dict.fromkeys(SENDERS, (0, 0, 0)), checked.stdout
