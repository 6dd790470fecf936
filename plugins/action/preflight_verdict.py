# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say everything that is wrong with a host at once, or that nothing is."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils.preflight import host_faults
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Fails with the faults of inventory, host and zones together."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        faults = list(self._task.args.get("faults") or ())
        said = owner.settings(variables, self._templar, lenient=True)  # what is missing is a fault already
        faults += host_faults(variables["ansible_facts"]["sendyard"], said)
        zones = self._task.args.get("zones") or {}
        own = zones.get(variables["inventory_hostname"], {"ok": True})
        if not own["ok"]:
            faults.append(own["error"])
        addresses = self._task.args.get("addresses") or {}
        found = addresses.get(variables["inventory_hostname"], {"ok": True})
        if not found["ok"]:
            faults.append(f"sendyard_ptr_credential: {found['error']}")
        of_files = len(owner.domain_faults(variables))
        domain_faults = owner.with_faults_of(zones, variables, left_alone=True)
        result.update(changed=False, ansible_facts=owner.facts(sendyard_domain_faults=domain_faults))
        if faults:
            name = variables["inventory_hostname"]
            lines = "\n".join(f"  {name}: {fault}" for fault in faults)
            result.update(failed=True, msg=f"Nothing was changed. What is wrong:\n{lines}")
            if domain_faults:
                result["msg"] += f"\nDomains at fault:\n{owner.told(domain_faults)}"
        elif domain_faults[of_files:]:  # of the others inventory_check has warned already
            result["warnings"] = [f"Domains at fault, left as they are:\n{owner.told(domain_faults[of_files:])}"]
        return result
