# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: Which play runs, and the time that each took
version_added: 0.1.0
description:
  - Prints each play when it starts, the time it took when it ends, and below it the tasks that took long.
  - Failures and what C(debug) says are printed in full.
  - The whole output, as C(ansible.builtin.default) has it, goes to the file that E(ANSIBLE_LOG_PATH) names.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
author: Sendyard contributors (@sendyard)
"""

import time
from typing import Any

from ansible.constants import COLOR_ERROR
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

LONG = 5.0  # seconds; tasks that took longer get a line of their own


class LogOnly:
    """A display whose lines go to the log and not to the terminal; warnings still go to both."""

    def __init__(self, display: Any) -> None:
        self._display = display

    def display(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._display.display(message, log_only=True)

    def banner(self, message: str, *args: Any, **kwargs: Any) -> None:
        self.display(f"\n{message}")

    def _error(self, *args: Any, **kwargs: Any) -> None:
        """Leave out what Ansible makes of a failure; the result says it again."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._display, name)


class CallbackModule(DefaultCallback):  # type: ignore[misc]  # Ansible has no types
    """What the default callback prints goes to the log; the terminal gets steps."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "sendyard.mail.steps"

    def __init__(self) -> None:
        super().__init__()
        self._terminal = self._display
        self._display = LogOnly(self._terminal)
        self._play_started = self._task_started = time.monotonic()
        self._task = ""
        self._long: list[tuple[str, float]] = []
        self._changed: set[str] = set()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end_play()
        super().v2_playbook_on_play_start(play)
        self._play_started = self._task_started = time.monotonic()
        self._say(f"  {play.get_name().strip()}")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        super().v2_playbook_on_task_start(task, is_conditional)
        self._end_task()
        self._task = task.get_name().strip()

    def v2_runner_on_ok(self, result: Any) -> None:
        super().v2_runner_on_ok(result)
        if result.result.get("changed"):
            self._changed.add(result.host.get_name())
        if result.result.get("_ansible_verbose_always") and "msg" in result.result:
            message = result.result["msg"]
            for line in message if isinstance(message, list) else str(message).splitlines():
                self._say(f"    {line}")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        super().v2_runner_on_failed(result, ignore_errors)
        if not ignore_errors:
            self._say_failure(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        super().v2_runner_on_unreachable(result)
        self._say_failure(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_play()
        super().v2_playbook_on_stats(stats)
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            words = [f"{counts['ok']} ok", f"{counts['changed']} changed"]
            words += [f"{counts[kind]} {kind}" for kind in ("failures", "unreachable") if counts[kind]]
            self._say(f"  {host}: {', '.join(words)}")

    def _say_failure(self, result: Any) -> None:
        """Print what a task said when it failed, whole."""
        self._say(f"    {result.host.get_name()}: {result.task.get_name().strip()}: it failed")
        for part in ("msg", "module_stderr", "stderr", "stdout"):
            for line in str(result.result.get(part) or "").splitlines():
                self._say(f"      {line}", color=COLOR_ERROR)

    def _end_play(self) -> None:
        """Say what the play that ends took, what it changed, and which tasks made it long."""
        self._end_task()
        if self._play:
            changed = f"  changed: {', '.join(sorted(self._changed))}" if self._changed else ""
            self._say(f"{time.monotonic() - self._play_started:10.1f} s{changed}")
        for name, seconds in self._long:
            self._say(f"{seconds:10.1f} s    of it: {name}")
        self._long, self._changed = [], set()

    def _end_task(self) -> None:
        seconds = time.monotonic() - self._task_started
        if self._task and seconds >= LONG:
            self._long.append((self._task, seconds))
        self._task, self._task_started = "", time.monotonic()

    def _say(self, text: str, **how: Any) -> None:
        self._terminal.display(text, screen_only=True, **how)
