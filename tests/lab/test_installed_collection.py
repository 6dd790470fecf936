# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The collection, built and installed, does on real hosts what the checkout does."""

from __future__ import annotations

from pathlib import Path

from programs import ROOT, run


def test_a_run_of_the_installed_collection_finds_nothing_to_change(tmp_path: Path) -> None:
    collections, empty = tmp_path / "collections", tmp_path / "empty"
    empty.mkdir()
    built = run("ansible-galaxy", "collection", "build", "--output-path", tmp_path)
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    installed = run("ansible-galaxy", "collection", "install", archive, "-p", collections, cwd=empty)
    assert installed.returncode == 0, installed.stderr
    checked = run(
        "ansible-playbook", "-i", ROOT / "inventory/lab", "--check", "sendyard.mail.site",
        cwd=empty, deadline=300.0, ANSIBLE_COLLECTIONS_PATH=str(collections),
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("changed=0") == 2, checked.stdout
    assert str(ROOT / "plugins") not in checked.stdout + checked.stderr
