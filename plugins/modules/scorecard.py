#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: scorecard
short_description: The scorecard of all hosts, and the verdict of the run
version_added: 0.1.0
description:
  - With O(state=begun), replaces the last run's scorecard by one that says that nothing is known yet. It stands where
    the run does not come to O(state=judged). Use it with C(run_once).
  - With O(state=kept), keeps what a proof found about the task's host.
  - With O(state=judged), prints the table of all hosts of the play, writes C(scorecard.json), C(scorecard.html) and
    C(scorecard.xml) (JUnit) below C(sendyard_report_directory), and fails where a host would be rejected or a domain is
    at fault, as C(sendyard_report_fail_on) says. Use it with C(run_once).
  - With the callback P(sendyard.mail.exit_code#callback) the exit code of C(ansible-playbook) is 0 where all is fine, 2
    where a host would be rejected or failed, 3 where only domains are at fault, 4 where a host was not reached.
author: Sendyard contributors (@sendyard)
options:
  state:
    description: Say that a run has begun, keep the findings of one host, or judge those of all.
    type: str
    choices: [begun, kept, judged]
    required: true
  outcomes:
    description: What M(sendyard.mail.prove_smtp) and M(sendyard.mail.queue_trace) returned; needed with O(state=kept).
    type: list
    elements: dict
  domains:
    description: The domains that were due; M(sendyard.mail.public_view) looks at them too.
    type: list
    elements: str
    default: []
  keys:
    description: What M(sendyard.mail.probe_login) returned as RV(sendyard.mail.probe_login#module:keys).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Writes no scorecard, and judges nothing that was not tried.
    support: full
"""

EXAMPLES = r"""
- name: The scorecard tells how the servers stand
  sendyard.mail.scorecard:
    state: judged
  run_once: true
"""

RETURN = r"""
file:
  description: Where the scorecard lies.
  returned: when O(state=judged)
  type: str
sendyard_exit:
  description: The exit code that the verdict asks for.
  returned: when it is not 0
  type: int
"""
