# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""In the place of a host's Python: counts what a swap consists of, and dies before the step that it is told.

Every rename(2) of this process and every call of systemctl is a line in `events` beside this file. Where `when` there
holds a number, the process is killed just before that event.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def _event(what: str) -> None:
    with (HERE / "events").open("a+") as events:
        events.seek(0)
        number = len(events.readlines()) + 1
        events.write(f"{what}\n")
    when = HERE / "when"
    if when.exists() and int(when.read_text()) == number:
        when.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _counted(name: str) -> None:
    real = getattr(os, name)

    def call(source: object, target: object, **options: object) -> None:
        if not str(target).startswith(("/tmp", "/root/.ansible", "/proc")):
            _event(f"{name} {target}")
        real(source, target, **options)

    setattr(os, name, call)


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    def __init__(self, args: object, *more: object, **options: object) -> None:
        words = [str(word) for word in args] if isinstance(args, list | tuple) else [str(args)]
        if "systemctl" in words[0] and {"reload", "restart", "start", "daemon-reload"} & set(words):
            _event(" ".join(words))
        super().__init__(args, *more, **options)  # type: ignore[arg-type, misc]


del os.environ["PYTHONPATH"]  # what this process starts is not counted
for one in ("rename", "replace"):
    _counted(one)
subprocess.Popen = _Popen  # type: ignore[misc]
