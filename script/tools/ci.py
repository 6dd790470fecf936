# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What CI runs: "make test", then as many of the drills as the time leaves room for, from another one on each time.

Only the standard library is needed: what the machine lacks is installed by what this runs. The last line of the output
counts the tests of both: "N passed, N failed".
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def show(command: Sequence[str], *, root: Path = ROOT) -> tuple[int, int]:
    """Run a command, pass its output on line by line, and return the two numbers of its last line.

    One that ends badly, or whose last line says nothing, has failed at least once.
    """
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout  # noqa: S101  # for mypy: it is a pipe
    last: deque[str] = deque(maxlen=1)
    for line in process.stdout:
        print(line, end="", flush=True)
        last.append(line)
    code = process.wait()
    counted = re.fullmatch(r"(\d+) passed, (\d+) failed\s*", last[0]) if last else None
    passed, failed = (int(counted[1]), int(counted[2])) if counted else (0, 1)
    return passed, failed or int(code != 0)


def main() -> int:
    started = time.monotonic()
    tests = show(("make", "--no-print-directory", "test"))
    elapsed = (time.monotonic() - started) / 60
    drills = show(("script/drills", f"--elapsed={elapsed:.1f}"))
    passed, failed = (sum(both) for both in zip(tests, drills, strict=True))
    print(f"\nall of it {(time.monotonic() - started) / 60:.0f} min\n{passed} passed, {failed} failed", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
