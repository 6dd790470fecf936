# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A reply that somebody pastes, through ansible-playbook and through ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT

SPF = (
    "550-5.7.26 The MAIL FROM domain [acme.example] has an SPF record with a hard fail\n"
    '550 5.7.26 policy (-all) "quoted" - gsmtp'
)


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs in the checkout; no inventory is needed."""
    done = subprocess.run(
        [Path(sys.executable).with_name(program), "-i", "localhost,", *arguments],
        cwd=ROOT, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("playbook", ["explain.yml", "playbooks/explain.yml"])
def test_a_person_reads_what_it_means_and_what_to_do(playbook: str) -> None:
    done = run("ansible-playbook", playbook, "-e", json.dumps({"reply": SPF}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Says:               Gmail\n" in done.stdout
    assert "To do:              Name every address that mail leaves from in `sendyard_addresses`" in done.stdout
    assert "row gmail-spf-hardfail" in done.stdout


def test_a_reply_in_quotes_is_whole() -> None:
    done = run("ansible-playbook", "explain.yml", "-e", 'reply="421 4.7.28 unusual rate of mail"')
    assert "Reply:              421 4.7.28: unusual rate of mail\n" in done.stdout


@pytest.mark.parametrize("variables", ["x=", "reply=", '{"reply": "  \\n"}', '{"reply": null}'])
def test_without_a_reply_it_says_what_to_give(variables: str) -> None:
    done = run("ansible-playbook", "explain.yml", "-e", variables)
    assert done.returncode == 2
    assert "there is none to explain" in done.stdout + done.stderr


def test_a_number_is_a_code() -> None:
    assert "550" in run("ansible-playbook", "explain.yml", "-e", '{"reply": 550}').stdout


def test_what_a_receiver_put_between_braces_is_not_evaluated(tmp_path: Path) -> None:
    evil = f"550 5.7.1 {{{{ lookup('pipe', 'touch {tmp_path}/evaluated') }}}} {{% raw %}} spam"
    done = run("ansible-playbook", "explain.yml", "-e", json.dumps({"reply": evil}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "{{ lookup('pipe'" in done.stdout
    assert not (tmp_path / "evaluated").exists()


def test_a_program_gets_the_result() -> None:
    done = run("ansible", "localhost", "-m", "sendyard.mail.explain", "-a", "reply='550 5.1.1 no such user'")
    result = done.stdout.partition("=>")[2]
    assert "retry: never" in result or '"retry": "never"' in result
    assert "no-such-user" in result


def test_the_module_that_reads_the_log_takes_the_table_along(tmp_path: Path) -> None:
    log = tmp_path / "postfix.log"
    log.write_text(
        "x mx1 postfix/smtp[1]: 4cABC1: to=<u@x.example>, relay=mx.x.example[192.0.2.80]:25, delay=1, dsn=5.1.1, "
        "status=bounced (host mx.x.example[192.0.2.80] said: 550 5.1.1 no such user (in reply to RCPT TO command))\n"
    )
    arguments = {"log_file": str(log), "deadline": 0, "messages": [{"queue_id": "4cABC1", "subject": "acme.example"}]}
    interpreter = f"ansible_python_interpreter={sys.executable}"
    done = run(
        "ansible", "localhost", "-c", "local", "-e", interpreter, "-m", "sendyard.mail.queue_trace",
        "-a", json.dumps(arguments),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "550 5.1.1 no such user" in " ".join(done.stdout.split())
