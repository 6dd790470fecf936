# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and the JUnit file: everything in them is text of ours or escaped, and each says what the verdict says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import scorecard, scorecard_page
from ansible_collections.sendyard.mail.plugins.module_utils.checks import catalogue
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import FailOn, Outcome, Verdict

FQDN = "mx1.yard.example"
GOOD = Outcome("relay.refused", Verdict.PASS, FQDN, "554 5.7.1", "192.0.2.1:25")
FAILED = Outcome("spf.record", Verdict.FAIL, "acme.example", 'acme.example TXT: "<script>alert(1)</script>"')
DEPENDENT = Outcome(
    "spf.lookups", Verdict.UNKNOWN, "acme.example", "not tried, because of spf.record", because="spf.record"
)
WARNED = Outcome("ptr.name", Verdict.WARN, FQDN, "192.0.2.1 PTR: other.example")


def report(*outcomes: Outcome, fail_on: FailOn = FailOn.MUST, stopped: str = "") -> scorecard.Report:
    host = scorecard.HostReport("mx1", FQDN, scorecard.rows(outcomes), stopped, fail_on=fail_on)
    return scorecard.Report((host,), generated="2026-11-27T12:00:00+00:00", fail_on=fail_on)


def suite_of(made: scorecard.Report) -> ElementTree.Element:
    (suite,) = ElementTree.fromstring(scorecard_page.junit(made))  # noqa: S314  our own
    return suite


class Page(HTMLParser):
    """The tags that are open where the page ends, all that were met, and the addresses that they name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself() -> None:
    text = scorecard_page.html(report(GOOD, FAILED, DEPENDENT, WARNED))
    page = Page(text)
    assert not page.open
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert "url(" not in text
    assert "@import" not in text
    assert set(page.links) <= {source.where for source in catalogue.SOURCES.values()}, "links are for people"
    assert "&lt;script&gt;" in text
    assert "`" not in text


def test_the_page_says_what_is_wrong_whose_rule_it_is_and_what_to_do() -> None:
    text = re.sub(r"<[^>]+>", " ", scorecard_page.html(report(GOOD, FAILED, DEPENDENT, WARNED)))
    assert "the domain has exactly one SPF record" in text
    assert "Gmail: 4.7.27, 5.7.27" in text
    assert "RFC 7208  (2014-04)" in text
    assert "Of several make one." in text
    assert "Mend spf.record first." in text
    assert "192.0.2.1 PTR: other.example" in text
    assert "but these domains are at fault: acme.example" in text


def test_ten_thousand_domains_in_order_make_no_large_page() -> None:
    outcomes = [Outcome("spf.record", Verdict.PASS, f"d{n}.example", "fine") for n in range(10_000)]
    text = scorecard_page.html(report(GOOD, *outcomes))
    assert "10000 domains of which every check passed" in text
    assert len(text) < 20_000


@pytest.mark.parametrize(
    ("fail_on", "outcomes", "code", "failures"),
    [
        (FailOn.MUST, (GOOD, WARNED), 0, 0),
        (FailOn.SHOULD, (GOOD, WARNED), 2, 1),
        (FailOn.NEVER, (GOOD, WARNED), 0, 0),
        (FailOn.MUST, (GOOD, FAILED), 3, 1),
        (FailOn.NEVER, (GOOD, FAILED), 0, 1),
        (FailOn.SHOULD, (GOOD,), 0, 0),
        (FailOn.SHOULD, (GOOD, DEPENDENT), 0, 0),
    ],
)
def test_what_fails_a_run_is_the_owners_choice(
    fail_on: FailOn, outcomes: tuple[Outcome, ...], code: int, failures: int
) -> None:
    made = report(*outcomes, fail_on=fail_on)
    assert made.exit_code == code
    suite = suite_of(made)
    assert suite.get("failures") == str(failures) == str(len(suite.findall("testcase/failure")))
    assert scorecard.as_json(made)["fail_on"] == str(fail_on)


def test_never_lets_no_host_that_failed_pass() -> None:
    assert report(stopped="it failed", fail_on=FailOn.NEVER).exit_code == 2


def test_what_is_unknown_is_skipped_in_junit_and_what_was_not_proven_too() -> None:
    suite = suite_of(report(FAILED, DEPENDENT))
    assert (suite.get("tests"), suite.get("skipped"), suite.get("errors")) == ("3", "2", "0")
    suite = suite_of(report(stopped="it failed"))
    assert suite.find("testcase/error") is not None


def test_junit_holds_what_the_dns_may_say() -> None:
    odd = Outcome("spf.record", Verdict.FAIL, "acme.example", "\x00\x1b\x0b\uffff & <TXT> \ud800")
    suite = suite_of(report(GOOD, odd))
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "& <TXT>" in (failure.get("message") or "")


def test_a_failure_that_follows_from_another_is_unknown() -> None:
    seen = Outcome("delivered.dkim", Verdict.FAIL, "acme.example", "dkim=fail")
    alone = scorecard.rows([seen])
    assert alone[0].verdict is Verdict.FAIL
    revoked = Outcome("dkim.key", Verdict.FAIL, "acme.example", "p= is empty")
    match = Outcome("dkim.match", Verdict.UNKNOWN, "acme.example", "not tried", because="dkim.key")
    both = {row.check: row for row in scorecard.rows([seen, revoked, match])}
    assert both["delivered.dkim"].verdict is Verdict.UNKNOWN
    assert both["delivered.dkim"].because == "dkim.key"
    assert "dkim=fail" in both["delivered.dkim"].evidence
    silent = Outcome("dkim.match", Verdict.UNKNOWN, "acme.example", "nobody answered")
    assert {row.verdict for row in scorecard.rows([seen, silent])} == {Verdict.FAIL, Verdict.UNKNOWN}


def test_a_host_of_which_nothing_but_records_is_known_is_not_proven() -> None:
    made = report(Outcome("ptr.name", Verdict.PASS, FQDN, "fine"))
    assert made.standing is scorecard.Standing.UNPROVEN
    assert "not proven: run playbooks/prove.yml" in "\n".join(scorecard.render(made))
    assert "unproven" in scorecard_page.html(made)


def test_a_warning_is_told_with_what_to_do() -> None:
    text = " ".join(" ".join(scorecard.render(report(GOOD, WARNED), width=90)).split())
    assert "mx1 (mx1.yard.example): accepted; 1 pass, 1 warn" in text
    assert "fix: Have the provider of the address call it by the server's name, and by no other." in text
    assert "each warning says what counts against it" in text


def test_what_was_looked_up_and_is_fine_is_one_line_on_a_terminal() -> None:
    found = [Outcome(check, Verdict.PASS, FQDN, "fine") for check in catalogue.LOOKED_UP]
    lines = scorecard.render(report(GOOD, *found))
    assert len(lines) < 10
    assert f"pass    {len(found)} checks of its records, names and certificates" in "\n".join(lines)
