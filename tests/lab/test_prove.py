# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Proof where nobody can look into the receiver's mailbox, as on a real server: the queue id, followed to the reply."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import lab_api
from programs import BIN, ROOT, clean_environment, run

SENDER = "mx-trixie"
DEADLINE = 300.0  # seconds for one run


def prove(tmp_path: Path, **settings: object) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """Run proof and report for one sender; the exit code, what was said, and what was found of the server by check."""
    settings |= {"sendyard_report_directory": str(tmp_path), "sendyard_prove_fetch_command": []}
    options = ("--limit", SENDER, "-e", json.dumps(settings))
    done = run("ansible-playbook", "playbooks/prove.yml", "playbooks/report.yml", *options, deadline=DEADLINE)
    card = json.loads((tmp_path / "scorecard.json").read_text())
    checks = {check["id"]: check for check in card["hosts"][SENDER]["checks"]}
    return done.returncode, done.stdout + done.stderr, checks


def test_a_message_is_followed_to_the_receivers_250(tmp_path: Path) -> None:
    code, said, found = prove(tmp_path)
    assert code == 0, said
    accepted = found["delivered.accepted"]
    assert accepted["verdict"] == "pass", accepted
    assert "250" in accepted["evidence"], accepted
    for check in ("delivered.spf", "delivered.dkim", "delivered.dmarc"):
        assert found[check]["verdict"] == "unknown", found[check]
        assert found[check]["evidence"], "it does not say why"


def test_a_receivers_refusal_fails_the_run_with_its_reply(tmp_path: Path) -> None:
    """The domain's MX is a receiver that does not take mail for it."""
    name = f"{lab_api.token()}.acme.example."
    lab_api.update("acme.example.", lambda message: message.add(name, 5, "MX", "10 mx.rx.example."))
    lab_api.until(lambda: lab_api.ask("ns2", name, "MX"), what=f"{name} on ns2")
    try:
        code, said, found = prove(tmp_path, sendyard_prove_recipient=f"someone@{name.rstrip('.')}")
    finally:
        lab_api.update("acme.example.", lambda message: message.delete(name))
    assert code == 2, said
    assert found["delivered.accepted"]["verdict"] == "fail"
    assert "Relay access denied" in found["delivered.accepted"]["evidence"]


def known_logins() -> str:
    """The temporary logins of the sender, as Dovecot reads them."""
    return lab_api.root(SENDER, "cat", "/run/sendyard/probe-logins").stdout


def test_no_login_of_a_proof_is_left(tmp_path: Path) -> None:
    prove(tmp_path)
    assert "probe-" not in known_logins()


def test_a_timer_ends_the_login_of_a_proof_that_was_killed() -> None:
    command = [BIN / "ansible-playbook", "playbooks/prove.yml", "--limit", SENDER]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as proof:
        try:
            found = lab_api.until(
                lambda: re.search(r"^(probe-\w+)=", known_logins(), re.MULTILINE),
                what="a login of the proof",
                deadline=DEADLINE,
            )
        finally:
            proof.kill()
    assert found[1] in known_logins()
    timer = f"sendyard-{found[1]}"
    assert timer in lab_api.root(SENDER, "systemctl", "list-timers", "--no-pager").stdout
    lab_api.root(SENDER, "systemctl", "start", f"{timer}.service")  # what the timer will do
    assert found[1] not in known_logins()
