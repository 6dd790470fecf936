# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import queue_trace

PREFIX = "Nov 24 00:00:01 mx1 postfix/smtp[123]: "
SENT = (
    f"{PREFIX}4cABC1: to=<a@rx.example>, relay=mx.rx.example[192.0.2.9]:25, delay=0.5, delays=0.1/0/0.2/0.2, "
    "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 969B (with parens))\n"
)
DEFERRED = (
    f"{PREFIX}4cABC1: to=<a@rx.example>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, status=deferred "
    "(connect to mx.rx.example[192.0.2.9]:25: Connection timed out)\n"
)
BOUNCED = (
    f"{PREFIX}4cABC1: to=<a@rx.example>, relay=mx.rx.example[192.0.2.9]:25, conn_use=2, delay=1, dsn=5.7.1, "
    "status=bounced (host mx.rx.example[192.0.2.9] said: 550 5.7.25 no PTR (in reply to MAIL FROM command))\n"
)
FOREIGN = SENT.replace("4cABC1", "4cOTHER")


@pytest.mark.parametrize(
    ("lines", "verdict", "evidence"),
    [
        ([FOREIGN, SENT], Verdict.PASS, "mx.rx.example[192.0.2.9]:25 said: 250 2.0.0 Ok: queued as 969B (with parens)"),
        ([DEFERRED], Verdict.UNKNOWN, "put off, it stays in the queue: connect to"),
        ([BOUNCED], Verdict.FAIL, "bounced: host mx.rx.example[192.0.2.9] said: 550 5.7.25 no PTR"),
        ([DEFERRED, SENT], Verdict.PASS, "250 2.0.0 Ok"),
        ([FOREIGN], Verdict.UNKNOWN, "no attempt"),
    ],
)
def test_the_last_attempt_tells(tmp_path: Path, lines: list[str], verdict: Verdict, evidence: str) -> None:
    log = tmp_path / "postfix.log"
    log.write_text("".join(lines))
    found = queue_trace.follow(log, ["4cABC1"], deadline=0)
    outcome = queue_trace.outcome("4cABC1", "acme.example", found.get("4cABC1"))
    assert (outcome.check, outcome.verdict, outcome.subject) == ("delivered.accepted", verdict, "acme.example")
    assert evidence in outcome.evidence


def test_a_line_that_is_written_in_pieces_across_a_rotation_is_read(tmp_path: Path) -> None:
    log = tmp_path / "postfix.log"
    log.write_text("old\n")

    def write() -> None:
        time.sleep(0.15)
        log.rename(tmp_path / "postfix.log.1")
        with log.open("w") as new:
            new.write(SENT[:50])
            new.flush()
            time.sleep(0.15)
            new.write(SENT[50:])

    writer = threading.Thread(target=write)
    writer.start()
    found = queue_trace.follow(log, ["4cABC1"], deadline=10, pause=0.05)
    writer.join()
    assert found["4cABC1"].status == "sent"


def test_following_ends_at_its_deadline(tmp_path: Path) -> None:
    started = time.monotonic()
    assert queue_trace.follow(tmp_path / "none", ["4cABC1"], deadline=0.3, pause=0.05) == {}
    assert time.monotonic() - started < 3
