# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look from the controller at what the world sees of the task's host and its domains, and keep it for the scorecard."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.action import scorecard as card
from ansible_collections.sendyard.mail.plugins.module_utils import domains, records, scorecard
from ansible_collections.sendyard.mail.plugins.module_utils.checks import run
from ansible_collections.sendyard.mail.plugins.module_utils.checks.model import Server, Subject
from ansible_collections.sendyard.mail.plugins.module_utils.checks.network import Network, missing_packages
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Keeps the fact `sendyard_public_view`: outcomes for the scorecard."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        scope = self.validate_argument_spec({"scope": {"choices": ["run", "all"], "default": "run"}})[1]["scope"]
        if self._task.check_mode:
            return {**result, "changed": False, "looked_at": 0}
        if missing := missing_packages():
            raise AnsibleActionFail(f"Python packages are missing on the controller: pip install {' '.join(missing)}")
        said = owner.settings(variables, self._templar)
        name = variables["inventory_hostname"]
        directory = Path(said["report_directory"]).absolute()
        proof = card.proof_of(directory, name, variables.get("ansible_facts", {}))
        server = _server(said, variables, proof)
        subjects = list(_subjects(server, said, proof, _served(name, said, variables), everything=scope == "all"))
        found = run.run(subjects, Network(said["publish_resolver"]))
        view = [scorecard.as_plain(outcome) for outcome in found]
        kept: dict[str, Any] = {card.VIEW: view}
        if scope == "all":
            kept["sendyard_domain_faults"] = _faults(said, variables)
        result.update(changed=False, looked_at=len(subjects), ansible_facts=owner.facts(**kept))
        return result


def _server(said: Mapping[str, Any], variables: Mapping[str, Any], proof: Mapping[str, Any]) -> Server:
    known = owner.of_this_run(variables.get("ansible_facts", {}))
    unused = known.get("sendyard_not_sent_from", proof.get("not_sent_from", ()))
    left_out = {str(ipaddress.ip_address(address)) for address in unused}
    addresses = owner.public_addresses(said)
    from_acme = said["certificate_source"] == "acme"
    issuers = said["caa_issuers"] or (records.issuers(said["acme_directory"]) if from_acme else [])
    return Server(
        fqdn=said["fqdn"],
        addresses=tuple(address for address in addresses if address not in left_out) or addresses,
        reached_at=addresses,
        bounce_domain=said["bounce_domain"],
        issuers=tuple(issuers) if from_acme else None,
    )


def _served(name: str, said: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, domains.Domain]:
    """Return the domains of the server that are in order; what is wrong with the others is told as their fault."""
    return {one.name: one for one in owner.domains_in_order(said, variables) if name in one.servers}


def _faults(said: Mapping[str, Any], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is known to be wrong with single domains, and with files that this step alone has read."""
    faults = owner.domain_faults(variables)
    known = {fault["subject"] for fault in faults}
    return faults + [
        {"subject": fault.subject, "message": fault.message, "left_alone": True}
        for fault in owner.domain_inventory(said, variables).faults
        if fault.subject not in known
    ]


def _subjects(
    server: Server,
    said: Mapping[str, Any],
    proof: Mapping[str, Any],
    served: Mapping[str, domains.Domain],
    *,
    everything: bool,
) -> Iterator[Subject]:
    keys = proof.get("keys", {})
    yield Subject(server.fqdn, server, said["selector"], keys.get(server.fqdn, ""))
    due = {*proof.get("domains", ()), *(outcome["subject"] for outcome in proof.get("outcomes", ()))}
    for name, domain in served.items():
        if everything or name in due:
            yield Subject(name, server, said["selector"], keys.get(name, ""), domain.return_name(said["return_path"]))
