# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import scorecard
from ansible_collections.sendyard.mail.plugins.module_utils.checks import catalogue, run
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Outcome, Standing, Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import probes, prove

FQDN = "mx1.yard.example"
GOOD = Outcome("relay.refused", Verdict.PASS, FQDN, "554 5.7.1", "192.0.2.1:25")
OPEN_RELAY = Outcome("relay.refused", Verdict.FAIL, FQDN, "250 2.1.5 Ok", "[2001:db8::1]:25")
BLOCKED = Outcome("relay.refused", Verdict.UNKNOWN, FQDN, "no way", "192.0.2.1:587")
BAD_DOMAIN = Outcome("delivered.dkim", Verdict.FAIL, "acme.example", "dkim=fail")


def report(*outcomes: Outcome, stopped: str = "", faults: tuple[scorecard.Fault, ...] = ()) -> scorecard.Report:
    host = scorecard.HostReport("mx1", FQDN, scorecard.rows(outcomes), stopped)
    return scorecard.Report((host,), faults)


@pytest.mark.parametrize(
    ("made", "standing", "code"),
    [
        (report(GOOD), Standing.FINE, 0),
        (report(), Standing.UNPROVEN, 0),
        (report(GOOD, BLOCKED), Standing.FINE, 0),
        (report(GOOD, OPEN_RELAY), Standing.REJECTED, 2),
        (report(GOOD, stopped="it failed"), Standing.STOPPED, 2),
        (report(GOOD, BAD_DOMAIN), Standing.DOMAINS_AT_FAULT, 3),
        (report(GOOD, faults=(scorecard.Fault("acme.example", "broken YAML"),)), Standing.DOMAINS_AT_FAULT, 3),
        (report(OPEN_RELAY, BAD_DOMAIN), Standing.REJECTED, 2),
        (report(BAD_DOMAIN, stopped="it failed"), Standing.STOPPED, 2),
    ],
)
def test_the_worst_finding_makes_the_verdict(made: scorecard.Report, standing: Standing, code: int) -> None:
    assert made.standing is standing
    assert scorecard.EXIT_CODES[made.standing] == code
    assert scorecard.as_json(made)["verdict"] == str(standing)
    assert scorecard.verdict_line(made) in " ".join(scorecard.render(made, width=1000))


def test_one_bad_place_fails_the_row_and_is_named() -> None:
    (row,) = scorecard.rows([GOOD, OPEN_RELAY, BLOCKED])
    assert row.verdict is Verdict.FAIL
    assert row.evidence == "250 2.1.5 Ok; no way"
    assert row.where == ("[2001:db8::1]:25", "192.0.2.1:587")


def test_a_row_quotes_only_so_many_findings() -> None:
    outcomes = [Outcome("relay.refused", Verdict.FAIL, FQDN, f"reply {number}") for number in range(5)]
    (row,) = scorecard.rows(outcomes)
    assert row.evidence == "reply 0; reply 1; reply 2 (and 2 more)"


def test_rows_stand_in_the_order_of_the_catalogue() -> None:
    made = scorecard.rows([BAD_DOMAIN, GOOD, Outcome("smtp.greeting", Verdict.PASS, FQDN, "220")])
    assert [(row.subject, row.check) for row in made] == [
        ("acme.example", "delivered.dkim"),
        (FQDN, "smtp.greeting"),
        (FQDN, "relay.refused"),
    ]


def test_every_check_that_is_tried_is_in_the_catalogue() -> None:
    tried = {probe.check for probe in probes.PROBES} | set(prove.DELIVERED) | {"smtp.reachable", "delivered.accepted"}
    assert tried == set(catalogue.PROVEN)
    assert {*run.SERVER, *run.DOMAIN} == set(catalogue.LOOKED_UP)
    assert not set(run.SERVER) & set(run.DOMAIN)


@pytest.mark.parametrize("check", catalogue.CHECKS)
def test_a_row_of_the_catalogue_is_whole(check: str) -> None:
    row = catalogue.CHECKS[check]
    assert row.group in catalogue.GROUPS
    assert row.title
    assert row.fix
    assert set(row.needs) <= set(catalogue.CHECKS)
    for source in catalogue.sources(row).values():
        assert source.where.startswith("https://")
        assert source.date
    if check in catalogue.LOOKED_UP:
        assert catalogue.sources(row), "nobody knows whose rule it is"


def test_the_table_tells_what_to_do_and_for_whom() -> None:
    lines = scorecard.render(report(GOOD, OPEN_RELAY, BAD_DOMAIN), width=90)
    text = "\n".join(lines)
    assert all(len(line) <= 90 for line in lines)
    assert "mx1 (mx1.yard.example): rejected; 2 fail" in text
    assert "fix: Run site.yml; look for permit_mynetworks" in text
    assert "acme.example: dkim=fail" in text
    assert "Would be rejected, or takes what it must not: mx1." in text


