# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a host for a subsystem only where it has not said already, when it was inspected, that all of it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

ENGINE = Path(__file__).parents[1] / "module_utils/host"


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Calls the module with `asked`, a digest of its arguments and of the code that works on them."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        asked = hashlib.sha256(f"{engine()}{json.dumps(self._task.args, sort_keys=True)}".encode()).hexdigest()
        if standing(variables).get(self._task.args.get("subsystem", "")) == asked:
            done: dict[str, Any] = {name: [] for name in ("started", "restarted", "reloaded", "enabled", "stopped")}
            return {**result, **done, "changed": False, "reason": "", "diff": []}
        result.update(self._execute_module(module_args={**self._task.args, "asked": asked}, task_vars=variables))
        return result


@cache
def engine() -> str:
    """Return a digest of the code: another version of it may make something else of the same arguments."""
    digest = hashlib.sha256()
    for path in sorted(ENGINE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def standing(variables: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what the host said of itself in this run; nothing where packages were installed since."""
    known = variables.get("ansible_facts", {}).get("sendyard") or {}
    if known.get("inspected_in") != owner.this_run() or not known.get("packages_settled"):
        return {}
    said: Mapping[str, str] = known["standing"]
    return said
