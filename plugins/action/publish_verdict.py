# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which domains were published, and stop a host whose own records were not."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `published`, the waiting keys whose records were seen, and keeps the faults of the other domains."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        subjects = self._task.args["subjects"]
        waiting = self._task.args["waiting"]
        own = variables["inventory_hostname"]
        result.update(
            changed=False,
            published=[
                {"domain": key["domain"], "digest": key["digest"]}
                for key in waiting
                if subjects.get(key["subject"], {}).get("ok")
            ],
            ansible_facts=owner.facts(
                sendyard_domain_faults=owner.with_faults_of(subjects, variables, left_alone=False)
            ),
        )
        if not subjects.get(own, {"ok": True})["ok"]:
            result.update(failed=True, msg=f"{own}: {subjects[own]['error']}")
        return result
