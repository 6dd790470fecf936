# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The exit codes of ansible-playbook, by ansible-playbook: what the scorecard finds, and what else goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.utils.display import Display
from ansible_collections.sendyard.mail.plugins.action.scorecard import _earlier

CHECKOUT = Path(__file__).parents[3]

INVENTORY = """
senders:
  hosts:
    a: {sendyard_fqdn: a.example, ansible_connection: local}
    b: {sendyard_fqdn: b.example, ansible_connection: local}
    c: {sendyard_fqdn: c.example, ansible_host: 127.0.0.1, ansible_port: 1}
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    sendyard_report_directory: REPORTS
    own: pass
    customer: pass
"""

PLAYBOOK = """
- hosts: senders
  gather_facts: false
  tasks:
    - sendyard.mail.scorecard:
        state: begun
      run_once: true
      when: dies is defined
    - ansible.builtin.fail:
      when: dies is defined
    - ansible.builtin.ping:
      when: inventory_hostname == 'c'
    - sendyard.mail.scorecard:
        state: kept
        outcomes:
          - {check: relay.refused, verdict: "{{ own }}", subject: "{{ sendyard_fqdn }}", evidence: x, where: "h:25"}
          - {check: delivered.dkim, verdict: "{{ customer }}", subject: acme.example, evidence: y, where: ""}
    - ansible.builtin.fail:
      when: inventory_hostname == 'b' and breaks is defined
- hosts: senders
  gather_facts: false
  tasks:
    - sendyard.mail.scorecard:
        state: judged
      run_once: true
"""


REPORT_ALONE = """
- hosts: senders
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: sendyard.mail.settings, rolespec_validate: false}
    - sendyard.mail.scorecard:
        state: judged
      run_once: true
"""


def play(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook with junit beside our callback, which must not keep it from writing."""
    (directory / "hosts.yml").write_text(INVENTORY.replace("REPORTS", str(directory / "reports")))
    (directory / "play.yml").write_text(PLAYBOOK)
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACKS_ENABLED": "junit,sendyard.mail.exit_code",
        "JUNIT_OUTPUT_DIR": str(directory / "junit"),
    }
    return subprocess.run(
        [program, "-i", directory / "hosts.yml", directory / "play.yml", *arguments],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "verdict"),
    [
        (["--limit", "a,b"], 0, "fine"),
        (["--limit", "a,b", "-e", "own=unknown"], 0, "fine"),
        (["--limit", "a,b", "-e", "customer=fail"], 3, "domains_at_fault"),
        (["--limit", "a,b", "-e", "own=fail"], 2, "rejected"),
        (["--limit", "a,b", "-e", "own=fail", "-e", "customer=fail"], 2, "rejected"),
        (["--limit", "a,b", "-e", "breaks=1"], 2, "stopped"),
        (["--limit", "a,b", "-e", "breaks=1", "-e", "customer=fail"], 2, "stopped"),
        (["-e", "customer=fail"], 4, "stopped"),
        ([], 4, "stopped"),
    ],
)
def test_the_exit_code_tells_how_the_run_ended(tmp_path: Path, arguments: list[str], code: int, verdict: str) -> None:
    done = play(tmp_path, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    report = json.loads((tmp_path / "reports/scorecard.json").read_text())
    assert report["verdict"] == verdict
    assert "PLAY RECAP" in done.stdout
    assert list((tmp_path / "junit").glob("*.xml"))


def test_a_check_run_writes_nothing(tmp_path: Path) -> None:
    done = play(tmp_path, "--limit", "a", "--check", "-e", "own=fail")
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_report_of_its_own_shows_the_last_proof(tmp_path: Path) -> None:
    play(tmp_path, "--limit", "a")
    (tmp_path / "report.yml").write_text("- hosts: senders" + PLAYBOOK.rpartition("- hosts: senders")[2])
    done = play(tmp_path, "--limit", "a,b")
    assert done.returncode == 0
    alone = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "hosts.yml", tmp_path / "report.yml",
         "--limit", "a,b"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert alone.stdout.count("as it was proven at 20") == 2


def test_no_verdict_of_an_earlier_run_outlasts_one_that_stopped(tmp_path: Path) -> None:
    """Where no host is left, nothing makes a report."""
    card = tmp_path / "reports/scorecard.json"
    assert play(tmp_path, "--limit", "a,b").returncode == 0
    before = card.read_text()
    play(tmp_path, "--limit", "a,b", "--check", "-e", "dies=1")
    assert card.read_text() == before
    assert play(tmp_path, "--limit", "a,b", "-e", "dies=1").returncode == 2
    report = json.loads(card.read_text())
    assert report["verdict"] == "stopped"
    assert {name: host["verdict"] for name, host in report["hosts"].items()} == {"a": "stopped", "b": "stopped"}
    assert "did not come to its end" in report["hosts"]["a"]["stopped"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"outcomes": 1, "proven": "x"}',
        '{"outcomes": [{"check": "old.check", "verdict": "pass", "subject": "a", "evidence": "x"}], "proven": "x"}',
        '{"outcomes": [{"check": "relay.refused", "verdict": "odd", "subject": "a", "evidence": "x"}], "proven": "x"}',
    ],
)
def test_a_proof_that_is_none_counts_as_not_proven(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Display, "warning", lambda _display, said: warnings.append(said))
    warnings: list[str] = []
    path = tmp_path / "a.json"
    assert _earlier(path) == {}
    assert not warnings
    path.write_text(text)
    assert _earlier(path) == {}
    assert str(path) in warnings[0]


def test_reports_lie_where_ansible_is_run(tmp_path: Path) -> None:
    """Whatever the variable PWD says, which is the shell's and need not be there."""
    (tmp_path / "hosts.yml").write_text(INVENTORY.replace("    sendyard_report_directory: REPORTS\n", ""))
    (tmp_path / "play.yml").write_text(REPORT_ALONE)
    environment = {**os.environ, "PWD": "/nowhere", "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections")}
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "play.yml", "--limit", "a"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "reports/scorecard.json").read_text())["verdict"] == "unproven"


def test_a_report_that_cannot_be_written_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    done = play(tmp_path, "--limit", "a")
    assert done.returncode == 2
    assert "sendyard_report_directory" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
