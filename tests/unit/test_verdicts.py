# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whose fault it is what mail_dns found for all hosts at once: every host tells its own, and domains' faults."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.task import Task
from ansible_collections.sendyard.mail.plugins.action import preflight_verdict, publish_verdict
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

BAD = {"ok": False, "error": "its zone is refused"}
SUBJECTS = {"mx1": BAD, "mx2": BAD, "acme.example": BAD, "globex.example": {"ok": True}}
HOST = {
    "distribution": "debian", "release": "13", "init": "systemd", "addresses_missing": [], "clock_off": 0.0,
    "port25": "open", "occupied": {}, "main_cf": "ours",
}  # fmt: skip
KNOWN = {"subject": "known.example", "message": "its file is broken", "left_alone": True}


def verdict(action: Any, host: str, **args: Any) -> dict[str, Any]:
    """What an action plugin says for `host`."""
    task = Task()
    task.args = args
    parts = dict.fromkeys(["connection", "play_context", "loader", "shared_loader_obj"])
    parts["connection"] = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    plugin = action.ActionModule(task=task, templar=SimpleNamespace(template=lambda value: value), **parts)
    facts = owner.facts(sendyard=HOST, sendyard_domain_faults=[KNOWN])
    variables = {"inventory_hostname": host, "groups": {"senders": ["mx1", "mx2", "mx3"]}, "ansible_facts": facts}
    said: dict[str, Any] = plugin.run(task_vars=variables)
    return said


@pytest.mark.parametrize("host", ["mx1", "mx3"])
@pytest.mark.parametrize(
    ("action", "args", "left_alone"),
    [
        (publish_verdict, {"subjects": SUBJECTS, "waiting": []}, False),
        (preflight_verdict, {"faults": [], "zones": SUBJECTS}, True),
    ],
    ids=["publish", "preflight"],
)
def test_another_hosts_fault_is_neither_a_domains_nor_this_hosts(
    action: Any, args: dict[str, Any], left_alone: bool, host: str
) -> None:
    said = verdict(action, host, **args)
    of_domains = said["ansible_facts"]["sendyard_domain_faults"]
    assert of_domains == [KNOWN, {"subject": "acme.example", "message": BAD["error"], "left_alone": left_alone}]
    assert said.get("failed", False) == (host == "mx1")
    assert ("mx1: its zone is refused" in said.get("msg", "")) == (host == "mx1")
