# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which receivers get delivery processes of their own: those that do not answer, by what the queue says."""

from __future__ import annotations

import json
import runpy

import pytest
import render

NOW = 1_800_000_000
script = runpy.run_path(str(render.ROLES / "postfix/files/sendyard_unanswered.py"))

TIMEOUT = "connect to mx.dead.example[2001:db8::1]:25: Connection timed out"
NO_DNS = "Host or domain name not found. Name service error for name=dead.example type=MX: Host not found, try again"
SUSPENDED = f"delivery temporarily suspended: {TIMEOUT}"
BUSY = "host mx.dead.example[2001:db8::1] refused to talk to me: 421 4.7.0 later"
GREYLISTED = "host mx.dead.example[2001:db8::1] said: 450 4.2.0 later (in reply to RCPT TO command)"


def domains(queue: list[str], before: set[str]) -> set[str]:
    """What the script finds now."""
    found: set[str] = script["domains"](queue, before, {"mx1.yard.example"}, NOW)
    return found


def line(address: str, reason: str = "", *, age: int = 3600) -> str:
    """One message for one recipient, `age` seconds old, as `postqueue -j` has it."""
    recipient = {"address": address} | ({"delay_reason": reason} if reason else {})
    queue_name = "deferred" if reason else "active"
    return json.dumps({"queue_name": queue_name, "arrival_time": NOW - age, "recipients": [recipient]})


@pytest.mark.parametrize("reason", [TIMEOUT, NO_DNS, SUSPENDED])
def test_who_says_nothing_is_named(reason: str) -> None:
    assert domains([line("a@Dead.example", reason)], set()) == {"dead.example"}


@pytest.mark.parametrize("reason", [BUSY, GREYLISTED, f"delivery temporarily suspended: {BUSY}"])
def test_who_says_no_is_not(reason: str) -> None:
    assert domains([line("a@dead.example", reason)], {"dead.example"}) == set()


def test_one_that_answers_somebody_answers() -> None:
    assert domains([line("a@dead.example", TIMEOUT), line("b@dead.example", GREYLISTED)], set()) == set()


def test_what_is_being_tried_stays_named_and_what_is_done_with_does_not() -> None:
    assert domains([line("a@dead.example")], {"dead.example", "gone.example"}) == {"dead.example"}
    assert domains([line("a@new.example")], set()) == set()


def test_nothing_that_would_be_another_entry_is_named() -> None:
    assert domains([line("a@[192.0.2.1]", TIMEOUT), line("a@b c", TIMEOUT), line('"a\nb"@', TIMEOUT)], set()) == set()


def test_one_lost_connection_is_no_reason_and_fresh_mail_keeps_nobody_named() -> None:
    assert domains([line("a@large.example", TIMEOUT, age=300)], set()) == set()
    assert domains([line("a@large.example", age=2)], {"large.example"}) == set()


def test_the_hosts_own_domains_are_never_named() -> None:
    full = "maildir delivery failed: No space left on device"
    assert domains([line("postmaster@mx1.yard.example", full)], {"mx1.yard.example"}) == set()
