# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stood on the host before: kept complete before a swap begins, and the way back to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files
from .files import FileSpec
from .subsystems.base import Change
from .systemd import UnitStatus


@dataclass(frozen=True)
class Previous:
    """What the host is to be again: files to put back or remove, links to restore, and what units did."""

    changes: tuple[Change, ...]
    links: Mapping[Path, str]  # path of the link to its target
    running: tuple[str, ...]
    idle: tuple[str, ...]
    disabled: tuple[str, ...]


def directory(state: Path, subsystem: str) -> Path:
    """Where the files of the last live generation lie while another one is tried."""
    return state / "generations" / subsystem / "previous"


def _private(path: Path, content: bytes) -> None:
    """Write a copy that only we can read, whatever the original's mode."""
    mine = files.owner_name(os.geteuid()), files.group_name(os.getegid())
    files.write(FileSpec(path, content, 0o600, *mine))


def keep_replaced(path: Path, state: Path) -> None:
    """Keep what stood at `path` before Sendyard first wrote there, as `state`/replaced/…, once and for ever."""
    kept = state / "replaced" / path.relative_to("/")
    if kept.exists() or kept.is_symlink():
        return
    if path.is_symlink():
        files.make_parents(kept)
        kept.symlink_to(path.readlink())
        return
    there = files.read(path)
    if there is not None:
        _private(kept, there.content)


def save(where: Path, changes: Sequence[Change], units: Mapping[str, UnitStatus], *, interrupted: bool) -> None:
    """Keep in `where` what stands at every path of `changes`, and what `units` do.

    After an `interrupted` run the copies made then stay: they are of the last generation that answered. Only paths that
    it did not touch are added. The manifest comes last, and by rename: what it names is complete.
    """
    manifest: dict[str, Any] = {"paths": {}, "units": {}}
    if interrupted:
        with suppress(FileNotFoundError):
            manifest = json.loads((where / "manifest.json").read_bytes())
    else:
        shutil.rmtree(where, ignore_errors=True)
    for name, unit in units.items():
        manifest["units"].setdefault(name, {"running": unit.running, "enabled": unit.starts_at_boot})
    for path in (change.path for change in changes):
        if str(path) not in manifest["paths"]:
            manifest["paths"][str(path)] = _keep(path, where / "files" / path.relative_to("/"))
    _private(where / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())


def _keep(path: Path, copy: Path) -> dict[str, str | int]:
    """Copy what stands at `path`; returns its description for the manifest."""
    if path.is_symlink():
        return {"kind": "link", "target": str(path.readlink())}
    there = files.read(path)
    if there is None:
        return {"kind": "absent"}
    _private(copy, there.content)
    return {"kind": "file", "mode": there.mode, "owner": there.owner, "group": there.group}


def load(where: Path) -> Previous:
    """What leads from the host as it is back to what `save` kept in `where`."""
    manifest = json.loads((where / "manifest.json").read_bytes())
    changes, links = [], {}
    for name, kept in manifest["paths"].items():
        path, before, after = Path(name), files.read(Path(name)), None
        if kept["kind"] == "link":
            links[path] = kept["target"]
            continue
        if kept["kind"] == "file":
            content = (where / "files" / path.relative_to("/")).read_bytes()
            after = FileSpec(path, content, kept["mode"], kept["owner"], kept["group"])
        if before is not None if after is None else not files.same(before, after):
            changes.append(Change(path, before, after))
    units = manifest["units"]
    return Previous(
        changes=tuple(changes),
        links=links,
        running=tuple(name for name, was in units.items() if was["running"]),
        idle=tuple(name for name, was in units.items() if not was["running"]),
        disabled=tuple(name for name, was in units.items() if not was["enabled"]),
    )


def restore_links(links: Mapping[Path, str]) -> None:
    """Put symbolic links back that a file had replaced."""
    for path, target in links.items():
        files.remove(path)
        path.symlink_to(target)
        files.sync_directory(path.parent)
