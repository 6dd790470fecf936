# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give receivers that do not answer delivery processes of their own, so that no other mail waits behind them.

A receiver that drops connections holds a delivery process for half a minute, and Postfix takes messages in the order in
which they came into its active queue: with mail for thousands of such receivers due, all processes wait for them, and
fresh mail for everybody else waits for a process. A transport map names the domains whose receivers did not answer; it
is made anew from the queue, which knows why a message waits, and from the log, which knows who took one.

They are named when their mail has failed once, since the queue forgets why as soon as it is tried again, and messages
that are in the active queue by then keep the processes that they were given.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

TABLE = Path("/var/lib/sendyard/postfix/unanswered")
LOG = Path("/var/log/sendyard/postfix.log")
TRANSPORT = "unanswered:"
RECENT = 600  # seconds: who took a message so lately answers, and lost a connection or two
TAIL = 32 << 20  # octets of the log that are read at most: a minute at 300 messages a second
# A receiver that says something, were it 421, holds a process for a moment only.
_ANSWERED = re.compile(r" (said|refused to talk to me): ")
_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SENT = re.compile(rb"^(.{12}):\d\d \S+ postfix/\S*smtp\[\d+\]: \w+: to=<[^>]*@([^>]+)>.* status=sent ", re.MULTILINE)


def domains(queue: Iterable[str], before: set[str], answering: set[str]) -> set[str]:
    """The domains that do not answer, by the lines of `postqueue -j` and by which were so `before`.

    Not those that are `answering`, of which the queue need not know. Of a message that is being tried again the queue
    does not say why it waited, so that what is known holds until the receiver answers or no mail for it is left.
    """
    silent, answered, waiting = set(), set(), set()
    for line in queue:
        for recipient in json.loads(line)["recipients"]:
            domain = recipient["address"].rpartition("@")[2].lower()
            if not _DOMAIN.fullmatch(domain):
                continue
            waiting.add(domain)
            if reason := recipient.get("delay_reason", ""):
                (answered if _ANSWERED.search(reason) else silent).add(domain)
    return (silent | (before & waiting)) - answered - answering


def took(log: bytes, now: float) -> set[str]:
    """The domains whose receivers have taken a message lately, by the lines of Postfix's log."""
    minutes = {time.strftime("%b %e %H:%M", time.localtime(now - ago)).encode() for ago in range(0, RECENT + 60, 60)}
    return {domain.decode("ascii", "replace").lower() for minute, domain in _SENT.findall(log) if minute in minutes}


def tail(path: Path) -> bytes:
    """The end of a file; nothing where there is none, as when it was just rotated."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read()
    except FileNotFoundError:
        return b""


def main() -> None:
    """Make the table anew, where it would be another."""
    before = {line.split()[0] for line in TABLE.read_text().splitlines()} if TABLE.exists() else set()
    listed = subprocess.run(["postqueue", "-j"], capture_output=True, check=True, text=True, timeout=120)
    asked = ["postconf", "-hx", "mydestination", "virtual_mailbox_domains"]
    own = subprocess.run(asked, capture_output=True, check=True, text=True, timeout=20)
    # Mail of the host's own that waits for a mailbox would come back from the network.
    answering = {*own.stdout.replace(",", " ").lower().split()} | took(tail(LOG), time.time())
    now = domains(listed.stdout.splitlines(), before, answering)
    if now == before and TABLE.with_name(f"{TABLE.name}.lmdb").exists():
        return
    new = TABLE.with_name(f"{TABLE.name}.new")
    new.write_text("".join(f"{domain} {TRANSPORT}\n" for domain in sorted(now)))
    new.replace(TABLE)
    subprocess.run(["postmap", f"lmdb:{TABLE}"], check=True, timeout=120)
    print(f"{len(now)} domains whose receivers do not answer; {len(before)} before")


if __name__ == "__main__":
    main()
