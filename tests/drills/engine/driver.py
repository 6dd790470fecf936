# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the host under test: applies one generation, read as JSON from stdin, and prints what came of it.

Like the module host_config, without Ansible on the host, and able to die at a chosen step of the swap.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host import files, generations, systemd
from ansible_collections.sendyard.mail.plugins.module_utils.host.lock import host_lock
from ansible_collections.sendyard.mail.plugins.module_utils.host.plan import DirectorySpec
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.registry import subsystem


def die_after_writing(count: int, below: str) -> None:
    """Kill this process (SIGKILL) right after the `count`-th file that is put in place below `below`."""
    real, left = files.write, count

    def write(spec: files.FileSpec) -> None:
        nonlocal left
        real(spec)
        if str(spec.path).startswith(below):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    files.write = write


def die_before_probe(subsystem: Any) -> None:
    """Kill this process when the daemons have taken the files up and are about to be asked."""
    subsystem.probe = lambda: os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    call = json.load(sys.stdin)
    started, started_cpu = time.monotonic(), time.process_time()
    try:
        chosen = subsystem(call["subsystem"])(call.get("settings", {}))
        if "die_after" in call:
            die_after_writing(call["die_after"], call["die_below"])
        if call.get("die_before_probe"):
            die_before_probe(chosen)
        wanted = [
            files.FileSpec(
                Path(item["path"]),
                item["content"].encode(),
                int(item.get("mode", "0644"), 8),
                item.get("owner", "root"),
                item.get("group", "root"),
                item.get("sensitive", False),
            )
            for item in call["files"]
        ]
        directories = [
            DirectorySpec(
                Path(item["path"]),
                int(item.get("mode", "0755"), 8),
                item.get("owner", "root"),
                item.get("group", "root"),
            )
            for item in call.get("directories", [])
        ]
        with host_lock("driver", deadline=call.get("lock_deadline", 60)):
            outcome = generations.apply(chosen, wanted, directories, check=call.get("check", False))
        result = {
            "ok": True,
            "changed": outcome.changed,
            **{name: getattr(outcome, name) for name in ("started", "restarted", "reloaded", "enabled", "stopped")},
            "reason": outcome.reason,
            "diff": outcome.diff,
        }
    except SendyardError as error:
        result = {"ok": False, "message": str(error), "kind": type(error).__name__}
    times = os.times()
    cpu = times.user + times.system + times.children_user + times.children_system - started_cpu
    print(json.dumps({**result, "seconds": time.monotonic() - started, "cpu": cpu}))


if __name__ == "__main__":
    assert systemd.START_DEADLINE
    main()
