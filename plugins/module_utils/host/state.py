# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a subsystem remembers on its host: one JSON file each, one reader and one writer, under the host's lock."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import SendyardError
from . import files

STATE_DIRECTORY = Path("/var/lib/sendyard")


class StateError(SendyardError):
    """A state file is there and cannot be used."""


def state_file(subsystem: str, directory: Path = STATE_DIRECTORY) -> Path:
    """Where `subsystem` keeps its state."""
    return directory / f"{subsystem}.json"


def read_state(subsystem: str, directory: Path = STATE_DIRECTORY) -> dict[str, Any]:
    """The state of `subsystem`, {} where it has none yet.

    Raises:
        StateError: the file cannot be read, or is no JSON object. It is never silently taken as empty: what was
            published or is running would be forgotten with it.
    """
    path = state_file(subsystem, directory)
    there = files.read(path)
    if there is None:
        return {}
    try:
        value = json.loads(there.content)
    except ValueError as error:
        raise StateError(
            f"{path} is damaged ({error}). Restore it from a backup, or remove it: the next run then makes everything "
            "of this subsystem anew."
        ) from error
    if not isinstance(value, dict):
        raise StateError(f"{path} holds {type(value).__name__}, not an object. Restore it from a backup, or remove it.")
    return value


def write_state(subsystem: str, value: dict[str, Any], directory: Path = STATE_DIRECTORY) -> None:
    """Replace the state of `subsystem` at once (0600), if it differs from what stands there. Hold the lock."""
    spec = files.FileSpec(
        path=state_file(subsystem, directory),
        content=json.dumps(value, indent=1, sort_keys=True).encode() + b"\n",
        mode=0o600,
        owner=files.owner_name(os.geteuid()),
        group=files.group_name(os.getegid()),
        sensitive=True,
    )
    if not files.same(files.read(spec.path), spec):
        files.write(spec)
