# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Render what a role would put on a host, by Ansible itself, without a host.

A role hands its files to `host_config` as a list of paths and contents. Evaluating that very list, with the role's
defaults and variables, tests what users get, not a rendering of our own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLES = Path(__file__).parents[1] / "roles"


@dataclass(frozen=True)
class RenderedFile:
    """One file as it would stand on the host."""

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    sensitive: bool = False


def host_config_calls(role: str, **variables: Any) -> list[dict[str, Any]]:
    """The arguments of every `host_config` task in `role`'s tasks/main.yml, with `variables` over its defaults."""
    loader = DataLoader()
    directory = ROLES / role
    merged = {
        **_load(loader, directory / "defaults/main.yml"),
        **_load(loader, directory / "vars/main.yml"),
        **variables,
        "role_path": str(directory),
        "ansible_search_path": [str(directory), str(directory / "tasks")],
        "playbook_dir": str(directory.parent),
    }
    templar = Templar(loader=loader, variables=merged)
    return [
        templar.template(task["sendyard.mail.host_config"])
        for task in loader.load_from_file(str(directory / "tasks/main.yml"), trusted_as_template=True)
        if "sendyard.mail.host_config" in task
    ]


def role_files(role: str, **variables: Any) -> dict[str, RenderedFile]:
    """The files of `role`, by path."""
    return {
        file["path"]: RenderedFile(**file) for call in host_config_calls(role, **variables) for file in call["files"]
    }


def write_below(root: Path, files: Mapping[str, RenderedFile]) -> None:
    """Write `files` below `root`, each at its own path, with its mode."""
    for file in files.values():
        target = root / file.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.content)
        target.chmod(int(file.mode, 8))
        # Postfix waits until a file that it reads is two seconds old: it might still be being written.
        os.utime(target, (0, 0))


def _load(loader: DataLoader, path: Path) -> dict[str, Any]:
    """The variables in YAML file `path`, none where there is no such file."""
    return dict(loader.load_from_file(str(path), trusted_as_template=True) or {}) if path.exists() else {}
