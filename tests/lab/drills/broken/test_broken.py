# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A mistake in a template or a program is caught before it is live; its file and line are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases.broken_files import BREAKS, Break
from lab_broken import DEADLINE, assert_caught
from programs import run


@pytest.fixture(scope="module", autouse=True)
def times_are_known() -> None:
    """Files that a reset of the lab brought back lack the fractions of their times; a run writes anew what differs."""
    done = run("ansible-playbook", "site.yml", deadline=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.name)
def test_it_is_named_and_the_servers_go_on_as_they_were(case: Break, tmp_path: Path) -> None:
    assert_caught(case, tmp_path / "tree")
