# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which receivers get delivery processes of their own: those that do not answer, by what the queue says."""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path

import pytest
import render
import yaml

NOW = 1_800_000_000
script = runpy.run_path(str(render.ROLES / "postfix/files/sendyard_unanswered.py"))

TIMEOUT = "connect to mx.dead.example[2001:db8::1]:25: Connection timed out"
NO_DNS = "Host or domain name not found. Name service error for name=dead.example type=MX: Host not found, try again"
SUSPENDED = f"delivery temporarily suspended: {TIMEOUT}"
BUSY = "host mx.dead.example[2001:db8::1] refused to talk to me: 421 4.7.0 later"
GREYLISTED = "host mx.dead.example[2001:db8::1] said: 450 4.2.0 later (in reply to RCPT TO command)"


def domains(queue: list[str], before: set[str]) -> set[str]:
    """What the script finds now."""
    found: set[str] = script["domains"](queue, before, {"mx1.yard.example", "large.example"})
    return found


def line(address: str, reason: str = "") -> str:
    """One message for one recipient, as `postqueue -j` has it."""
    recipient = {"address": address} | ({"delay_reason": reason} if reason else {})
    queue_name = "deferred" if reason else "active"
    return json.dumps({"queue_name": queue_name, "arrival_time": NOW, "recipients": [recipient]})


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


def test_of_one_that_answers_others_a_lost_connection_is_no_reason() -> None:
    assert domains([line("a@large.example", TIMEOUT)], set()) == set()
    assert domains([line("a@large.example")], {"large.example"}) == set()


def test_the_hosts_own_domains_are_never_named() -> None:
    full = "maildir delivery failed: No space left on device"
    assert domains([line("postmaster@mx1.yard.example", full)], {"mx1.yard.example"}) == set()


def logged(address: str, status: str, *, ago: int, by: str = "smtp", mark: str = "") -> str:
    """What Postfix logs of a delivery `ago` seconds before NOW."""
    at = time.strftime("%b %e %H:%M:%S", time.localtime(NOW - ago))
    head = (
        f"{at} mx1 postfix/{by}[359]: 4jb77l5HkFzPbZ8: to=<{address}>,{mark} relay=mx.example[192.0.2.1]:25, delay=5.1,"
    )
    return f"{head} delays=5/0/0.05/0.09, dsn=2.0.0, status={status} (250 2.0.0 Ok: queued as C2FC92BC281)\n"


def test_who_took_a_message_lately_answers() -> None:
    log = "".join((
        logged("a@Lately.example", "sent", ago=500),
        logged("a@slow.example", "sent", ago=5, by="unanswered/smtp"),
        logged("a@alias.example", "sent", ago=5, mark=" orig_to=<b@other.example>,"),
        logged("a@long-ago.example", "sent", ago=3600),
        logged("a@yesterday.example", "sent", ago=86400),
        logged("a@dead.example", "deferred", ago=5),
        logged("postmaster@own.example", "sent", ago=5, by="virtual"),
    ))  # fmt: skip
    taken: set[str] = script["took"](log.encode(), NOW)
    assert taken == {"lately.example", "slow.example", "alias.example"}


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert script["tail"](log) == b""
    log.write_bytes(b"x" * script["TAIL"] + b"the end")
    assert script["tail"](log) == b"x" * (script["TAIL"] - 7) + b"the end"
    log.write_bytes(b"")
    assert script["tail"](log) == b""


def test_its_places_are_the_roles() -> None:
    places = yaml.safe_load((render.ROLES / "postfix/vars/main.yml").read_text())
    assert str(script["TABLE"]) == places["__postfix_unanswered"]
    assert str(script["LOG"]) == places["__postfix_log_file"]
