# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""report.yml by ansible-playbook, alone, on servers of which the world sees records in a Knot, and no open port."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cases import card
from integration.checks.test_faults import HEAD, ZONES, put
from integration.dns.servers import ADDRESS, Knot

CHECKOUT = Path(__file__).parents[3]
INVENTORY = """
senders:
  hosts:
    mx1: {sendyard_fqdn: mx1.yard.example, sendyard_selector: mx1-1}
  vars:
    sendyard_addresses: [{public: 127.0.0.1}, {public: "::1"}]
    sendyard_admin: ops@yard.example
    sendyard_certificate_source: provided
    sendyard_publish_resolver: ["RESOLVER"]
    sendyard_domains_directory: "{{ inventory_dir }}/domains"
    sendyard_report_directory: "{{ inventory_dir }}/reports"
"""


DOMAIN_FILE = """
domain: acme.example
servers: [mx1]
dns: manual
return_path: rp
logins: []
"""


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    server = Knot(tmp_path_factory.mktemp("knot"), dict.fromkeys(ZONES, HEAD))
    server.start()
    put(server, card.good())
    yield server
    server.stop()


def report(knot: Knot, directory: Path, *arguments: str) -> tuple[int, str]:
    (directory / "domains").mkdir(exist_ok=True)
    (directory / "domains/acme.example.yml").write_text(DOMAIN_FILE)
    (directory / "hosts.yml").write_text(INVENTORY.replace("RESOLVER", f"{ADDRESS}@{knot.port}"))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", directory / "hosts.yml", "playbooks/report.yml", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def verdicts(directory: Path) -> dict[tuple[str, str], str]:
    found = json.loads((directory / "reports/scorecard.json").read_text())["hosts"]["mx1"]["checks"]
    return {(check["subject"], check["id"]): check["verdict"] for check in found}


def test_every_domain_is_looked_at_where_the_scope_is_all(knot: Knot, tmp_path: Path) -> None:
    code, said = report(knot, tmp_path, "-e", "scope=all")
    assert code == 2, said  # no port is open here
    found = verdicts(tmp_path)
    assert {place: verdict for place, verdict in found.items() if verdict != "pass"} == {
        (card.FQDN, "tls.served"): "fail",
        **{(card.FQDN, check): "unknown" for check in ("tls.names", "tls.days", "tls.tlsa")},
        **{(subject, "dkim.match"): "unknown" for subject in (card.FQDN, card.DOMAIN)},
    }
    assert found[card.DOMAIN, "spf.return_path"] == "pass"
    page = (tmp_path / "reports/scorecard.html").read_text()
    assert "every port shows a certificate" in page
    suites = ElementTree.parse(tmp_path / "reports/scorecard.xml").getroot()  # noqa: S314  our own
    assert suites.find("testsuite").get("failures") == "1"  # type: ignore[union-attr]


def test_a_run_of_its_own_looks_at_the_servers_alone_and_its_owner_may_let_it_pass(knot: Knot, tmp_path: Path) -> None:
    code, said = report(knot, tmp_path, "-e", "sendyard_report_fail_on=never")
    assert code == 0, said
    assert {subject for subject, _ in verdicts(tmp_path)} == {card.FQDN}
    assert "not proven: run playbooks/prove.yml" in said


def test_warnings_fail_a_run_whose_owner_wants_it(knot: Knot, tmp_path: Path) -> None:
    put(knot, {(card.DOMAIN, "MX"): []})
    try:
        code, said = report(knot, tmp_path, "-e", "scope=all", "-e", "sendyard_report_fail_on=should")
    finally:
        put(knot, {(card.DOMAIN, "MX"): card.good()[card.DOMAIN, "MX"]})
    assert code == 2, said
    assert "acme.example: mx.present failed on mx1" in said


def test_another_scope_is_refused_with_those_that_there_are(knot: Knot, tmp_path: Path) -> None:
    code, said = report(knot, tmp_path, "-e", "scope=everything")
    assert code == 2
    assert "value of scope must be one of" in said


def test_a_check_run_looks_at_nothing(knot: Knot, tmp_path: Path) -> None:
    code, said = report(knot, tmp_path, "--check", "-e", "scope=all")
    assert code == 0, said
    assert not (tmp_path / "reports").exists()


def test_a_domain_file_that_cannot_be_read_is_told_where_all_are_looked_at(knot: Knot, tmp_path: Path) -> None:
    (tmp_path / "domains").mkdir()
    (tmp_path / "domains/globex.example.yml").write_text("domain: [")
    code, said = report(knot, tmp_path, "-e", "scope=all", "-e", "sendyard_report_fail_on=never")
    assert code == 3, said
    assert "globex.example" in said
    assert "globex.example" in (tmp_path / "reports/scorecard.html").read_text()
