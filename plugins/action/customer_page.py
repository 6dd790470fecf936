# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a domain's records as the world has them, and write the page that its customer gets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sendyard.mail.plugins.module_utils import customer_page, preflight
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model, standing, verify
from ansible_collections.sendyard.mail.plugins.module_utils.domains import Domain
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

SAMPLES = Path(__file__).resolve().parents[2] / "playbooks/samples"
PROOF = "sendyard_proof"  # what this run's proof found about a host, as the scorecard keeps it


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `page`, the file, and `sends`; in check mode it writes nothing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = self.validate_argument_spec(
            {
                "domain": {"type": "str", "required": True},
                "records_files": {"type": "list", "elements": "path", "required": True},
                "cached": {"type": "int", "default": 0},
                "findings": {"type": "list", "elements": "str", "default": []},
            }
        )[1]
        said = owner.settings(variables, self._templar)
        known = {domain.name: domain for domain in owner.domain_inventory(said, variables).domains}
        if arguments["domain"] not in known:
            raise AnsibleActionFail(
                f"{arguments['domain']} has no file in {said['domains_directory']}, or one at fault."
            )
        domain = known[arguments["domain"]]
        directory = Path(said["report_directory"]).absolute()
        facts = _facts(domain, said, variables, arguments, _servers(said, variables, self._templar))
        for name, value in _earlier(directory / f"{domain.name}.json").items():
            facts[name] = facts[name] or value
        page = directory / f"{domain.name}.html"
        if not self._task.check_mode:
            samples = {name: (SAMPLES / name).read_text(encoding="utf-8") for name in customer_page.SAMPLES}
            try:
                _write(page, customer_page.html(facts, samples))
                _write(directory / f"{domain.name}.json", json.dumps(facts, indent=1) + "\n")
            except OSError as error:
                raise AnsibleActionFail(
                    f"the page cannot be written to {directory}: {error.strerror}. Set sendyard_report_directory to a "
                    "directory of the controller that you may write to."
                ) from error
            Display().display(f"{domain.name} {'sends' if facts['sends'] else 'does not send yet'}; its page: {page}")
        return {**result, "changed": False, "page": str(page), "sends": facts["sends"]}


def _servers(said: Mapping[str, Any], variables: Mapping[str, Any], templar: Any) -> dict[str, preflight.Identity]:
    """Return what each server of the inventory is known by."""
    own = owner.identity(variables["inventory_hostname"], said)
    return {one.name: one for one in (own, *owner.identities(variables, templar))}


def _facts(
    domain: Domain,
    said: Mapping[str, Any],
    variables: Mapping[str, Any],
    arguments: Mapping[str, Any],
    servers: Mapping[str, preflight.Identity],
) -> dict[str, Any]:
    hosts = {name: variables["hostvars"][name] for name in domain.servers}
    wants: list[model.Want] = []
    try:
        for path in arguments["records_files"]:
            wants += [model.parse_record(one) for one in json.loads(Path(path).read_text(encoding="utf-8"))]
        standings = standing.look(wants, verify.Directory(said["publish_resolver"], {}))
    except SendyardError as error:
        raise AnsibleActionFail(str(error)) from error
    faults = {
        fault["message"].partition(" What to enter, to copy from:")[0]  # where that is, concerns the owner alone
        for host in hosts.values()
        for fault in owner.domain_faults(host)
        if fault["subject"] == domain.name
    }
    return customer_page.facts(
        domain.name,
        fqdns=[servers[name].fqdn for name in domain.servers],
        usernames=[login.username for login in domain.logins],
        by_hand=said["dns_credentials"].get(domain.dns, {}).get("provider", "manual") == "manual",
        standings=standings,
        selectors={servers[name].selector: servers[name].fqdn for name in domain.servers},
        return_name=domain.return_name(said["return_path"]),
        fault=" ".join(sorted(faults)),
        cached=arguments["cached"],
        findings=arguments["findings"],
        proof=list(_outcomes(hosts, domain.name)),
        now=datetime.now(UTC).isoformat(sep=" ", timespec="minutes"),
    )


def _outcomes(hosts: Mapping[str, Mapping[str, Any]], domain: str) -> Iterator[Mapping[str, str]]:
    """Yield what this run's proof found about the domain."""
    for host in hosts.values():
        found = owner.of_this_run(host.get("ansible_facts", {})).get(PROOF, {"outcomes": []})
        yield from (one for one in found["outcomes"] if one["subject"] == domain)


def _earlier(path: Path) -> dict[str, Any]:
    """Return what an earlier run saw and this one cannot see again: what was there before us, and the proof."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {name: said[name] for name in ("findings", "proof") if isinstance(said[name], list)}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _write(path: Path, text: str) -> None:
    """Write `text`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
