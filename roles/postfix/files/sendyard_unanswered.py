# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give receivers that do not answer delivery processes of their own, so that no other mail waits behind them.

A receiver that drops connections holds a delivery process for half a minute, and Postfix takes messages in the order in
which they came into its active queue: with mail for thousands of such receivers due, all processes wait for them, and
fresh mail for everybody else waits for a process. A transport map names the domains whose receivers did not answer; it
is made anew from the queue, which knows why a message waits.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

TABLE = Path("/var/lib/sendyard/postfix/unanswered")
TRANSPORT = "unanswered:"
OLD = 600  # seconds: by then a message was tried again at least once; one lost connection is no reason
# A receiver that says something, were it 421, holds a process for a moment only.
_ANSWERED = re.compile(r" (said|refused to talk to me): ")
_DOMAIN = re.compile(r"[a-z0-9._-]+")


def domains(queue: Iterable[str], before: set[str], own: set[str], now: float) -> set[str]:
    """The domains that do not answer, by the lines of `postqueue -j`, by which were so `before`, and the time.

    Never those that are the host's `own`: sent into the network, mail that waits for a mailbox here would come back.

    Of a message that is being tried again the queue does not say why it waited, so that what is known holds until the
    receiver answers or no old mail for it is left. Mail that has just come says nothing: a large receiver always has
    some.
    """
    silent, answered, waiting = set(), set(), set()
    for line in queue:
        message = json.loads(line)
        if message["arrival_time"] > now - OLD:
            continue
        for recipient in message["recipients"]:
            domain = recipient["address"].rpartition("@")[2].lower()
            if not _DOMAIN.fullmatch(domain):
                continue
            waiting.add(domain)
            if reason := recipient.get("delay_reason", ""):
                (answered if _ANSWERED.search(reason) else silent).add(domain)
    return (silent | (before & waiting)) - answered - own


def main() -> None:
    """Make the table anew, where it would be another."""
    before = {line.split()[0] for line in TABLE.read_text().splitlines()} if TABLE.exists() else set()
    listed = subprocess.run(["postqueue", "-j"], capture_output=True, check=True, text=True, timeout=120)
    asked = ["postconf", "-hx", "mydestination", "virtual_mailbox_domains"]
    own = subprocess.run(asked, capture_output=True, check=True, text=True, timeout=20)
    now = domains(listed.stdout.splitlines(), before, {*own.stdout.replace(",", " ").lower().split()}, time.time())
    if now == before and TABLE.with_name(f"{TABLE.name}.lmdb").exists():
        return
    new = TABLE.with_name(f"{TABLE.name}.new")
    new.write_text("".join(f"{domain} {TRANSPORT}\n" for domain in sorted(now)))
    new.replace(TABLE)
    subprocess.run(["postmap", f"lmdb:{TABLE}"], check=True, timeout=120)
    print(f"{len(now)} domains whose receivers do not answer; {len(before)} before")


if __name__ == "__main__":
    main()
