#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: queue_trace
short_description: Follow messages through Postfix's log to the receiver's reply
version_added: 0.1.0
description:
  - Reads the log on the host until each message was accepted or refused by its receiver, or the deadline is over.
author: Sendyard contributors (@sendyard)
options:
  messages:
    description: The messages to follow.
    type: list
    elements: dict
    required: true
    suboptions:
      queue_id:
        description: Postfix's queue id, as its reply to the message told it.
        type: str
        required: true
      subject:
        description: The domain whose message it is.
        type: str
        required: true
  log_file:
    description: Postfix's log.
    type: path
    default: /var/log/sendyard/postfix.log
  deadline:
    description: Seconds to wait for the last of them.
    type: int
    default: 60
attributes:
  check_mode:
    description: Reads only.
    support: full
"""

EXAMPLES = r"""
- name: What became of the message is known
  sendyard.mail.queue_trace:
    messages:
      - {queue_id: 4cABC1, subject: mx1.example.com}
"""

RETURN = r"""
outcomes:
  description: One outcome C(delivered.accepted) for each message, with the receiver's reply.
  returned: always
  type: list
  elements: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import as_plain
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import queue_trace

SPEC = {
    "messages": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"queue_id": {"type": "str", "required": True}, "subject": {"type": "str", "required": True}},
    },
    "log_file": {"type": "path", "default": "/var/log/sendyard/postfix.log"},
    "deadline": {"type": "int", "default": 60},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    subjects = {message["queue_id"]: message["subject"] for message in module.params["messages"]}
    try:
        found = queue_trace.follow(Path(module.params["log_file"]), tuple(subjects), deadline=module.params["deadline"])
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    outcomes = [queue_trace.outcome(queue_id, subject, found.get(queue_id)) for queue_id, subject in subjects.items()]
    module.exit_json(changed=False, outcomes=[as_plain(outcome) for outcome in outcomes])


if __name__ == "__main__":
    main()
