# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subsystems are as the run that made them live left them, found out for all of them at once.

A run that then asks for the very same need not ask the host again. It goes by what the engine (`generations`) wrote
down, and by what it would look at itself: each file and directory, the units, and what kernel and daemons hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import SendyardError
from . import files, fingerprints, state, systemd


def standing(
    directory: Path = state.STATE_DIRECTORY, prints: Mapping[str, Callable[[], str]] | None = None
) -> dict[str, str]:
    """Return, by subsystem, what the last call asked for (`asked`, a digest) where all of it still stands.

    What differs, was never asked for, or cannot be looked at is left out: a call of the engine will tell.

    Args:
        prints: `fingerprints.OF`, where nothing else is said.
    """
    known = {}
    for path in sorted(directory.glob("*.json")):
        try:
            remembered = state.read_state(path.stem, directory)
            if remembered.get("asked") and _holds(path.stem, remembered, prints or fingerprints.OF):
                known[path.stem] = remembered
        except (SendyardError, OSError):
            continue
    try:
        found = systemd.status(sorted({name for one in known.values() for name in (*one["units"], *one["masked"])}))
    except SendyardError:
        return {}
    return {name: one["asked"] for name, one in known.items() if _run(one, found)}


def _holds(name: str, remembered: Mapping[str, Any], prints: Mapping[str, Callable[[], str]]) -> bool:
    """Whether a generation is live, and its files, directories and what is made of them are as they were."""
    if remembered.get("status") != "live" or (name == "firewall" and fingerprints.FIREWALL_BEFORE.exists()):
        return False
    for text, digest in remembered["files"].items():
        there = files.read(Path(text), sensitive=text in remembered["sensitive"])
        if there is None or there.digest != digest:
            return False
    if any(files.directory_meta(Path(text)) != meta for text, meta in remembered["directories"].items()):
        return False
    return bool(remembered["fingerprint"] == (prints[name]() if name in prints else ""))


def _run(remembered: Mapping[str, Any], found: Mapping[str, systemd.UnitStatus]) -> bool:
    """Whether every unit runs, starts at boot where it should, and none runs that must not."""
    units: Mapping[str, bool] = remembered["units"]
    return all(
        found[name].running and (found[name].starts_at_boot or not enable) for name, enable in units.items()
    ) and not any(found[name].load == "loaded" for name in remembered["masked"])
