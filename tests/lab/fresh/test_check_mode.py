# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A run in check mode on bare hosts, where nothing that a run makes is there yet."""

from __future__ import annotations

import lab_state
from lab_hosts import SENDERS
from programs import recap, run

DEADLINE = 240.0  # seconds


def test_check_mode_says_what_a_first_run_would_do_and_does_nothing() -> None:
    before = lab_state.everything(SENDERS)
    checked = run("ansible-playbook", "site.yml", "--check", "--diff", deadline=DEADLINE)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = recap(checked.stdout)
    assert {host: (lost, failed) for host, (_, lost, failed) in found.items()} == dict.fromkeys(SENDERS, (0, 0))
    assert min(changed for changed, _, _ in found.values()) > 0, checked.stdout
    for wanted in ("postfix", "mx-trixie.yard.example"):  # packages to install, records to publish
        assert wanted in checked.stdout
    assert lab_state.changed(before, lab_state.everything(SENDERS)) == ""
