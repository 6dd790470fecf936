# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell "the servers are fine, but domains are at fault" apart from a failure, by the exit code of ansible-playbook."""

from __future__ import annotations

DOCUMENTATION = r"""
name: exit_code
type: aggregate
short_description: Exit with 3 where only domains are at fault
version_added: 0.1.0
description:
  - C(ansible-playbook) knows 2 for a failed host and 4 for an unreachable one. Where nothing failed, or nothing but
    M(sendyard.mail.scorecard), and single domains are at fault, this makes the exit code 3. So it does in a run of one
    step that ends before the scorecard.
  - Name it last in C(callbacks_enabled), since it ends the run when all others have had their say.
author: Sendyard contributors (@sendyard)
requirements:
  - enabled in ansible.cfg (C(callbacks_enabled = sendyard.mail.exit_code)) or C(ANSIBLE_CALLBACKS_ENABLED)
"""

from typing import Any

from ansible.plugins.callback import CallbackBase

DOMAINS_AT_FAULT = 3


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Watches for faults of domains and for the scorecard's verdict, and exits with 3 where nothing else went wrong."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "sendyard.mail.exit_code"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._domains_at_fault = False
        self._verdicts = 0

    def v2_runner_on_ok(self, result: Any) -> None:
        """Remember that a step has found domains at fault."""
        if (result.result.get("ansible_facts") or {}).get("sendyard_domain_faults"):
            self._domains_at_fault = True

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Remember the scorecard's own failure."""
        if not ignore_errors and result.result.get("sendyard_exit") == DOMAINS_AT_FAULT:
            self._domains_at_fault = True
            self._verdicts += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Leave with 3 where the scorecard is the one task that failed, if any, and every host was reached.

        SystemExit is how a program ends; Ansible cleans up on its way out and prints nothing for it.
        """
        if self._domains_at_fault and sum(stats.failures.values()) == self._verdicts and not stats.dark:
            raise SystemExit(DOMAINS_AT_FAULT)