def test_a_host_without_proof_is_not_called_fine() -> None:
    lines = scorecard.render(report())
    assert "  not proven: run playbooks/prove.yml" in lines
    assert lines[-1] == "Nothing is known to be wrong; not every server was proven."


def test_domains_at_fault_are_listed_once() -> None:
    fault = scorecard.Fault("globex.example", "inventory/domains/globex.example.yml: no YAML")
    made = scorecard.Report(
        (
            scorecard.HostReport("mx1", FQDN, scorecard.rows([GOOD])),
            scorecard.HostReport("mx2", "mx2.yard.example"),
        ),
        (fault, fault),
    )
    assert scorecard.as_json(made)["faults"] == [{"subject": fault.subject, "message": fault.message}]
    assert "Domains at fault: 1" in scorecard.render(made)


def test_outcomes_survive_the_way_through_a_module_result() -> None:
    assert scorecard.outcome_from(scorecard.as_plain(OPEN_RELAY)) == OPEN_RELAY


def test_json_names_rule_and_fix_for_what_failed() -> None:
    (check,) = scorecard.as_json(report(OPEN_RELAY))["hosts"]["mx1"]["checks"]
    assert check["fix"].startswith("Run site.yml")
    assert check["rule"]
    assert check["verdict"] == "fail"


REFUSED = "4ABC: {}: host gmail-smtp-in.l.google.com[192.0.2.80] said: {} (in reply to end of DATA command)"


def test_what_a_receiver_refused_or_put_off_is_explained() -> None:
    spf = "550-5.7.26 The MAIL FROM domain [acme.example] has an SPF record with a hard fail 550 5.7.26 policy (-all)"
    made = report(
        Outcome("delivered.accepted", Verdict.FAIL, "acme.example", REFUSED.format("bounced", spf)),
        Outcome("delivered.accepted", Verdict.UNKNOWN, FQDN, REFUSED.format("put off", "421 4.7.28 unusual rate")),
    )
    text = " ".join(" ".join(scorecard.render(made)).split())
    assert "Gmail means: The SPF record of the envelope sender's domain ends in -all" in text
    assert "fix: Name every address that mail leaves from in `sendyard_addresses`" in text
    assert "Gmail means: More mail than Gmail takes" in text
    refused, put_off = scorecard.as_json(made)["hosts"]["mx1"]["checks"]
    assert refused["explained"]["row"] == "gmail-spf-hardfail"
    assert put_off["explained"]["category"] == "rate"
    assert put_off["fix"] == put_off["explained"]["to_do"]


@pytest.mark.parametrize(
    "outcome",
    [
        OPEN_RELAY,
        Outcome("relay.refused", Verdict.FAIL, FQDN, "550 5.1.1 not a delivery"),
        Outcome("delivered.accepted", Verdict.PASS, FQDN, "4ABC: mx.x.example[192.0.2.80]:25 said: 250 2.0.0 Ok"),
        Outcome("delivered.accepted", Verdict.FAIL, FQDN, "it did not arrive (4z5501ABC)"),
        Outcome("delivered.accepted", Verdict.UNKNOWN, FQDN, "4z550: no attempt to deliver it within the deadline"),
    ],
)
def test_what_quotes_no_refusal_is_not_explained(outcome: Outcome) -> None:
    (check,) = scorecard.as_json(report(outcome))["hosts"]["mx1"]["checks"]
    assert check["explained"] is None
    assert "means:" not in " ".join(scorecard.render(report(outcome)))


def test_ten_thousand_domains_that_passed_are_one_line() -> None:
    domains = [f"d{number:05}.example" for number in range(10_000)]
    outcomes = [Outcome(check, Verdict.PASS, domain, "fine") for domain in domains for check in prove.DELIVERED]
    lines = scorecard.render(report(GOOD, *outcomes))
    assert len(lines) < 10
    assert "pass    10000 domains: d00000.example, d00001.example" in "\n".join(lines)
    assert "and 9995 more" in "\n".join(lines)


def test_a_reason_is_told_once_for_all_that_it_kept_from_being_tried() -> None:
    outcomes = [Outcome(check, Verdict.UNKNOWN, FQDN, "no receiver to ask") for check in prove.DELIVERED]
    text = "\n".join(scorecard.render(report(GOOD, *outcomes)))
    assert text.count("no receiver to ask") == 1
    assert text.count("likewise") == len(prove.DELIVERED) - 1
    assert "Nothing is wrong that could be tried" in text
