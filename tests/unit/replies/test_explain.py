# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a reply means: every row by its own line, as people paste it; and nothing that anybody pastes breaks it."""

from __future__ import annotations

import ast
import re
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.checks import catalogue
from ansible_collections.sendyard.mail.plugins.module_utils.replies import explain as module
from ansible_collections.sendyard.mail.plugins.module_utils.replies.explain import explain, render
from ansible_collections.sendyard.mail.plugins.module_utils.replies.registry import (
    REGISTERED,
    Category,
    Retry,
    registered,
)
from ansible_collections.sendyard.mail.plugins.module_utils.replies.reply import MAX_LENGTH, parse
from ansible_collections.sendyard.mail.plugins.module_utils.replies.rules import ADVICE, RULES, Rule
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import ROOT
from tools import docs

LOG = "Nov 27 07:00:00 mx1 postfix/smtp[12]: 4cABC1: to=<u@x.example>, relay=mx.x.example[192.0.2.80]:25, delay=1, "
REPLIES = [rule for rule in RULES if rule.codes != "0"]  # the others are Postfix's own words, without a reply
BY_REGISTERED_CODE = [rule for rule in REPLIES if not rule.words and rule.says and registered(parse(rule.line).status)]
named = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def by_row(pasted: str) -> str:
    """The row that explains `pasted`."""
    return explain(pasted).row


@named
def test_a_row_explains_its_own_line(rule: Rule) -> None:
    explanation = explain(rule.line)
    assert explanation.row == rule.name
    assert (explanation.category, explanation.meaning, explanation.to_do) == (rule.category, rule.meaning, rule.to_do)


@named
def test_a_row_is_complete(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert rule.meaning.endswith(".")
    assert rule.to_do.endswith(".")
    assert rule.statuses or rule.words
    assert all(word == word.lower() and "" not in word.split("|") for word in rule.words)
    assert set("".join(rule.codes.split())) <= set("0123456789")
    assert date.fromisoformat(rule.source.seen) <= date(2026, 12, 31)
    assert rule.source.url.startswith(("https://", "http://")) or (ROOT / rule.source.url).is_file()
    assert (rule.category is Category.OURS) or rule.says != "Sendyard, here"


def test_names_of_rows_are_unique_and_enough_receivers_have_some() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) >= 80
    assert len({rule.says for rule in RULES}) > 20


FORMS = (
    "{log}dsn=5.0.0, status=bounced (host mx.x.example[192.0.2.80] said: {line} (in reply to end of DATA command))",
    "{log}dsn=4.0.0, status=deferred (host mx.x.example[192.0.2.80] refused to talk to me: {line})",
    "<u@x.example>: host mx.x.example[192.0.2.80] said: {folded} (in reply to RCPT TO\n    command)",
    "Status: 5.0.0\nRemote-MTA: dns; mx.x.example\nDiagnostic-Code: smtp; {folded}\nLast-Attempt-Date: today, 550",
)


@pytest.mark.parametrize("rule", REPLIES, ids=lambda rule: rule.name)
def test_a_row_explains_its_line_in_a_log_and_in_a_bounce(rule: Rule) -> None:
    for form in FORMS:
        explanation = explain(form.format(log=LOG, line=rule.line, folded=rule.line.replace(" ", "\n    ")))
        # By a registered code alone, a host that is another's may say what the registry says.
        assert explanation.row == rule.name or rule in BY_REGISTERED_CODE, form
        assert explanation.host == "mx.x.example", form
        assert explanation.text == explain(rule.line).text, form
    for changed in (rule.line.upper(), f"smtp;{rule.line}", rule.line.replace(" ", "\r\n")):
        assert by_row(changed) == rule.name, changed


def test_a_row_without_words_does_not_speak_for_another_receiver() -> None:
    assert explain("421 4.7.28").says == "Gmail"
    assert explain(f"{LOG}dsn=4.7.28, status=deferred (host mx.x.example[192.0.2.80] said: 421 4.7.28 no)").row == ""
    assert len(BY_REGISTERED_CODE) < 10


