# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A mistake in a template is caught before it is live; its file and line are named. The drill has more of them."""

from __future__ import annotations

from pathlib import Path

from cases.broken_files import BREAKS
from lab_broken import assert_caught


def test_a_listener_that_would_fail_open_is_named_and_the_servers_go_on(tmp_path: Path) -> None:
    assert_caught(next(case for case in BREAKS if case.name == "listener without the signer"), tmp_path / "tree")
