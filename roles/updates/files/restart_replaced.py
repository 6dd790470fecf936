# Sendyard writes this file.
# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Restart the daemons of /etc/sendyard/restart.conf whose program or libraries were replaced since they started.

Debian's packages restart the units they bring, and no others: a signer in a unit of our own would run OpenDKIM's old
program for ever, and all of them an old OpenSSL. What a process has mapped and dpkg has replaced, the kernel calls
"(deleted)".

Postfix is reloaded when its list of map types was written: while postfix-lmdb is upgraded, Postfix runs without it,
and a process that started then answers 451 for as long as it lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

CONFIG = Path("/etc/sendyard/restart.conf")
PROC = Path("/proc")
APT_LOCK = Path("/var/lib/dpkg/lock-frontend")  # held from the first package to the last
RUN_LOCK = Path("/run/sendyard.lock")  # of Sendyard's runs: what one of them is about to restart is left to it
INSTALLED = ("/usr/", "/lib")  # where packages put programs and libraries
# What processes of a unit read when they start, and packages write when they come and go.
READ_AT_START = {Path("/etc/postfix/dynamicmaps.cf"): "postfix.service"}
SEEN = Path(
    "/run/sendyard/restart-replaced.json"
)  # how those were at the last look; gone with a boot, as processes are
RESTART_SECONDS = 300
_POLL = 1.0
_GONE = " (deleted)"


def patterns(text: str) -> list[str]:
    """The units that `text` names, one a line."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def replaced(maps: str) -> str:
    """The first file in the text of a /proc/PID/maps that a package has replaced or removed, "" if none."""
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].endswith(_GONE) and fields[5].startswith(INSTALLED):
            return fields[5].removesuffix(_GONE)
    return ""


def unit_of(cgroups: str) -> str:
    """The service in the text of a /proc/PID/cgroup, "" if none. Of nested ones the outermost: the system's own."""
    for line in cgroups.splitlines():
        for part in line.rpartition(":")[2].split("/"):
            if part.endswith(".service"):
                return part
    return ""


def outdated(wanted: Sequence[str], proc: Path = PROC) -> tuple[dict[str, str], list[str]]:
    """The units among `wanted` that run a replaced file, each with one of them; and what could not be looked at."""
    found: dict[str, str] = {}
    blind: list[str] = []
    own = unit_of((proc / "self/cgroup").read_text())
    for process in proc.glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            unit = unit_of((process / "cgroup").read_text())
            if not unit or unit == own or unit in found or not any(fnmatch(unit, pattern) for pattern in wanted):
                continue
            try:
                file = replaced((process / "maps").read_text(errors="replace"))
            except PermissionError:
                blind.append(unit)
                continue
            if file:
                found[unit] = file
    return found, blind


def locked(path: Path) -> bool:
    """True if a process holds a lock of fcntl(2) on the file. Asked, not tried: apt would fail if we held it."""
    try:
        with path.open("rb") as file:
            asked = struct.pack("hhlli", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer: bytes = fcntl.fcntl(file, fcntl.F_GETLK, asked)
    except FileNotFoundError:
        return False
    return struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of Sendyard's runs for the body."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stamps(paths: Iterable[Path]) -> dict[str, str]:
    """What is another one as soon as somebody wrote a file, though its content is what it was."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            status = path.stat()
            found[str(path)] = f"{status.st_ino} {status.st_ctime_ns}"
    return found


def rewritten(read_at_start: Mapping[Path, str], before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The units whose files were written between two looks (`stamps`), each with the file."""
    return {unit: str(path) for path, unit in read_at_start.items() if now.get(str(path)) != before.get(str(path))}


def remember(now: Mapping[str, str], seen: Path) -> None:
    """Keep a look for the next one."""
    seen.parent.mkdir(exist_ok=True)
    fresh = seen.with_name(f".{seen.name}.new")
    fresh.write_text(json.dumps(now))
    fresh.replace(seen)


def systemctl(verb: str, units: Iterable[str]) -> int:
    """Have systemd do something to units that run, in the order that they ask of it; returns systemctl's exit code."""
    return subprocess.run(["systemctl", verb, *units], check=False, timeout=RESTART_SECONDS).returncode


def main() -> int:
    wanted = patterns(CONFIG.read_text())
    # After a boot nothing is remembered: then this is what stood before apt came to an end.
    before = json.loads(SEEN.read_text()) if SEEN.exists() else stamps(READ_AT_START)
    while locked(APT_LOCK):
        time.sleep(_POLL)
    with held(RUN_LOCK):
        units, blind = outdated(wanted)
        for unit in sorted(set(blind)):
            print(
                f"{unit}: not allowed to see what its processes have mapped; restart it after updates", file=sys.stderr
            )
        now = stamps(READ_AT_START)
        stale = {
            unit: file
            for unit, file in rewritten(READ_AT_START, before, now).items()
            if unit not in units and any(fnmatch(unit, pattern) for pattern in wanted)
        }
        for unit, file in sorted(units.items()):
            print(f"{unit} runs a {file} that was replaced; restarting it", flush=True)
        for unit, file in sorted(stale.items()):
            print(f"{unit}: {file} was written since it started; reloading it", flush=True)
        failed = systemctl("try-restart", sorted(units)) if units else 0
        failed = (systemctl("try-reload-or-restart", sorted(stale)) if stale else 0) or failed
        if not failed:
            remember(now, SEEN)
        return failed


if __name__ == "__main__":
    sys.exit(main())
