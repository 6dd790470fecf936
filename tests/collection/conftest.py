# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The collection as a user gets it: built, installed where nothing else is, used from an empty directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from programs import run

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as an archive."""
    target = tmp_path_factory.mktemp("built")
    built = run("ansible-galaxy", "collection", "build", "--output-path", target)
    assert built.returncode == 0, built.stderr
    (path,) = target.glob("sendyard-mail-*.tar.gz")
    return path


@pytest.fixture(scope="session")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program where only the installed collection is to be found."""
    collections = tmp_path_factory.mktemp("collections")
    empty = tmp_path_factory.mktemp("empty")
    done = run("ansible-galaxy", "collection", "install", archive, "-p", collections, cwd=empty)
    assert done.returncode == 0, done.stderr

    def run_installed(*command: str | Path) -> CompletedProcess[str]:
        return run(*command, cwd=empty, ANSIBLE_COLLECTIONS_PATH=str(collections))

    return run_installed
