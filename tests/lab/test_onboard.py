# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A customer's first hour: a domain is onboarded by one command, sends by its page's samples, and leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab_api
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import customer_page
from lab_hosts import SENDERS
from programs import ROOT, recap, run

DOMAIN = f"new-{lab_api.token()}.acme.example"
RUN_SECONDS = 300.0
WARM_SECONDS = 60.0  # of our own, on servers that stand; the lab's zones are seen at once
INTERPRETERS = {"send_mail.py": ("/usr/bin/python3",), "swaks.sh": ("sh",)}


@dataclass(frozen=True)
class Owner:
    """Somebody with an inventory of the lab's senders, who types commands."""

    inventory: Path
    reports: Path
    token_file: Path

    @property
    def file(self) -> Path:
        return self.inventory / f"domains/{DOMAIN}.yml"

    def types(self, playbook: str, **variables: object) -> tuple[int, str]:
        """Run a playbook for the domain; its exit code, and all it said."""
        said = {"domain": DOMAIN, "sendyard_report_directory": str(self.reports), **variables}
        command = ("ansible-playbook", "-i", self.inventory, playbook, "-e", json.dumps(said))
        done = run(*command, deadline=RUN_SECONDS)
        return done.returncode, done.stdout + done.stderr

    def page(self) -> dict[str, Any]:
        return dict(json.loads((self.reports / f"{DOMAIN}.json").read_text()))


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """The lab's senders in an inventory of files, with the lab's domains; what a failed test left is taken away."""
    listed = json.loads(run("ansible-inventory", "--list").stdout)["_meta"]["hostvars"]
    directory = tmp_path_factory.mktemp("owner")
    inventory = directory / "inventory"
    (inventory / "domains").mkdir(parents=True)
    for path in (Path(lab_api.info()["state"]) / "domains").glob("*.yml"):
        (inventory / "domains" / path.name).write_bytes(path.read_bytes())
    for said in listed.values():
        del said["sendyard_domains_directory"]  # beside hosts.yml, as everybody has it
    (inventory / "hosts.yml").write_text(json.dumps({"senders": {"hosts": listed}}))
    owner = Owner(inventory, directory / "reports", directory / "token")
    yield owner
    if owner.file.exists():
        owner.types("offboard.yml")


def send(sample: str, page: dict[str, Any], token: str, word: str, directory: Path) -> str:
    """Run a sample as its customer would, who changes nothing but the recipient; what it printed.

    Only that the server's name leads to the lab, and that the lab's root is trusted, is arranged around it.
    """
    text = customer_page.sample((ROOT / "playbooks/samples" / sample).read_text(), page)
    text = text.replace("you@example.org", lab_api.info()["receiver"]["address"]).replace("A message from", word)
    program, hosts = directory / sample, directory / "hosts"
    program.write_text(text)
    lines = [f"{lab_api.address(name)} {lab_api.info()['hosts'][name]['fqdn']}" for name in SENDERS]
    hosts.write_text(Path("/etc/hosts").read_text() + "\n".join(lines) + "\n")
    command = shlex.join([*INTERPRETERS[sample], str(program)])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount --bind {shlex.quote(str(hosts))} /etc/hosts && exec {command}"],
        env={"PATH": os.environ["PATH"], "SMTP_TOKEN": token, "SSL_CERT_FILE": lab_api.info()["ca"]},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refusal(token: str, trust: ssl.SSLContext, name: str) -> int:
    """The code by which a sender answers to the login, 235 where it is let in."""
    with smtplib.SMTP(timeout=60) as session:
        session.connect(lab_api.address(name), 587)
        session._host = lab_api.info()["hosts"][name]["fqdn"]
        session.starttls(context=trust)
        try:
            session.login(f"app@{DOMAIN}", token)
        except smtplib.SMTPAuthenticationError as refused:
            return refused.smtp_code
    return 235


def test_a_domain_comes_sends_and_goes(owner: Owner, trust: ssl.SSLContext, tmp_path: Path) -> None:
    began = time.monotonic()
    code, said = owner.types("onboard.yml", dns="lab", token_file=str(owner.token_file))
    assert code == 0, said
    assert time.monotonic() - began < WARM_SECONDS, said
    token = owner.token_file.read_text().strip()
    assert token not in said
    page = owner.page()
    assert page["sends"], page
    assert {one["state"] for one in page["records"]} == {"present"}, page["records"]
    assert len(page["records"]) == 4  # SPF, DMARC, and a key of each sender
    assert {one["check"] for one in page["proof"]} > {"delivered.dkim", "delivered.dmarc"}
    assert {one["verdict"] for one in page["proof"]} == {"pass"}, page["proof"]
    assert token not in (owner.reports / f"{DOMAIN}.html").read_text()

    for sample in INTERPRETERS:
        word = lab_api.token()
        assert token not in send(sample, page, token, word, tmp_path)
        results = lab_api.wait_for_mail(word).results
        assert f"header.d={DOMAIN}" in results
        assert "dmarc=pass" in results

    written = owner.file.read_bytes()
    code, said = owner.types("onboard.yml")
    assert code == 0, said
    assert {name: changed for name, (changed, *_) in recap(said).items()} == dict.fromkeys(SENDERS, 0), said
    assert owner.file.read_bytes() == written
    again = owner.page()
    assert [again[name] for name in ("sends", "records", "findings", "proof")] == [
        page[name] for name in ("sends", "records", "findings", "proof")
    ]

    code, said = owner.types("offboard.yml")
    assert code == 0, said
    assert [refusal(token, trust, name) for name in SENDERS] == [535, 535]
    for one in page["records"]:
        assert lab_api.ask("ns1", f"{one['name']}.", one["type"]) == []
    assert lab_api.ask("ns1", "acme.example.", "TXT"), "the zone is still another tenant's"
    assert not owner.file.exists()
    assert (owner.inventory / f"domains/offboarded/{DOMAIN}.yml").read_bytes() == written
    code, said = owner.types("offboard.yml")
    assert code == 0 and f"{DOMAIN} was offboarded before" in said, said
    assert not re.search(r"changed=[1-9]", said)
