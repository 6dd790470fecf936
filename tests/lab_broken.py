# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A run of site.yml from a copy of the tree with a mistake in it: what is said, and what became of the servers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import lab_state
from cases.broken_files import Break
from lab_hosts import SENDERS
from programs import ROOT, run

NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".ansible", ".state", "reports", ".*_cache", "__pycache__")
DEADLINE = 600.0  # seconds for one run


def assert_caught(case: Break, tree: Path) -> None:
    """Break a copy of the tree at `tree`, run it, and compare what was said and what is there."""
    shutil.copytree(ROOT, tree, symlinks=True, ignore=NOT_COPIED)
    path = tree / case.file
    text = path.read_text()
    assert case.old in text
    path.write_text(text.replace(case.old, case.new) if case.old else text + case.new)
    before = lab_state.everything(SENDERS)
    done = run("ansible-playbook", "-i", ROOT / "inventory/lab", "site.yml", cwd=tree, deadline=DEADLINE)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback (most recent call last)" not in said
    one_line = " ".join(said.split())  # wherever the terminal's width broke it
    assert re.search(case.says, one_line), f"{case.says} is not said:\n{said[-4000:]}"
    assert not (moved := lab_state.changed(before, lab_state.everything(SENDERS))), moved
