# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with a deadline, never through a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import SendyardError

# Ansible's own PATH may lack sbin; a user's locale must not change what we parse.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class CommandError(SendyardError):
    """A program is missing, ran past its deadline, or (`Result.require`) failed."""


@dataclass(frozen=True)
class Result:
    """What a finished program left: exit code (negative: killed by that signal) and its output as text."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """True if the program ended with 0."""
        return self.rc == 0

    @property
    def said(self) -> str:
        """What the program said, for an error message: stderr, else stdout; its last 2000 characters."""
        return (self.stderr.strip() or self.stdout.strip() or "(it said nothing)")[-2000:]

    def require(self, doing: str) -> Result:
        """Return self, or raise CommandError saying what was being done and what the program answered."""
        if self.rc != 0:
            raise CommandError(f"{doing} failed: {self.argv[0]} ended with {self.rc}: {self.said}", rc=self.rc)
        return self


def run(
    argv: Sequence[str | Path],
    *,
    deadline: float,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run `argv` and return its Result, whatever its exit code.

    `deadline` is in seconds; past it the program and its children are killed. Secrets go through `stdin`, never argv.

    Raises:
        CommandError: the program does not exist, cannot be executed, or did not end before the deadline.
    """
    words = tuple(str(word) for word in argv)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**_ENVIRONMENT, **(env or {})},
            start_new_session=True,  # a group of its own, so that the deadline reaches its children too
        )
    except OSError as error:
        raise CommandError(f"{words[0]} cannot be run ({error.strerror}): is its package installed?") from error
    try:
        out, err = process.communicate(data, timeout=deadline)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        err = process.communicate()[1]
        said = err.decode(errors="replace").strip()[-1000:]
        raise CommandError(f"{' '.join(words[:3])} did not end within {deadline:g} s and was killed. {said}") from None
    return Result(words, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
