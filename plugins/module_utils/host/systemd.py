# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd as far as generations need it: what units do, make them do otherwise, and short-lived units of our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import SendyardError
from .command import Result, run

# Debian's slowest start (OpenDKIM with a bad configuration) hangs 90 s; ours start in 2.
START_DEADLINE = 60.0


class UnitError(SendyardError):
    """A unit did not start, stop or reload."""


@dataclass(frozen=True)
class UnitStatus:
    """A unit as systemd sees it. `load` is "not-found" where its package is not installed."""

    name: str
    load: str
    active: str
    enabled: str

    @property
    def running(self) -> bool:
        """True if the unit is up (a oneshot that remains counts)."""
        return self.active in {"active", "reloading"}

    @property
    def starts_at_boot(self) -> bool:
        """True if it is enabled, or something enabled pulls it in."""
        return self.enabled in {"enabled", "alias", "generated", "static", "indirect"}


def status(names: Sequence[str]) -> dict[str, UnitStatus]:
    """The status of each of `names`, in one call."""
    if not names:
        return {}
    properties = ("LoadState", "ActiveState", "UnitFileState")
    answer = run(["systemctl", "show", "--property=" + ",".join(properties), *names], deadline=20)
    answer.require("Asking systemd for the state of units")
    blocks = answer.stdout.strip("\n").split("\n\n")
    found: dict[str, UnitStatus] = {}
    for name, block in zip(names, blocks, strict=True):
        values = dict(line.split("=", 1) for line in block.splitlines())
        found[name] = UnitStatus(name, *(values.get(key, "") for key in properties))
    return found


def recent_log(unit: str, lines: int = 12) -> str:
    """The last lines that `unit` logged, for an error message; "" where the journal cannot be read."""
    answer = run(["journalctl", "--unit", unit, "--lines", str(lines), "--no-pager", "--output=cat"], deadline=20)
    return answer.stdout.strip() if answer.ok else ""


def _systemctl(verb: str, *names: str) -> Result:
    return run(["systemctl", verb, *names], deadline=START_DEADLINE)


def act(verb: str, unit: str) -> None:
    """`systemctl verb unit` (start, stop, restart, reload).

    Raises:
        UnitError: it failed; the message ends with what the unit logged last.
    """
    answer = _systemctl(verb, unit)
    if not answer.ok:
        log = recent_log(unit)
        raise UnitError(f"{unit} could not {verb}: {answer.said}" + (f"\nIts log ends with:\n{log}" if log else ""))


def daemon_reload() -> None:
    """Make systemd read unit files again."""
    _systemctl("daemon-reload").require("Making systemd read the unit files")


def set_at_boot(*, enable: Sequence[str] = (), disable: Sequence[str] = (), mask: Sequence[str] = ()) -> bool:
    """Say what starts at boot; True if anything was to be said. Takes effect with the next `daemon_reload`.

    Each `systemctl enable` would reload systemd by itself, which takes seconds on a busy host.
    """
    for verb, units in (("mask", mask), ("disable", disable), ("enable", enable)):
        if units:
            _systemctl(verb, "--no-reload", *units).require(f"systemctl {verb} {' '.join(units)}")
    return bool(enable or disable or mask)


def stop_transient(unit: str) -> None:
    """End a unit started by `transient` or `after`. Nothing happens where it is gone."""
    _systemctl("stop", unit)


def _start_transient(unit: str, options: Sequence[str], argv: Sequence[str]) -> None:
    """systemd-run; where a killed run left a unit of that name, that one ends first."""
    command = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", *options, "--", *argv]
    if not run(command, deadline=20).ok:
        _systemctl("stop", f"{unit}.timer", unit)
        run(command, deadline=20).require(f"Starting {unit}")


@contextmanager
def transient(unit: str, argv: Sequence[str], *, seconds: int, properties: Sequence[str] = ()) -> Iterator[None]:
    """Run `argv` in the foreground as service `unit` for the body.

    systemd kills it with all its children when the body ends, and at the latest after `seconds`: so nothing of a killed
    run stays behind. (A milter that is asked to stop takes five seconds over it.)
    """
    settings = (f"RuntimeMaxSec={seconds}", "KillSignal=SIGKILL", "SendSIGHUP=no", *properties)
    _start_transient(unit, [f"--property={setting}" for setting in settings], argv)
    try:
        yield
    finally:
        stop_transient(unit)


def after(unit: str, seconds: int, argv: Sequence[str]) -> None:
    """Arrange that `argv` runs in `seconds` unless `stop_transient(unit + ".timer")` comes first.

    `argv` brings its own deadline. Who starts the service before its time returns when `argv` has ended, not before.
    """
    timing = [f"--on-active={seconds}s", "--timer-property=AccuracySec=1s"]
    _start_transient(unit, ["--service-type=oneshot", *timing], argv)
