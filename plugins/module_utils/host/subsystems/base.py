# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a subsystem tells the engine (`..generations`) about itself."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

from ...errors import SendyardError
from .. import files, fingerprints, systemd
from ..files import FileSpec

Effect = Literal["reload", "restart"]
# Paths that any subsystem may own: users, run-time directories, rotation, units and scripts of its own.
COMMON_PATHS = (
    r"/(etc|usr/lib)/(sysusers|tmpfiles)\.d/sendyard[\w.-]*\.conf",
    r"/etc/logrotate\.d/sendyard[\w.-]*",
    r"/etc/systemd/system/sendyard-[\w@.-]+\.(service|timer|path|socket)",
    r"/usr/local/s?bin/sendyard-[\w-]+",
    r"/usr/lib/sendyard(/[\w-]+)?",
    r"/etc/sendyard(/[\w-]+\.conf)?",
    r"/(run|var/log|var/lib|var/mail)/sendyard(/.+)?",
)
ACTIVATE: Literal["activate"] = "activate"  # the step of a swap at which the daemons take up what was written so far
PROBE: Literal["probe"] = "probe"  # the step at which the live service must answer
Step: TypeAlias = "FileSpec | Literal['activate', 'probe']"


class SettingsError(SendyardError):
    """`settings` lack something, hold something of the wrong type, or something nobody reads."""


class ValidationError(SendyardError):
    """The staged generation would not work. The running one was not touched."""


class ProbeError(SendyardError):
    """The live service does not answer as it must."""


@dataclass(frozen=True)
class Unit:
    """A unit that runs while the subsystem is live. `enable` is False where another unit pulls it in at boot."""

    name: str
    enable: bool = True


@dataclass(frozen=True)
class Change:
    """One file that appears (`before` is None), changes, or goes (`after` is None)."""

    path: Path
    before: FileSpec | None
    after: FileSpec | None


