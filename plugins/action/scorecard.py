# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what a proof found, and make the scorecard of all hosts of it: a table, a page, files, and the run's verdict.

A run that will make one replaces the last one first: whatever stops it, no verdict of an earlier run is left standing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sendyard.mail.plugins.module_utils import scorecard, scorecard_page
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

FACT = "sendyard_proof"  # what this run found about a host
VIEW = "sendyard_public_view"  # what the world sees of it, and of its domains


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`state: begun` once at the start, `state: kept` in each host's proof, `state: judged` once at the end."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = self.validate_argument_spec(
            {
                "state": {"choices": ["begun", "kept", "judged"], "required": True},
                "outcomes": {"type": "list", "elements": "dict"},
                "domains": {"type": "list", "elements": "str", "default": []},
                "keys": {"type": "dict", "default": {}},
            },
            required_if=[("state", "kept", ("outcomes",))],
        )[1]
        said = owner.settings(variables, self._templar, lenient=True)
        directory = Path(said["report_directory"]).absolute()
        check_mode = self._task.check_mode
        try:
            if arguments["state"] == "begun":
                return {**result, **begin(directory, variables, check_mode=check_mode)}
            if arguments["state"] == "kept":
                found = {name: arguments[name] for name in ("outcomes", "domains", "keys")}
                return {**result, **keep(directory, said, variables, found, check_mode=check_mode)}
            fail_on = scorecard.FailOn(said.get("report_fail_on", scorecard.FailOn.MUST))
            return {**result, **judge(directory, variables, fail_on, check_mode=check_mode)}
        except OSError as error:
            raise AnsibleActionFail(
                f"the report cannot be written to {directory}: {error.strerror}. Set sendyard_report_directory to a "
                "directory of the controller that you may write to."
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(path: Path, content: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)


def _write_json(path: Path, value: Any) -> None:
    _write(path, json.dumps(value, indent=1) + "\n")


def _write_card(directory: Path, report: scorecard.Report) -> None:
    """Write the card for programs, for people and for CI."""
    _write_json(directory / "scorecard.json", scorecard.as_json(report))
    _write(directory / "scorecard.html", scorecard_page.html(report))
    _write(directory / "scorecard.xml", scorecard_page.junit(report))


def _proof_file(directory: Path, host: str) -> Path:
    return directory / "proof" / f"{host}.json"


def keep(
    directory: Path,
    said: Mapping[str, Any],
    variables: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    check_mode: bool,
) -> dict[str, Any]:
    """Keep what was found about the task's host, for this run and for a report that is made later.

    `found` has the outcomes, the domains that were due, and by domain the digest of the key that the host signs with.
    """
    known = owner.of_this_run(variables.get("ansible_facts", {}))
    proof = {"fqdn": said["fqdn"], "proven": _now(), "not_sent_from": known.get("sendyard_not_sent_from", []), **found}
    file = _proof_file(directory, variables["inventory_hostname"])
    # A key that changes is told again, so those that this run was not about are as they were.
    proof["keys"] = {**_earlier(file).get("keys", {}), **found["keys"]}
    if not check_mode:
        _write_json(file, proof)
    return {"changed": False, "ansible_facts": owner.facts(**{FACT: proof})}


def begin(directory: Path, variables: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Write a scorecard that says of every host that nothing is known yet."""
    now = _now()
    stopped = f"The run that began at {now} did not come to its end."
    hosts = [
        {
            "name": name,
            "fqdn": str(variables["hostvars"][name].get("sendyard_fqdn", "")),
            "outcomes": [],
            "stopped": stopped,
        }
        for name in variables["ansible_play_hosts_all"]
    ]
    if not check_mode:
        _write_card(directory, scorecard.report_from(hosts, [], now))
    return {"changed": False}


def proof_of(directory: Path, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of host `name` by its proof: this run's, which the facts `known` hold, or an earlier one."""
    facts = owner.of_this_run(known)
    proof: dict[str, Any] = facts[FACT] if FACT in facts else _earlier(_proof_file(directory, name))
    return proof


def _earlier(path: Path) -> dict[str, Any]:
    """The proof that an earlier run kept; nothing, and a warning, where the file holds none that we know."""
    if not path.is_file():
        return {}
    try:
        proof = json.loads(path.read_text(encoding="utf-8"))
        found = scorecard.rows(scorecard.outcome_from(outcome) for outcome in proof["outcomes"])
        if not found:
            return {}
        told = {name: proof[name] for name in ("domains", "keys", "not_sent_from") if name in proof}
        return {"outcomes": proof["outcomes"], "proven": str(proof["proven"]), **told}
    except (OSError, ValueError, LookupError, TypeError) as error:
        Display().warning(
            f"{path} holds no proof of this version ({error!r}), so it is left out. Run playbooks/prove.yml."
        )
        return {}


def _host(directory: Path, name: str, variables: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """What is known about host `name`: from this run or, where that did not prove it, from an earlier one."""
    facts = owner.of_this_run(variables["hostvars"][name].get("ansible_facts", {}))
    host = {"name": name, "fqdn": variables["hostvars"][name].get("sendyard_fqdn", ""), "outcomes": [], "stopped": ""}
    if name not in variables["ansible_play_hosts"]:
        host["stopped"] = "It failed, or was not reached: see the task that said so, above."
    if FACT in facts:
        host["outcomes"] = facts[FACT]["outcomes"]
    elif not host["stopped"] and not check_mode:
        host |= _earlier(_proof_file(directory, name))
    host["outcomes"] = [*host["outcomes"], *facts.get(VIEW, ())]
    return host


def judge(
    directory: Path, variables: Mapping[str, Any], fail_on: scorecard.FailOn, *, check_mode: bool
) -> dict[str, Any]:
    """Write the card, print the table, and fail where a host would be rejected or a domain is at fault."""
    names = list(variables["ansible_play_hosts_all"])
    faults = [fault for name in names for fault in owner.domain_faults(variables["hostvars"][name])]
    hosts = [_host(directory, name, variables, check_mode=check_mode) for name in names]
    report = scorecard.report_from(hosts, faults, _now(), fail_on)
    if not check_mode:
        _write_card(directory, report)
    for line in scorecard.render(report, width=shutil.get_terminal_size((100, 24)).columns):
        Display().display(line)
    result: dict[str, Any] = {"changed": False, "file": str(directory / "scorecard.json")}
    # A host that stopped has failed already; failing here for it would mark another one.
    at_fault = report.standing in (scorecard.Standing.REJECTED, scorecard.Standing.DOMAINS_AT_FAULT)
    if at_fault and report.exit_code:
        result.update(failed=True, msg=scorecard.verdict_line(report), sendyard_exit=report.exit_code)
    return result
