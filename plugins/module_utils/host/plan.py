# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the wanted generation and the host. Reads, and changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SendyardError
from . import files
from .files import Diff, FileSpec
from .subsystems.base import Change, Derived, Subsystem

FORMAT = 1  # of the state file; part of every digest, so that a new format validates and probes once


class PlanError(SendyardError):
    """What is wanted cannot be wanted of this subsystem, or something is in its way."""


@dataclass(frozen=True)
class Layout:
    """Where the engine keeps things. Tests keep them elsewhere."""

    state: Path = Path("/var/lib/sendyard")
    # On a tmpfs: staged secrets never reach the disk, and a reboot clears what a killed run left.
    stage: Path = Path("/run/sendyard/stage")
    units: tuple[Path, ...] = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))


@dataclass(frozen=True)
class DirectorySpec:
    """A directory as it should be. One that is no longer wanted stays: it may hold what is not ours."""

    path: Path
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"

    @property
    def meta(self) -> str:
        """Mode and ownership as a person reads them."""
        return f"{self.mode:04o} {self.owner}:{self.group}"


@dataclass(frozen=True)
class Plan:
    """What differs between what is wanted and what stands on the host."""

    changes: tuple[Change, ...]
    directories: tuple[tuple[DirectorySpec, str], ...]  # each with what stands there now: "", or its mode and owner
    stale: tuple[Derived, ...]  # compiled files to be made anew
    digest: str  # of the whole generation: files and settings
    unproven: str  # why daemons must take up and answer though no file differs, "" where they need not
    interrupted: bool  # an earlier run was killed in its swap

    @property
    def swaps(self) -> bool:
        """True if a file appears, changes or goes."""
        return bool(self.changes or self.stale)

    def diff(self) -> list[Diff]:
        """Ansible's diff: one entry a directory and file that changes."""
        made = [
            Diff(
                before_header=f"{spec.path}/",
                after_header=f"{spec.path}/",
                before=f"# {before}\n" if before else "",
                after=f"# {spec.meta}\n",
            )
            for spec, before in self.directories
        ]
        changes = sorted(self.changes, key=lambda change: change.path)
        return made + [files.difference(change.path, change.before, change.after) for change in changes]


def make_plan(
    subsystem: Subsystem,
    wanted: Sequence[FileSpec],
    directories: Sequence[DirectorySpec],
    remembered: Mapping[str, Any],
) -> Plan:
    """Compare `wanted` and `directories` with the host and with the state `remembered` from the last run.

    Raises:
        PlanError: a path that the subsystem may not own, one named twice, or something in a directory's place.
    """
    _refuse_foreign([*(spec.path for spec in wanted), *(spec.path for spec in directories)], subsystem)
    derived = subsystem.derived(wanted)
    changes = _changes(wanted) + _leftovers(
        {spec.path for spec in wanted} | {item.path for item in derived}, remembered
    )
    changed = {change.path for change in changes}
    # A run that died may have replaced a source and not what is compiled from it.
    interrupted = remembered.get("status") == "swapping"
    return Plan(
        changes=tuple(changes),
        directories=tuple(
            (spec, there) for spec in directories if (there := files.directory_meta(spec.path)) != spec.meta
        ),
        stale=tuple(item for item in derived if interrupted or item.source in changed or _lost(item.path, remembered)),
        digest=_digest(subsystem, wanted),
        unproven=_why_unproven(subsystem, remembered),
        interrupted=interrupted,
    )


def _changes(wanted: Sequence[FileSpec]) -> list[Change]:
    """The wanted files that are missing or differ."""
    changes = []
    for spec in wanted:
        there = files.read(spec.path, sensitive=spec.sensitive)
        if not files.same(there, spec):
            changes.append(Change(spec.path, there, spec))
    return changes


def _leftovers(keep: set[Path], remembered: Mapping[str, Any]) -> list[Change]:
    """The files of the last generation that the wanted one lacks."""
    changes = []
    for name in remembered.get("files", {}):
        there = files.read(Path(name), sensitive=name in remembered.get("sensitive", ()))
        if Path(name) not in keep and there is not None:
            changes.append(Change(Path(name), there, None))
    return changes


def _refuse_foreign(paths: Sequence[Path], subsystem: Subsystem) -> None:
    """Raise PlanError where a path is named twice or is not this subsystem's."""
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise PlanError(f"{path} is named twice among the files of {subsystem.name}.")
        if not subsystem.may_own(path):
            raise PlanError(
                f"{path} does not belong to {subsystem.name}, which may own {', '.join(subsystem.owned)}. "
                "Hand it to the subsystem it belongs to."
            )
        seen.add(path)


def _lost(path: Path, remembered: Mapping[str, Any]) -> bool:
    """True if the derived file at `path` is not the one that was made."""
    there = files.read(path)
    return there is None or there.digest != remembered.get("files", {}).get(str(path))


def _digest(subsystem: Subsystem, wanted: Sequence[FileSpec]) -> str:
    """What makes a generation another one: its files and the settings it is proven by."""
    facts = {
        "format": FORMAT,
        "files": {str(spec.path): spec.digest for spec in wanted},
        "settings": subsystem.settings,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _why_unproven(subsystem: Subsystem, remembered: Mapping[str, Any]) -> str:
    """Why the daemons must take the files up and answer again, "" where the last probe still stands."""
    status = remembered.get("status")
    if status == "swapping":
        return "an earlier run was interrupted before its probe"
    if status != "live":
        return "it was never made live"
    if remembered.get("fingerprint", "") != subsystem.fingerprint():
        return f"{subsystem.title} does not hold what was made live"
    return ""


def remembered_as_live(
    subsystem: Subsystem, wanted: Sequence[FileSpec], directories: Sequence[DirectorySpec], *, digest: str, asked: str
) -> dict[str, Any]:
    """The state that says: `wanted` is in place, was taken up and answered. `standing` goes by it too."""
    live = {str(spec.path): spec.digest for spec in wanted}
    for item in subsystem.derived(wanted):
        there = files.read(item.path)
        live[str(item.path)] = there.digest if there is not None else ""
    return {
        "format": FORMAT,
        "status": "live",
        "digest": digest,
        "asked": asked,
        "directories": {str(spec.path): spec.meta for spec in directories},
        "units": {unit.name: unit.enable for unit in subsystem.units()},
        "masked": list(subsystem.masked),
        "settings": subsystem.settings,  # by which it was proven, and is again if it must come back
        "files": live,
        "sensitive": _sensitive(wanted),
        "fingerprint": subsystem.fingerprint(),
    }


def remembered_as_swapping(plan: Plan, wanted: Sequence[FileSpec], remembered: Mapping[str, Any]) -> dict[str, Any]:
    """The state that says: files are being replaced. Paths of both generations are in it: either can be cleared."""
    appearing = {str(change.path): "" for change in plan.changes if change.after is not None}
    return {
        **remembered,
        "status": "swapping",
        "files": {**appearing, **remembered.get("files", {})},
        "sensitive": sorted({*_sensitive(wanted), *remembered.get("sensitive", ())}),
    }


def _sensitive(wanted: Sequence[FileSpec]) -> list[str]:
    """The paths whose content is never shown, also once they are removed."""
    return sorted(str(spec.path) for spec in wanted if spec.sensitive)
