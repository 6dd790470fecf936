# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow messages through Postfix's log to the receiver's reply. Runs on the host; standard library only."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SendyardError
from ..scorecard import Outcome, Verdict

# A delivery's line: "…/smtp[12]: 4ABC: to=<a@b>, relay=mx.b[1.2.3.4]:25, …, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
DELIVERY = re.compile(
    r"\]: (?P<queue_id>[0-9A-Za-z]+): to=<(?P<recipient>[^>]*)>, .*?relay=(?P<relay>[^,]+), .*?"
    r"dsn=(?P<dsn>[0-9.]+), status=(?P<status>\w+) \((?P<reply>.*)\)$"
)
TAIL = 16 * 1024 * 1024  # bytes: what is looked for was written moments ago


class TraceError(SendyardError):
    """The log cannot be read."""


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver, as Postfix tells it."""

    queue_id: str
    relay: str
    status: str  # sent, bounced, deferred, expired
    reply: str

    @property
    def final(self) -> bool:
        return self.status != "deferred"


def deliveries(lines: Iterable[str], queue_ids: Sequence[str]) -> dict[str, Delivery]:
    """The last attempt of each of `queue_ids` that `lines` tell of."""
    found: dict[str, Delivery] = {}
    for line in lines:
        match = DELIVERY.search(line.rstrip("\n"))
        if match and match["queue_id"] in queue_ids:
            found[match["queue_id"]] = Delivery(match["queue_id"], match["relay"], match["status"], match["reply"])
    return found


def _new_lines(log: Path, end: float, pause: float) -> Iterator[list[str]]:
    """Whole lines of `log`, from TAIL bytes before its end on, as they come; ends at `end` (time.monotonic()).

    When the log is rotated, the new file is read from its beginning.
    """
    inode, position, rest = 0, 0, b""
    while True:
        try:
            with log.open("rb") as opened:
                status = os.fstat(opened.fileno())
                if status.st_ino != inode:
                    position = 0 if inode else max(0, status.st_size - TAIL)
                    inode, rest = status.st_ino, b""
                opened.seek(position)
                data = opened.read()
                position += len(data)
        except FileNotFoundError:
            data = b""  # between rotation and the first line after it
        except OSError as error:
            raise TraceError(f"{log} cannot be read: {error.strerror}") from error
        *whole, rest = (rest + data).split(b"\n")
        yield [line.decode(errors="replace") for line in whole]
        if time.monotonic() >= end:
            return
        time.sleep(pause)


def follow(log: Path, queue_ids: Sequence[str], *, deadline: float, pause: float = 0.5) -> dict[str, Delivery]:
    """Follow `log` until each of `queue_ids` has left the queue, or `deadline` seconds are over.

    Returns the last attempt of each; one that was not tried at all is missing.

    Raises:
        TraceError: the log cannot be read.
    """
    found: dict[str, Delivery] = {}
    for lines in _new_lines(log, time.monotonic() + deadline, pause):
        found.update(deliveries(lines, queue_ids))
        if all(queue_id in found and found[queue_id].final for queue_id in queue_ids):
            break
    return found


def outcome(queue_id: str, subject: str, delivery: Delivery | None) -> Outcome:
    """What became of a message of `subject`: accepted with 250, refused, or still waiting."""

    def told(verdict: Verdict, evidence: str) -> Outcome:
        return Outcome("delivered.accepted", verdict, subject, f"{queue_id}: {evidence}")

    if delivery is None:
        return told(Verdict.UNKNOWN, "no attempt to deliver it within the deadline; see `postqueue -p` on the host")
    # What a receiver refused, Postfix quotes with its name; what it accepted, without.
    if delivery.status == "sent":
        return told(Verdict.PASS, f"{delivery.relay} said: {delivery.reply}")
    if delivery.status == "deferred":
        # Greylisting and a receiver's own trouble look like this, a block of ours too: the reply tells, not we.
        return told(Verdict.UNKNOWN, f"put off, it stays in the queue: {delivery.reply}")
    return told(Verdict.FAIL, f"{delivery.status}: {delivery.reply}")
