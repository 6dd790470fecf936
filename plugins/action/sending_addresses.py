# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out which addresses must not be sent from: those that do not lead back to the server's name.

Receivers refuse what comes from one (RFC 5321 section 4.1.4 lets them; Gmail 5.7.25), and that of IPv6 above all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

FACT = "sendyard_not_sent_from"
MEND = (
    "Set it where the address comes from: in the provider's panel, by sendyard_ptr_credential, or in a reverse zone of "
    "yours (sendyard_publish_ptr)"
)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Keeps the fact `sendyard_not_sent_from`: public addresses, as the owner writes them."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        said = owner.settings(variables, self._templar)
        name = variables["inventory_hostname"]
        addresses = [entry["public"] for entry in said["addresses"]]
        provider = self._task.args.get("provider") or {}
        if name in provider.get("subjects", {}):
            seen = provider["seen"].get(name, ())
            unnamed = [one for one in addresses if str(ipaddress.ip_address(one)) not in seen]
            mend = _what_the_provider_said(provider, name)
        else:
            missing = {
                one["asked"].removesuffix(".")
                for one in (self._task.args.get("manual") or {}).get(name, ())
                if one["type"] == "PTR"
            }
            unnamed = [one for one in addresses if records.reverse_name(str(ipaddress.ip_address(one))) in missing]
            mend = MEND
        if not said["require_ptr"]:
            unnamed = []
        result.update(changed=False, ansible_facts=owner.facts(**{FACT: unnamed}))
        if not unnamed:
            return result
        told = (
            f"{name}: {', '.join(unnamed)}: the PTR record is not {said['fqdn']}, so that receivers refuse mail from "
            f"there. {mend}"
        )
        if unnamed == addresses:
            told += ". There is no other address to send from (sendyard_require_ptr: false lets it pass)."
            result.update(failed=True, msg=told)
        else:
            result["warnings"] = [f"{told}. Until then mail leaves from the other addresses only."]
        return result


def _what_the_provider_said(found: Mapping[str, Any], name: str) -> str:
    """Return what mail_rdns says of the addresses of the host `name`, without the last full stop."""
    said = found["subjects"][name]
    told = [] if said["ok"] else [said["error"]]
    return " ".join([*told, *found["notes"].get(name, ())]).removesuffix(".")
