# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand a module the table of the host's domains as one file: compiled once, sent only when the host has another."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils import domains
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner


class DomainsAction(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Runs the module of the task's name with `domains_file`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        said = owner.settings(variables, self._templar)
        table = owner.table(said, variables)
        digest = domains.digest(table)
        facts = variables.get("ansible_facts", {}).get("sendyard", {})
        path = str(domains.TABLE)
        if facts.get("domains_digest") != digest:
            path = self._connection._shell.join_path(self._make_tmp_path(), "domains.json.gz")
            self._transfer_data(path, table)
        result.update(
            self._execute_module(
                module_name=self._task.resolved_action,
                module_args={**self._task.args, "domains_file": path},
                task_vars=variables,
            )
        )
        if not self._task.check_mode and not result.get("failed"):  # the module keeps the table it was given
            result["ansible_facts"] = {"sendyard": {**facts, "domains_digest": digest}}
            owner.keep_table(table, said, variables["inventory_hostname"])
        return result
