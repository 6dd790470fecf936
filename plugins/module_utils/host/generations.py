# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage, validate, swap, reload, probe, roll back: how the files of a subsystem change, all of them or none.

A generation is the whole set of files of one subsystem. The wanted one is first written beside (the stage) and proven
there; then each file replaces its predecessor by a rename, in an order in which every prefix works; the daemons take it
up, and a probe on the wire confirms it. A failed probe brings the previous files back, and the daemons with them.

What survives a kill at any moment:

* `STATE/<subsystem>.json` says "swapping" before the first rename and "live" after the probe. The next run that
  finds "swapping" finishes the swap and has all daemons take it up and answer, whether or not a file still differs.
* `STATE/generations/<subsystem>/previous/` holds what stood at each touched path while the last live generation ran.
  It is complete before the first rename, and the run that repairs does not overwrite it.
* `STATE/replaced/` keeps, for ever, what stood at a path before Sendyard first wrote there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import SendyardError
from . import files, plan, previous, state, systemd
from .command import run
from .files import Diff, FileSpec
from .plan import DirectorySpec, Layout, Plan
from .subsystems.base import ACTIVATE, PROBE, Change, Derived, Effect, Stage, Subsystem, ValidationError


class GenerationError(SendyardError):
    """The wanted generation did not become live. The message says what runs instead."""


@dataclass
class Outcome:
    """What a call did, or in check mode would do. Lists name units."""

    diff: list[Diff] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    reloaded: list[str] = field(default_factory=list)
    enabled: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    reason: str = ""  # why daemons had to take up and answer though no file differs

    @property
    def changed(self) -> bool:
        """True if the host is not what it was."""
        touched = (self.diff, self.started, self.restarted, self.reloaded, self.enabled, self.stopped)
        return bool(self.reason) or any(touched)


def apply(
    subsystem: Subsystem,
    wanted: Sequence[FileSpec],
    directories: Sequence[DirectorySpec] = (),
    *,
    check: bool = False,
    asked: str = "",
    layout: Layout | None = None,
) -> Outcome:
    """Make `wanted` the live generation of `subsystem`, or leave the running one. The caller holds the host's lock.

    In check mode nothing is written, started or validated; a host that lacks packages, users and directories is as good
    as any.

    Args:
        asked: a digest of all that the caller asks for; `standing` tells it as long as all of that stands.

    Raises:
        ValidationError: the staged files do not work; nothing live was touched.
        GenerationError: they did not come up; the previous generation is back.
        SendyardError: a file, unit or state file is in the way.
    """
    layout = layout or Layout()
    remembered = state.read_state(subsystem.name, layout.state)
    if not subsystem.enabled:
        return _withdraw(subsystem, remembered, check, layout)
    planned = plan.make_plan(subsystem, wanted, directories, remembered)
    if check:
        return _foresee(subsystem, planned)
    return _Run(subsystem, tuple(wanted), tuple(directories), planned, remembered, layout, asked).apply()


def _effects(subsystem: Subsystem, planned: Plan) -> dict[str, Effect]:
    """What each unit must do: what the changes ask, or all of it where the last probe does not stand."""
    if planned.interrupted or (planned.unproven and not planned.swaps):
        return {unit.name: "restart" for unit in subsystem.own_units()}
    return subsystem.effects(planned.changes)


def _foresee(subsystem: Subsystem, planned: Plan) -> Outcome:
    """What applying `planned` would do, as far as it can be known without doing it."""
    outcome = Outcome(diff=planned.diff(), reason="" if planned.swaps else planned.unproven)
    effects = _effects(subsystem, planned)
    statuses = systemd.status([unit.name for unit in subsystem.units()])
    for unit in subsystem.units():
        if unit.enable and not statuses[unit.name].starts_at_boot:
            outcome.enabled.append(unit.name)
        if not statuses[unit.name].running:
            outcome.started.append(unit.name)
        elif effects.get(unit.name) == "restart":
            outcome.restarted.append(unit.name)
        elif effects.get(unit.name) == "reload":
            outcome.reloaded.append(unit.name)
    return outcome


