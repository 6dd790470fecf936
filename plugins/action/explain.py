# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explain a receiver's reply on the controller: lines for a person, and the same as the task's result."""

from __future__ import annotations

import shutil
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sendyard.mail.plugins.module_utils.replies import explain

MISSING = (
    "reply: there is none to explain. Paste what the receiver said, as the mail log has it: ansible-playbook "
    'playbooks/explain.yml -e \'{"reply": "421 4.7.28 …"}\''
)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `explanation`; connects to no host and changes nothing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = self.validate_argument_spec({"reply": {"type": "str"}})[1]
        pasted = arguments["reply"]
        if pasted is None:
            # As it was written: Ansible would evaluate what a receiver put between braces.
            pasted = variables.get("reply")
        if pasted is None or not str(pasted).strip():
            raise AnsibleActionFail(MISSING)
        explanation = explain.explain(str(pasted))
        lines = explain.render(explanation, width=shutil.get_terminal_size((100, 24)).columns)
        for line in lines:
            Display().display(line)
        result.update(changed=False, explanation=explain.as_plain(explanation))
        return result
