# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what a proof found, and make the scorecard of all hosts of it: a table, a JSON file, and the run's verdict.

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
from ansible_collections.sendyard.mail.plugins.module_utils import scorecard
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

FACT = "sendyard_proof"  # what this run found about a host


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`state: begun` once at the start, `state: kept` in each host's proof, `state: judged` once at the end."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = self.validate_argument_spec(
            {
                "state": {"choices": ["begun", "kept", "judged"], "required": True},
                "outcomes": {"type": "list", "elements": "dict"},
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
                return {**result, **keep(directory, said, variables, arguments["outcomes"], check_mode=check_mode)}
            return {**result, **judge(directory, variables, check_mode=check_mode)}
        except OSError as error:
            raise AnsibleActionFail(
                f"the report cannot be written to {directory}: {error.strerror}. Set sendyard_report_directory to a "
                "directory of the controller that you may write to."
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _proof_file(directory: Path, host: str) -> Path:
    return directory / "proof" / f"{host}.json"


def keep(
    directory: Path,
    said: Mapping[str, Any],
    variables: Mapping[str, Any],
    outcomes: list[dict[str, str]],
    *,
    check_mode: bool,
) -> dict[str, Any]:
    """Keep what was found about the task's host, for this run and for a report that is made later."""
    proof = {"fqdn": said["fqdn"], "proven": _now(), "outcomes": outcomes}
    if not check_mode:
        _write(_proof_file(directory, variables["inventory_hostname"]), proof)
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
        _write(directory / "scorecard.json", scorecard.as_json(scorecard.report_from(hosts, [], now)))
    return {"changed": False}


def _earlier(path: Path) -> dict[str, Any]:
    """The proof that an earlier run kept; nothing, and a warning, where the file holds none that we know."""
    if not path.is_file():
        return {}
    try:
        proof = json.loads(path.read_text(encoding="utf-8"))
        found = scorecard.rows(scorecard.outcome_from(outcome) for outcome in proof["outcomes"])
        return {"outcomes": proof["outcomes"], "proven": str(proof["proven"])} if found else {}
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
    return host


def judge(directory: Path, variables: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Write scorecard.json, print the table, and fail where a host would be rejected or a domain is at fault."""
    names = list(variables["ansible_play_hosts_all"])
    faults = [fault for name in names for fault in owner.domain_faults(variables["hostvars"][name])]
    hosts = [_host(directory, name, variables, check_mode=check_mode) for name in names]
    report = scorecard.report_from(hosts, faults, _now())
    if not check_mode:
        _write(directory / "scorecard.json", scorecard.as_json(report))
    for line in scorecard.render(report, width=shutil.get_terminal_size((100, 24)).columns):
        Display().display(line)
    result: dict[str, Any] = {"changed": False, "file": str(directory / "scorecard.json")}
    # A host that stopped has failed already; failing here for it would mark another one.
    if report.standing in (scorecard.Standing.REJECTED, scorecard.Standing.DOMAINS_AT_FAULT):
        code = scorecard.EXIT_CODES[report.standing]
        result.update(failed=True, msg=scorecard.verdict_line(report), sendyard_exit=code)
    return result
