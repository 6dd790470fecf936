# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A mistake in a template or a program is caught before it is live; its file and line are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases.broken_files import BREAKS, Break
from lab_broken import assert_caught


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.name)
def test_it_is_named_and_the_servers_go_on_as_they_were(case: Break, tmp_path: Path) -> None:
    assert_caught(case, tmp_path / "tree")