@dataclass(frozen=True)
class Derived:
    """A file that a program makes of another one: `argv` leaves it beside that.

    In `argv`, "{source}" is the staged source, and "{stage}" the directory below which the staged files lie.
    """

    path: Path
    source: Path
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A complete copy of the wanted files below `root`, each at its own path, for validation before the swap."""

    root: Path
    wanted: tuple[FileSpec, ...]

    def at(self, path: Path) -> Path:
        """Where the file that is to stand at `path` lies in the stage."""
        return self.root / path.relative_to("/")

    def resolve(self, path: Path) -> Path:
        """`path` as it will be after the swap: the staged file where this generation has one, else the live file."""
        return self.at(path) if any(spec.path == path for spec in self.wanted) else path

    def spec(self, path: Path) -> FileSpec | None:
        """What is wanted at `path`, None where the generation has no such file."""
        return next((spec for spec in self.wanted if spec.path == path), None)

    def text(self, path: Path) -> str:
        """The text of the wanted file at `path`. Raises ValidationError where the generation has no such file."""
        spec = self.spec(path)
        if spec is None:
            raise ValidationError(f"{path} is missing from the files of this call; it is what the daemon reads.")
        return spec.content.decode()

    def rewritten(self, text: str) -> str:
        """`text` with every path of this generation replaced by its staged copy."""
        for path in sorted((str(spec.path) for spec in self.wanted), key=len, reverse=True):
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w/-]|\.\w)", str(self.at(Path(path))), text)
        return text


class Subsystem:
    """The engine's view of one subsystem. Subclasses say what differs from: write the files, restart all units."""

    name: ClassVar[str]
    title: ClassVar[str]  # as an error message calls it
    owned: ClassVar[tuple[str, ...]]  # regular expressions: the paths it may own
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    masked: ClassVar[tuple[str, ...]] = ()  # units of packages that must never run beside ours

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take `settings`, refusing names that nobody reads and values of a wrong type."""
        known = {"enabled": bool, "units": list, **self.settings_known}
        for key, value in settings.items():
            if key not in known:
                raise SettingsError(f"settings of {self.name}: {key!r} is not known; known are {', '.join(known)}.")
            if value is not None and not isinstance(value, known[key]):
                raise SettingsError(f"settings of {self.name}: {key} is {value!r}, a {type(value).__name__}.")
        self.settings = {key: value for key, value in settings.items() if value is not None}

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """The same subsystem with the settings of another generation."""
        other = copy.copy(self)
        other.settings = dict(settings)
        return other

    @property
    def enabled(self) -> bool:
        """False if the subsystem is to leave the host: its units stop and its files go."""
        return bool(self.settings.get("enabled", True))

    def required(self, key: str) -> Any:
        """The value of setting `key`. Raises SettingsError where it is missing."""
        try:
            return self.settings[key]
        except KeyError:
            raise SettingsError(f"settings of {self.name}: {key} is missing.") from None

    def may_own(self, path: Path) -> bool:
        """True if a file at `path` belongs to this subsystem."""
        return any(re.fullmatch(pattern, str(path)) for pattern in self.owned)

    def own_units(self) -> tuple[Unit, ...]:
        """The daemons of this subsystem, in the order in which they start."""
        return ()

    def units(self) -> tuple[Unit, ...]:
        """The units that run while this subsystem is live: the daemons, and those beside them."""
        return (*self.own_units(), *map(Unit, self.units_beside()))

    def units_beside(self) -> tuple[str, ...]:
        """The units that `settings.units` adds, such as timers: they restart when their own file changes."""
        return tuple(str(name) for name in self.settings.get("units", ()))

    def derived(self, wanted: Sequence[FileSpec]) -> tuple[Derived, ...]:
        """The files that programs make of the wanted ones (compiled maps)."""
        return ()

    def validate(self, stage: Stage) -> None:
        """Prove that the staged files work: parsed by the daemon, tried by a staged instance where there is one.

        Raises:
            ValidationError: they do not.
        """

    def rank(self, path: Path) -> int:
        """When the file at `path` is swapped in, lowest first: what others refer to comes before those."""
        return 0

    def steps(self, changes: Sequence[Change]) -> Iterable[Step]:
        """The swap: files in an order in which every prefix is valid, then the daemons take them up and must answer."""
        yield from self.in_order(changes)
        yield ACTIVATE
        yield PROBE

    def in_order(self, changes: Sequence[Change]) -> list[FileSpec]:
        """The files that `changes` write, lowest rank first."""
        ordered = sorted(changes, key=lambda change: (self.rank(change.path), change.path))
        return [change.after for change in ordered if change.after is not None]

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """What each daemon must do to take up `changes`; one that needs nothing is left out."""
        return {unit.name: "restart" for unit in self.own_units()} if changes else {}

    def take_up(self, effects: Mapping[str, Effect]) -> None:
        """Make the units do what `effects` says. All of them are running."""
        for unit, effect in effects.items():
            systemd.act(effect, unit)

    def before_activation(self) -> None:
        """What must be prepared before daemons take the new generation up (a dead man's switch)."""

    def probe(self) -> None:
        """Prove on the wire that the live service answers as it must.

        Raises:
            ProbeError: it does not.
        """

    def settle(self, changes: Sequence[Change]) -> list[str]:
        """What `changes` ask of other subsystems once the probe is through; returns the units that this restarted."""
        return []

    def fingerprint(self) -> str:
        """A digest of what the kernel or a daemon holds of this generation, "" where nothing can be asked cheaply.

        Where it differs from what it was after the last probe, the generation is activated and probed again.
        """
        return fingerprints.OF[self.name]() if self.name in fingerprints.OF else ""

    def unchanged(self) -> None:
        """What to do when a call finds everything as it should be."""

    def withdraw(self) -> None:
        """What must go beside units and files when the subsystem is switched off."""


def read_text(path: Path) -> str:
    """The text of the live file at `path`, "" where there is none."""
    there = files.read(path)
    return there.content.decode(errors="replace") if there is not None else ""
