# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time changes a host; a second one waits, or learns who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import SendyardError

LOCK_FILE = Path("/run/sendyard.lock")
_POLL = 0.2  # seconds between two tries


class LockError(SendyardError):
    """Another run holds the host and did not let go within the deadline."""


@contextmanager
def host_lock(purpose: str, *, deadline: float = 120.0, path: Path = LOCK_FILE) -> Iterator[None]:
    """Hold the host's lock for the body. `purpose` is told to those who wait, such as "host_config postfix".

    The kernel lets go of it when the holder ends, however it ends; the file itself stays.
    `deadline` (seconds) is longer than the longest step holds it, so that a second run normally just waits.

    Raises:
        LockError: not free within `deadline`; names the holder's pid, purpose and since when.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor, path, deadline)
        note = {
            "pid": os.getpid(),
            "purpose": purpose,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note).encode() + b"\n", 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    """Take the lock on `descriptor` within `deadline` seconds or raise LockError."""
    end = time.monotonic() + deadline
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise LockError(
                    f"another run holds this host ({_holder(descriptor)}); waited {deadline:g} s for {path}. "
                    "Wait until it is done and run again."
                ) from None
            time.sleep(_POLL)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as its holder wrote it."""
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f"pid {note['pid']}: {note['purpose']}, since {note['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said who it is"
