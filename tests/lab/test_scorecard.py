# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the world sees, through the wire: one record of a domain is broken, and report.yml names it and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lab_api
import pytest
from programs import run

SENDER = "mx-trixie"
DOMAIN, ZONE = "acme.example", "acme.example."
SECOND = '"v=spf1 mx ~all"'
KEY = f"{SENDER}-1._domainkey.{ZONE}"
# No mail comes to the lab's customers; and a report without a proof does not know which key the server signs with.
ALWAYS = {"mx.present": "warn", "dkim.match": "unknown"}


def report(directory: Path) -> tuple[int, dict[str, str]]:
    """Run report.yml for all domains of one sender; the exit code, and what does not pass of the domain, by check."""
    settings = json.dumps({"sendyard_report_directory": str(directory), "scope": "all"})
    done = run("ansible-playbook", "playbooks/report.yml", "--limit", SENDER, "-e", settings, deadline=60)
    card = json.loads((directory / "scorecard.json").read_text())
    found = card["hosts"][SENDER]["checks"]
    return done.returncode, {
        one["id"]: one["verdict"] for one in found if one["subject"] == DOMAIN and one["verdict"] != "pass"
    }


def test_nothing_else_is_wrong_with_a_domain_of_the_lab(tmp_path: Path) -> None:
    assert report(tmp_path) == (0, ALWAYS)


@pytest.mark.parametrize(
    ("name", "changed", "check", "unknown"),
    [
        (ZONE, lambda there: [*there, SECOND], "spf.record",
         ("spf.syntax", "spf.lookups", "spf.authorised", "spf.ending")),
        (ZONE, lambda there: [*(one for one in there if "v=spf1" not in one), '"v=spf1 ip4:192.0.2.1 -all"'],
         "spf.authorised", ()),
        (f"_dmarc.{ZONE}", lambda _there: [], "dmarc.record", ("dmarc.syntax", "dmarc.alignment", "dmarc.reports")),
        (KEY, lambda _there: ['"v=DKIM1; k=rsa; p="'], "dkim.key", ("dkim.match", "dkim.size")),
    ],
    ids=["two-spf-records", "spf-without-us", "no-dmarc", "a-revoked-key"],
)  # fmt: skip
def test_a_broken_record_is_named(
    name: str, changed: Callable[[list[str]], list[str]], check: str, unknown: tuple[str, ...], tmp_path: Path
) -> None:
    there = lab_api.ask("ns1", name, "TXT")

    def put(values: list[str]) -> None:
        def change(message: Any) -> None:
            message.delete(name, "TXT")
            for value in values:
                message.add(name, 3600, "TXT", value)

        lab_api.update(ZONE, change)
        lab_api.until(
            lambda: all(sorted(lab_api.ask(server, name, "TXT")) == sorted(values) for server in ("ns1", "ns2")),
            what=f"{name} on both name servers",
        )

    put(changed(there))
    try:
        code, found = report(tmp_path)
    finally:
        put(there)
    assert code == 3
    assert found == {**ALWAYS, check: "fail", **dict.fromkeys(unknown, "unknown")}
