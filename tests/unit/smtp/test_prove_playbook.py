# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What prove.yml makes of results, by Ansible's own templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

PLAYBOOK = Path(__file__).parents[3] / "playbooks/prove.yml"


def task(name: str, **variables: Any) -> dict[str, Any]:
    """The task `name` of the playbook, its templates rendered with `variables`."""
    loader = DataLoader()
    (play,) = loader.load_from_file(str(PLAYBOOK), trusted_as_template=True)
    (block,) = play["tasks"]
    (found,) = (one for one in (*block["block"], *block["always"]) if one["name"] == name)
    rendered: dict[str, Any] = Templar(loader=loader, variables={"sendyard_fqdn": "mx1.example", **variables}).template(
        found
    )
    return rendered


def test_a_domain_whose_message_was_refused_later_is_tried_again() -> None:
    """Its receiver's refusal stands in the host's log alone."""
    outcomes = [
        {"verdict": "pass", "subject": "acme.example"},
        {"verdict": "fail", "subject": "globex.example"},
        {"verdict": "unknown", "subject": "new.example"},
    ]
    proof = {"at_fault": ["bad.example"], "proven": ["good.example"]}
    gone = task("The login is gone again", __probe={"prefix": "p"}, __proof=proof, __trace={"outcomes": outcomes})
    assert gone["sendyard.mail.probe_login"]["at_fault"] == ["bad.example", "globex.example"]
    assert gone["sendyard.mail.probe_login"]["proven"] == ["good.example", "acme.example"]
    alone = task("The login is gone again", __probe={"prefix": "p"})
    assert alone["sendyard.mail.probe_login"]["at_fault"] == []


def test_why_there_is_no_login_is_said_although_its_password_is_not() -> None:
    said = "mx1 is held by another run (serve, pid 7)"
    assert task("The login exists", __probe={"msg": said})["ansible.builtin.fail"]["msg"] == said
