# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""unattended-upgrades, and the restart of daemons whose files it replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .. import systemd
from ..command import run
from .base import COMMON_PATHS, Change, Effect, ProbeError, Stage, Subsystem, Unit, ValidationError

_APT = Path("/etc/apt/apt.conf.d/52sendyard-updates")
_UNITS = Path("/etc/systemd/system")
_SWITCH = "APT::Periodic::Unattended-Upgrade"
_TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")


class Updates(Subsystem):
    """Validated by apt's own reading, probed by what apt holds of it beside every other file."""

    name = "updates"
    title = "unattended-upgrades"
    owned = (r"/etc/apt/apt\.conf\.d/\d\dsendyard-[\w-]+", *COMMON_PATHS)
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {"unattended": bool}

    @property
    def unattended(self) -> bool:
        """Whether packages are installed by themselves."""
        return bool(self.settings.get("unattended", True))

    def own_units(self) -> tuple[Unit, ...]:
        """apt's timers. One that somebody masked stays so: that is a decision."""
        if not self.unattended:
            return ()
        return tuple(Unit(name) for name, status in systemd.status(_TIMERS).items() if status.load == "loaded")

    def validate(self, stage: Stage) -> None:
        """apt reads the staged file, and systemd the staged units."""
        stage.text(_APT)
        answer = run(["apt-config", "-c", stage.at(_APT), "dump"], deadline=30)
        if not answer.ok:
            said = answer.said.replace(str(stage.root), "")
            raise ValidationError(f"apt would not take this: {said}\nThe files in place were left as they are.")
        units = [spec.path for spec in stage.wanted if spec.path.parent == _UNITS]
        answer = run(["systemd-analyze", "verify", "--man=no", *map(stage.at, units)], deadline=60)
        # It warns of units of other packages too, and our program is not in place yet.
        ours = [line for line in answer.stderr.splitlines() if any(unit.name in line for unit in units)]
        wrong = [line for line in ours if "is not executable" not in line]
        if wrong:
            said = "\n  ".join(wrong).replace(str(stage.root), "")
            raise ValidationError(f"systemd would not take these units:\n  {said}")

    def rank(self, path: Path) -> int:
        """The program before the units that start it."""
        return 1 if path.parent == _UNITS else 0

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """apt's timers read nothing of this."""
        return {}

    def probe(self) -> None:
        """apt holds what is wanted: no other file of apt.conf.d says otherwise."""
        said = run(["apt-config", "dump", "--format", "%f=%v%n", _SWITCH], deadline=30).stdout
        found = re.findall(rf"(?m)^{_SWITCH}=(.*)$", said)
        wanted = "1" if self.unattended else "0"
        if found[-1:] != [wanted]:
            raise ProbeError(
                f'apt has {_SWITCH} "{"".join(found[-1:])}", and "{wanted}" is wanted: a file that sorts after {_APT} '
                "sets it too. Remove it there, or change sendyard_updates_enabled."
            )
