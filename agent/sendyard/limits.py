# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many recipients a login and a domain had in the last hour and day, and whether they may have more.

A window is a ring of slots, so that a message costs the same whatever was sent before, and a name the same memory. The
oldest slot leaves as a whole: an hour is one of 60 to 65 minutes, a day one of 24 to 25 hours, and a limit is never
overshot. Times are seconds since the epoch, as counts outlive a reboot; a clock that is set back frees nobody.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Window:
    """A span of `slots` times `slot_seconds`."""

    name: str
    slots: int
    slot_seconds: int

    @property
    def seconds(self) -> int:
        """How long it is at least."""
        return self.slots * self.slot_seconds


WINDOWS = {"hour": Window("hour", 12, 300), "day": Window("day", 24, 3600)}


@dataclass(frozen=True)
class Allowance:
    """How many recipients somebody may have; 0 is as many as they like."""

    hour: int = 0
    day: int = 0

    def __iter__(self) -> Iterator[tuple[Window, int]]:
        yield WINDOWS["hour"], self.hour
        yield WINDOWS["day"], self.day

    @classmethod
    def parse(cls, text: str) -> Allowance | None:
        """The allowance that "HOUR DAY" says, None where nothing does. Raises ValueError for anything else."""
        words = text.split()
        if not words:
            return None
        hour, day = map(int, words)
        if hour < 0 or day < 0:
            raise ValueError(f"{text.strip()!r} is no allowance")
        return cls(hour, day)


class OverLimit(Exception):
    """The message would exceed a limit. The text is for the client.

    `lasting` is True where it has more recipients than the limit allows at all, so that trying again is in vain.
    `event` is one line for the log, "" where that was said within the window already.
    """

    def __init__(self, text: str, *, lasting: bool, event: str) -> None:
        super().__init__(text)
        self.lasting = lasting
        self.event = event


class _Count:
    """The recipients of one name in one window. `last` is the number of the newest slot, counted from the epoch."""

    __slots__ = ("last", "ring", "told", "total")

    def __init__(self, window: Window) -> None:
        self.ring = array("L", bytes(array("L").itemsize * (window.slots + 1)))  # one more: the newest is not over yet
        self.last = 0
        self.total = 0
        self.told = 0.0  # when it was last said that the limit is reached

    def advance(self, slot: int) -> None:
        """Let go what is too old when `slot` is the newest one."""
        size = len(self.ring)
        gone = slot - self.last
        if -size < gone <= 0:  # a clock that was set back a little
            return
        for old in range(self.last + 1, slot + 1) if 0 < gone < size else range(size):
            self.total -= self.ring[old % size]
            self.ring[old % size] = 0
        self.last = slot

    def add(self, recipients: int) -> None:
        """Count in the newest slot."""
        self.ring[self.last % len(self.ring)] += recipients
        self.total += recipients

    def free_at(self, room: int) -> int:
        """The number of the slot with whose beginning `room` recipients or fewer are left."""
        size, left = len(self.ring), self.total
        for slot in range(self.last - size + 1, self.last + 1):
            if left <= room:
                return slot + size - 1
            left -= self.ring[slot % size]
        return self.last + size


class Limits:
    """The counters of all logins and domains. Several threads may ask at once."""

    def __init__(self, login: Allowance, domain: Allowance) -> None:
        self._allowed = {"login": login, "domain": domain}
        self._counts: dict[tuple[str, str], dict[str, _Count]] = {
            (kind, window): {} for kind in self._allowed for window in WINDOWS
        }
        self._lock = Lock()

    def take(self, login: str, domain: str, recipients: int, now: float, of_domain: Allowance | None = None) -> None:
        """Count a message of `login`, From `domain`, or raise OverLimit and count nothing.

        Args:
            of_domain: what holds for the domain instead of what holds for all.
        """
        names = {"login": login, "domain": domain}
        allowed = self._allowed | ({"domain": of_domain} if of_domain else {})
        with self._lock:
            counts = []
            for kind, name in names.items():
                for window, limit in allowed[kind]:
                    if limit:
                        count = self._count(kind, name, window)
                        count.advance(int(now) // window.slot_seconds)
                        if count.total + recipients > limit:
                            raise _over(count, kind, name, window, limit, recipients, now)
                        counts.append(count)
            for count in counts:
                count.add(recipients)

    def _count(self, kind: str, name: str, window: Window) -> _Count:
        names = self._counts[kind, window.name]
        count = names.get(name)
        if count is None:
            count = names[name] = _Count(window)
        return count

    # --- over a restart

    def save(self, path: Path, now: float) -> None:
        """Write the counters to `path`, all or nothing, and forget those that have run out. Raises OSError."""
        with self._lock:
            self._forget(now)
            kept = [
                [kind, window, name, count.last, count.ring.tolist()]
                for (kind, window), names in self._counts.items()
                for name, count in names.items()
            ]
        temporary = path.with_name(f".{path.name}")
        with temporary.open("w", encoding="ascii") as file:
            json.dump({"format": FORMAT, "counts": kept}, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def _forget(self, now: float) -> None:
        """Drop counters with nothing in them, so that memory is bounded by who sent within a day."""
        for key, names in self._counts.items():
            slot = int(now) // WINDOWS[key[1]].slot_seconds
            for name, count in list(names.items()):
                count.advance(slot)
                if not count.total:
                    del names[name]

    def load(self, path: Path) -> str:
        """Take up the counters at `path`; returns why they could not be, "" where they were or none were kept.

        Where they could not be, counting starts at 0: better than no mail.
        """
        try:
            kept = json.loads(path.read_text(encoding="ascii"))
            counts = dict(_read(kept))
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            return f"{path}: the counts of recipients cannot be read ({error}); counting starts at 0."
        with self._lock:
            for (kind, window, name), count in counts.items():
                self._counts[kind, window][name] = count
        return ""


def _read(kept: Any) -> Iterator[tuple[tuple[str, str, str], _Count]]:
    """The counters that `Limits.save` wrote. Raises ValueError, TypeError, KeyError, OverflowError."""
    if kept["format"] != FORMAT:
        raise ValueError(f"format {kept['format']}")
    for kind, window, name, last, ring in kept["counts"]:
        count = _Count(WINDOWS[window])
        if kind not in {"login", "domain"} or len(ring) != len(count.ring) or not isinstance(last, int):
            raise ValueError(f"{kind} {name}")
        count.ring = array("L", ring)
        count.last, count.total = last, sum(ring)
        yield (kind, window, str(name)), count


def _over(  # noqa: PLR0917  # one caller
    count: _Count, kind: str, name: str, window: Window, limit: int, recipients: int, now: float
) -> OverLimit:
    """What to say, and whether it was said already."""
    event = ""
    if not 0 <= now - count.told < window.seconds:
        count.told = now
        event = f"event {kind}-over-limit {kind}={name} limit={limit} window={window.seconds}s sent={count.total}"
    allowed = f"{kind} {name} may have {limit} recipients per {window.name}"
    if recipients > limit:
        return OverLimit(f"{allowed}, and this message has {recipients}", lasting=True, event=event)
    minutes = max(1, -(-(count.free_at(limit - recipients) * window.slot_seconds - int(now)) // 60))
    return OverLimit(f"{allowed} and had {count.total}; try again in {minutes} minutes", lasting=False, event=event)