@pytest.mark.parametrize(
    ("pasted", "code", "status", "row"),
    [
        ("550", 550, "", ""),
        ("5.1.1", 0, "5.1.1", ""),
        ("4.7.32", 0, "4.7.32", "gmail-alignment"),
        ("550 5.7.515", 550, "5.7.515", "outlook-authentication"),
        ("421 5.7.32 not aligned", 421, "5.7.32", "gmail-alignment"),  # Google's own page has such
        ("250 2.0.0 OK  1764230400 abc - gsmtp", 250, "2.0.0", ""),
        (f"{LOG}dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4cABC2)", 250, "2.0.0", ""),
        (
            "(554, b'5.7.1 [2] Message rejected under suspicion of SPAM; https://ya.cc/1IrBc')",
            554,
            "5.7.1",
            "yandex-spam",
        ),
        ("#550 4.4.7 QUEUE.Expired; message expired ##", 550, "4.4.7", ""),
        (
            "Remote host said: 554 delivery error: dd This user doesn't have a yahoo.de account",
            554,
            "",
            "yahoo-no-such-user",
        ),
        ("554 Sorry, no mailbox here by that name. (#5.1.1)", 554, "5.1.1", "no-such-user"),
        ("550 5.7.1 Your message\N{RIGHT SINGLE QUOTATION MARK}s DMARC check failed", 550, "5.7.1", "dmarc-rejected"),
        ("554-mx.x.example 554 Blocked 192.0.2.25 at 10.0.0.1", 554, "", ""),
        ("hello", 0, "", ""),
        ("", 0, "", ""),
        ("999 5.7.1.3", 0, "", ""),
        ("354 go ahead", 354, "", ""),
    ],
)
def test_codes_are_found(pasted: str, code: int, status: str, row: str) -> None:
    explanation = explain(pasted)
    assert (explanation.code, explanation.status, explanation.row) == (code, status, row)


def test_the_host_tells_whose_reply_it_is() -> None:
    deferred = "status=deferred (host {}[192.0.2.80] said: 451 4.3.0 sorry (in reply to DATA command))"
    assert explain(deferred.format("gmail-smtp-in.l.google.com")).says == "Gmail"
    assert explain(deferred.format("acme-example.mail.protection.outlook.com")).says == "Microsoft 365"
    assert explain(deferred.format("outlook-com.olc.protection.outlook.com")).says == "Outlook.com"
    assert explain(deferred.format("notgoogle.com")).says == "notgoogle.com"
    assert explain(deferred.format("mx00.T-Online.de")).says == "T-Online"


def test_several_lines_are_one_text_without_codes() -> None:
    assert parse("550-5.1.1 The email\r\n550-5.1.1 account\n550 5.1.1 is gone") == parse(
        "550 5.1.1 The email account is gone"
    )


# -- the registry ------------------------------------------------------------------------------------------------------


def test_the_registry_is_whole() -> None:
    details = {"0": 0, "1": 10, "2": 4, "3": 6, "4": 7, "5": 6, "6": 10, "7": 30}
    assert set(REGISTERED) == {f"{subject}.{detail}" for subject, last in details.items() for detail in range(last + 1)}


@pytest.mark.parametrize("reply_class", ["4", "5"])
def test_every_registered_code_is_explained(reply_class: str) -> None:
    for status, entry in REGISTERED.items():
        said = f"status=x (host mx.x.example[192.0.2.80] said: {reply_class}50 {reply_class}.{status} words)"
        explanation = explain(said)
        assert explanation.registered == entry.text
        assert explanation.meaning
        assert explanation.to_do
        assert explanation.for_a_sender.startswith({"4": "temporary", "5": "permanent"}[reply_class])
        if reply_class == "5":
            assert explanation.retry is not Retry.BY_ITSELF, status


def test_nobody_is_told_to_wait_for_a_retry_after_5xx() -> None:
    for rule in REPLIES:
        assert explain(rule.line).code < 500 or explain(rule.line).retry is not Retry.BY_ITSELF, rule.name
    assert explain("552 5.2.2 mailbox full").retry is Retry.MENDED
    assert explain("452 4.2.2 mailbox full").retry is Retry.BY_ITSELF