@contextmanager
def staged(subsystem: Subsystem, wanted: Sequence[FileSpec], layout: Layout) -> Iterator[Stage]:
    """A stage with all of `wanted`, removed at the end. What a killed run left there is removed first."""
    root = layout.stage / subsystem.name
    shutil.rmtree(root, ignore_errors=True)
    # Daemons tried there run as users of their own: they may pass through, not look around. (mkdir's mode is umask's.)
    for directory in (root.parent, root):
        files.make_parents(directory)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o711)
    try:
        for spec in wanted:
            files.write(replace(spec, path=root / spec.path.relative_to("/")))
        yield Stage(root=root, wanted=tuple(wanted))
    finally:
        shutil.rmtree(root, ignore_errors=True)


@dataclass
class _Run:
    """One call that is not a check: what it was asked, what it found, and what it has done so far."""

    subsystem: Subsystem
    wanted: tuple[FileSpec, ...]
    directories: tuple[DirectorySpec, ...]
    plan: Plan
    remembered: dict[str, Any]
    layout: Layout
    asked: str
    outcome: Outcome = field(default_factory=Outcome)
    found: dict[str, systemd.UnitStatus] | None = None  # the units before anything was touched

    def apply(self) -> Outcome:
        """Do what the plan says, as little as it takes."""
        self.outcome = Outcome(diff=self.plan.diff(), reason="" if self.plan.swaps else self.plan.unproven)
        new = self.plan.swaps or self.remembered.get("digest") != self.plan.digest
        # Users first: directories and files belong to them. Neither does harm if the files then turn out not to work.
        self._make_users()
        self._make_directories()
        self._make_tmpfiles()
        if new:
            self._validate()
        if self.plan.swaps or self.plan.unproven:
            self._swap()
        else:
            started = self._keep_running()
            self.subsystem.unchanged()
            if new or started:  # new: other settings, the same files; the stage has proven them, now the wire does
                self.subsystem.probe()
            if new or self.remembered.get("asked") != self.asked:
                self._remember()
        return self.outcome

    # --- before the swap

    def _new_files_in(self, directory: str) -> list[FileSpec]:
        """The changed files whose directory is called `directory`."""
        return [change.after for change in self.plan.changes if change.after and change.path.parent.name == directory]

    def _make_users(self) -> None:
        """Create the users that a changed sysusers.d file declares, before files are given to them."""
        for spec in self._new_files_in("sysusers.d"):
            run(["systemd-sysusers", "-"], stdin=spec.content, deadline=30).require(f"Making the users of {spec.path}")

    def _make_tmpfiles(self) -> None:
        """Make what a changed tmpfiles.d file declares; at boot systemd does it."""
        for spec in self._new_files_in("tmpfiles.d"):
            command = ["systemd-tmpfiles", "--create", "-"]
            run(command, stdin=spec.content, deadline=30).require(f"Making what {spec.path} declares")

    def _make_directories(self) -> None:
        """Create or correct directories, parents first."""
        for spec, _there in sorted(self.plan.directories, key=lambda item: item[0].path):
            uid, gid = files.owner_id(spec.owner), files.group_id(spec.group)
            files.make_parents(spec.path)
            spec.path.mkdir(mode=0o700, exist_ok=True)
            os.chown(spec.path, uid, gid, follow_symlinks=False)
            spec.path.chmod(spec.mode)

    def _validate(self) -> None:
        """Prove the wanted files in a stage; compiled ones become changes of the plan."""
        with staged(self.subsystem, self.wanted, self.layout) as stage:
            made = tuple(_derive(stage, item) for item in self.plan.stale)
            for item in self.subsystem.derived(self.wanted):
                there = files.read(item.path)
                if item not in self.plan.stale and there is not None:
                    files.write(replace(there, path=stage.at(item.path)))
            self.subsystem.validate(stage)
        self.plan = replace(self.plan, changes=(*self.plan.changes, *made))

    # --- the swap

    def _swap(self) -> None:
        """Swap, activate, probe; or bring back what ran before and raise GenerationError."""
        for change in self.plan.changes:
            if str(change.path) not in self.remembered.get("files", {}):
                previous.keep_replaced(change.path, self.layout.state)
        where = previous.directory(self.layout.state, self.subsystem.name)
        names = [unit.name for unit in self.subsystem.units()]
        units = {name: status for name, status in self._statuses().items() if name in names}
        previous.save(where, self.plan.changes, units, interrupted=self.plan.interrupted)
        swapping = plan.remembered_as_swapping(self.plan, self.wanted, self.remembered)
        state.write_state(self.subsystem.name, swapping, self.layout.state)
        try:
            self._take_steps()
            self._remove(self.plan.changes)
            self.outcome.restarted += self.subsystem.settle(self.plan.changes)
        except Exception as error:  # also one of our own mistakes must not leave half a generation behind
            facts = error.facts if isinstance(error, SendyardError) else {}
            said = str(error) if isinstance(error, SendyardError | OSError) else f"{type(error).__name__}: {error}"
            raise GenerationError(f"{said}\n{self._roll_back()}", **facts) from error
        self._remember()

    def _take_steps(self) -> None:
        """Write, activate and probe in the order that the subsystem gives."""
        for step in self.subsystem.steps(self.plan.changes):
            if step == ACTIVATE:
                self._activate()
            elif step == PROBE:
                self.subsystem.probe()
            elif isinstance(step, FileSpec):
                files.write(step)

    def _activate(self) -> None:
        """Have the daemons take up what stands in place: enable, start, restart, reload."""
        self.subsystem.before_activation()
        started = self._keep_running()
        effects = {unit: effect for unit, effect in _effects(self.subsystem, self.plan).items() if unit not in started}
        self.subsystem.take_up(effects)
        changed = {change.path.name for change in self.plan.changes}
        beside = [unit for unit in self.subsystem.units_beside() if unit in changed and unit not in started]
        for unit in beside:
            systemd.act("restart", unit)
        self.outcome.restarted += [*(unit for unit, effect in effects.items() if effect == "restart"), *beside]
        self.outcome.reloaded += [unit for unit, effect in effects.items() if effect == "reload"]

    def _statuses(self) -> dict[str, systemd.UnitStatus]:
        """The units as they were when this was first asked, before anything was touched."""
        if self.found is None:
            self.found = systemd.status([*self.subsystem.masked, *(unit.name for unit in self.subsystem.units())])
        return self.found

    def _keep_running(self) -> list[str]:
        """Mask what must not run, enable and start what is not; returns the units that were started."""
        statuses = self._statuses()
        units = self.subsystem.units()
        mask = [name for name in self.subsystem.masked if statuses[name].load == "loaded"]
        enable = [unit.name for unit in units if unit.enable and not statuses[unit.name].starts_at_boot]
        if systemd.set_at_boot(mask=mask, enable=enable) or self._has_units(self.plan.changes):
            systemd.daemon_reload()
        for name in mask:
            systemd.act("stop", name)
        started = [unit.name for unit in units if not statuses[unit.name].running]
        for name in started:
            systemd.act("start", name)
        self.outcome.stopped += mask
        self.outcome.enabled += enable
        self.outcome.started += started
        return started

    def _has_units(self, changes: Sequence[Change]) -> bool:
        """True if a unit file is among `changes`: systemd must read them again."""
        return any(directory in change.path.parents for change in changes for directory in self.layout.units)

    def _remember(self) -> None:
        """Write down that the wanted generation is live and answered."""
        live = plan.remembered_as_live(
            self.subsystem, self.wanted, self.directories, digest=self.plan.digest, asked=self.asked
        )
        state.write_state(self.subsystem.name, live, self.layout.state)

    def _roll_back(self) -> str:
        """Bring the previous generation back, files and daemons; returns a sentence that says what runs now.

        A unit that did not run before is stopped again. Where daemons do not come back, the state stays "swapping", so
        that the next run has them take up and answer.
        """
        # What comes back was proven by its own settings.
        old = self.subsystem.with_settings(self.remembered.get("settings", self.subsystem.settings))
        try:
            back = previous.load(previous.directory(self.layout.state, self.subsystem.name))
            for step in old.steps(back.changes):
                if step == ACTIVATE:
                    self._take_back(old, back)
                elif step == PROBE and back.running:
                    old.probe()
                elif isinstance(step, FileSpec):
                    files.write(step)
            self._remove(back.changes)
        except (SendyardError, OSError, ValueError) as error:
            return f"Bringing the previous configuration back failed too: {error}"
        state.write_state(self.subsystem.name, self.remembered, self.layout.state)
        if back.running:
            return f"The previous configuration is back and answers ({', '.join(back.running)})."
        return f"What stood before is back; {self.subsystem.title} does not run, as before."

    def _take_back(self, old: Subsystem, back: previous.Previous) -> None:
        """Have the daemons take up the files that are back; those that did not run before stop."""
        previous.restore_links(back.links)
        for unit in back.idle:
            systemd.act("stop", unit)
        if systemd.set_at_boot(disable=back.disabled) or self._has_units(back.changes):
            systemd.daemon_reload()
        if back.running:
            old.take_up(dict.fromkeys(back.running, "restart"))
        else:
            old.withdraw()

    def _remove(self, changes: Sequence[Change]) -> None:
        """Remove the files that `changes` take away, once nothing uses them any more."""
        gone = [change for change in changes if change.after is None]
        for change in gone:
            files.remove(change.path)
        if self._has_units(gone):
            systemd.daemon_reload()


