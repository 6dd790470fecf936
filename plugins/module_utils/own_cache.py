# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a controller keeps for itself: without them a run takes longer, and does the same."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def path(name: str) -> Path:
    """Return where the file `name` is kept (XDG Base Directory Specification)."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return caches / "sendyard" / name


def read(kept: Path) -> bytes:
    """Return what was kept, b"" where that cannot be read."""
    try:
        return kept.read_bytes()
    except OSError:
        return b""


def write(kept: Path, content: bytes) -> None:
    """Keep `content`, for nobody else to read: it holds password hashes. Where that cannot be written, keep nothing."""
    with suppress(OSError):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = kept.with_name(f"{kept.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        new.replace(kept)
