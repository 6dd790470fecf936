# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Programs that the lab runs, and the lines that it prints while it does."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


class LabError(Exception):
    """What the lab cannot do, for the person who runs it: the thing, what was found, what to do."""


def run(argv: Sequence[str | Path], *, deadline: float = 60, stdin: str | bytes = b"") -> str:
    """Run a program to its end and return what it wrote to its standard output.

    Raises:
        LabError: it could not be started, took longer than `deadline` seconds or failed; with what it said.
    """
    command = [str(word) for word in argv]
    data = stdin.encode() if isinstance(stdin, str) else stdin
    shown = " ".join(command[:6]) + (" …" if len(command) > 6 else "")
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=deadline)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; run script/bootstrap") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{shown}: no end after {deadline:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise LabError(f"{shown}: exit code {done.returncode}\n{said[-2000:]}")
    return done.stdout.decode(errors="replace")


def wait_for(look: Callable[[], Value | None], *, deadline: float, what: str, pause: float = 0.05) -> Value:
    """Return the first true value of `look`, which is asked every `pause` seconds.

    Raises:
        LabError: nothing came within `deadline` seconds; `what` says what was awaited.
    """
    end = time.monotonic() + deadline
    while not (value := look()):
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {deadline:.0f} s")
        time.sleep(pause)
    return value


class Steps:
    """The lines of steps, of which several may go on at once: one that another has cut off is printed again."""

    def __init__(self) -> None:
        self._printing = threading.Lock()
        self._open: str | None = None  # what stands on the line that the cursor is in

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Print `text` and, once the block is done, the seconds it took."""
        line = f"lab: {text:<60}"
        self._begin(line)
        start = time.monotonic()
        try:
            yield
        finally:
            self._end(line, f" {time.monotonic() - start:6.1f} s\n")

    def _begin(self, line: str) -> None:
        with self._printing:
            print(f"\n{line}" if self._open else line, end="", file=sys.stderr, flush=True)
            self._open = line

    def _end(self, line: str, took: str) -> None:
        with self._printing:
            if self._open != line:
                print("\n" if self._open else "", line, sep="", end="", file=sys.stderr)
            print(took, end="", file=sys.stderr, flush=True)
            self._open = None


step = Steps().step