def _derive(stage: Stage, item: Derived) -> Change:
    """Have a program compile a staged file; returns the change that puts the result in place.

    Raises:
        ValidationError: the program refused its source, or warned of it.
    """
    source, root = str(stage.at(item.source)), str(stage.root)
    answer = run([word.replace("{source}", source).replace("{stage}", root) for word in item.argv], deadline=60)
    # postmap says "warning: …, line 3: expected format: key whitespace value" and ends with 0.
    if not answer.ok or answer.stderr.strip():
        said = answer.said.replace(str(stage.root), "")
        raise ValidationError(f"{item.source} cannot be compiled: {said}. The running files were left as they are.")
    result = files.read(stage.at(item.path))
    if result is None:
        raise ValidationError(f"{item.argv[0]} left no {item.path} of {item.source}.")
    return Change(item.path, files.read(item.path), replace(result, path=item.path))


def _withdraw(subsystem: Subsystem, remembered: dict[str, Any], check: bool, layout: Layout) -> Outcome:
    """Remove the subsystem's files and stop its units. What was replaced is not put back: it lies in `replaced/`."""
    hidden = set(remembered.get("sensitive", ()))
    there = [files.read(Path(name), sensitive=name in hidden) for name in remembered.get("files", {})]
    goes = [spec for spec in there if spec is not None]
    outcome = Outcome(diff=[files.difference(spec.path, spec, None) for spec in goes])
    if not remembered:  # never ours: whatever runs under these names was put there by somebody else
        return outcome
    statuses = systemd.status([unit.name for unit in subsystem.units()])
    outcome.stopped = [name for name, status in statuses.items() if status.running]
    if check:
        return outcome
    loaded = [name for name, status in statuses.items() if status.load == "loaded"]
    for name in loaded:
        systemd.act("stop", name)
    systemd.set_at_boot(disable=loaded)
    subsystem.withdraw()
    for spec in goes:
        files.remove(spec.path)
    if loaded:
        systemd.daemon_reload()
    files.remove(state.state_file(subsystem.name, layout.state))
    return outcome