def test_a_server_that_greets_with_5xx_is_tried_again() -> None:
    refused = "(host mx00.t-online.de[192.0.2.80] refused to talk to me: 554 IP=192.0.2.25 - None/bad reputation.)"
    assert "waits in the queue" in explain(f"{LOG}dsn=4.0.0, status=deferred {refused}").for_a_sender
    assert "came back" in explain(f"{LOG}dsn=5.0.0, status=bounced {refused}").for_a_sender


def test_what_no_row_knows_has_the_meaning_of_its_class() -> None:
    assert explain("450 4.9.9 x").retry is Retry.BY_ITSELF
    assert explain("550 5.9.9 x").retry is Retry.MENDED
    assert explain("250 Ok").category is Category.ACCEPTED
    assert explain("250 Ok").to_do == ADVICE[Category.ACCEPTED].to_do
    assert set(ADVICE) == set(Category)


# -- what to do names things that there are ----------------------------------------------------------------------------


def advice() -> set[str]:
    return {rule.to_do for rule in RULES} | {given.to_do for given in ADVICE.values()}


def test_playbooks_settings_and_files_that_are_named_exist() -> None:
    text = " ".join(advice())
    known = set(docs.read_role(ROOT / "roles/settings").options)
    assert set(re.findall(r"\bsendyard_\w+", text)) <= known
    assert set(re.findall(r"`(sendyard_[a-z_]+)", text)) > {"sendyard_addresses", "sendyard_queue_lifetime"}
    for path in re.findall(r"\b(?:playbooks|docs|script)/[\w./-]*\w|\bsite\.yml", text):
        assert (ROOT / path).exists(), path
    assert set(re.findall(r"\b(?:delivered|relay)\.[a-z]+", text)) <= set(catalogue.CHECKS)


# -- whatever is pasted ------------------------------------------------------------------------------------------------

SNIPPETS = st.sampled_from((
    "550 ", "421-4.7.28 ", "5.1.1", "4.7.28 ", "host a[1.2.3.4] said: ", "status=bounced (", "(in reply to ", ")",
    "\n ", "\r\n", "Diagnostic-Code: smtp; ", "Remote-MTA: dns; ", "dsn=", "relay=", "\x00", "\ud800", "é", "|", "{{",
    "#", "smtp;", ".",
))  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(SNIPPETS, max_size=60).map("".join)))
def test_nothing_that_is_pasted_raises(pasted: str) -> None:
    explanation = explain(pasted)
    assert explanation == explain(pasted)
    assert explanation.meaning
    assert explanation.category in Category
    assert all(line.isprintable() for line in render(explanation))
    assert explanation.code == 0 or 200 <= explanation.code <= 599


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_do_not_raise(pasted: bytes) -> None:
    explain(pasted.decode("latin-1"))
    explain(pasted.decode(errors="surrogateescape"))


@pytest.mark.parametrize(
    "unit",
    ["host ", "host a[1] said: ", "status=a (", "550-5.1.1 ", "(", ")", "1.1.1.", "4", "\n \n", "x", "550 ", "smtp; "],
)
def test_a_flood_takes_no_time(unit: str) -> None:
    started = time.process_time()
    explanation = explain(unit * (10**6 // len(unit)))
    assert time.process_time() - started < 0.5  # seconds; it takes some milliseconds, quadratic it would be minutes
    assert len(explanation.text) <= MAX_LENGTH


def test_what_is_longer_is_cut() -> None:
    line = "550 5.1.1 " + "x" * MAX_LENGTH
    assert explain(line) == explain(line + " dmarc")


# -- where it runs -----------------------------------------------------------------------------------------------------


def test_it_needs_the_standard_library_alone_and_imports_relatively() -> None:
    for path in Path(module.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert all(name.name in sys.stdlib_module_names for name in node.names), path
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module in sys.stdlib_module_names | {"collections.abc"}, path


def test_a_terminal_is_told_everything_within_its_width() -> None:
    lines = render(explain(REPLIES[0].line), width=80)
    assert all(len(line) <= 80 for line in lines if "http" not in line)
    text = " ".join(" ".join(lines).split())
    for part in (
        "421 4.7.28",
        "mail flood detected",
        "Gmail",
        "temporary",
        REPLIES[0].meaning,
        "row gmail-rate-address",
    ):
        assert part in text
