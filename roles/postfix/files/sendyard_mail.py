# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the mail that this host keeps for itself: postmaster (and root), abuse, and what comes back as bounces.

It is stored, never forwarded: who complains sends what a spam filter takes for spam, and forwarding that hurts the
host's own reputation. Age and size are bounded by `sendyard-mail trim`, which a timer runs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

STORE = Path("/var/mail/sendyard")
MAILBOXES = ("postmaster", "abuse", "bounces")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, order=True)
class Message:
    """One stored message: when it came (seconds since the epoch), its size in bytes, its file."""

    arrived: float
    size: int
    path: Path


def messages(mailbox: Path) -> list[Message]:
    """The messages of maildir `mailbox`, oldest first; none where it does not exist yet."""
    found = []
    for directory in ("new", "cur"):
        with suppress(FileNotFoundError):
            for entry in os.scandir(mailbox / directory):
                with suppress(FileNotFoundError):  # trimmed meanwhile
                    status = entry.stat(follow_symlinks=False)
                    found.append(Message(status.st_mtime, status.st_size, Path(entry.path)))
    return sorted(found)


def surplus(kept: Iterable[Message], *, before: float, max_size: int) -> Iterator[Message]:
    """What must go, of messages sorted by age: all older than `before`, then the oldest until `max_size` bytes stay."""
    everything = list(kept)
    total = sum(message.size for message in everything)
    for message in everything:
        if message.arrived >= before and total <= max_size:
            return
        total -= message.size
        yield message


def trim(store: Path, *, now: float, max_age_days: int, max_size: int) -> int:
    """Remove what is too old, and the oldest of what is too much in each mailbox. Returns how many messages went."""
    removed = 0
    for name in MAILBOXES:
        for message in surplus(messages(store / name), before=now - max_age_days * 86400, max_size=max_size):
            message.path.unlink(missing_ok=True)
            removed += 1
    return removed


def write_mbox(kept: Iterable[Message], out: BinaryIO) -> None:
    """Write the messages as an mbox (mboxrd: RFC 4155, with quoting that can be undone)."""
    for message in kept:
        with suppress(FileNotFoundError):
            content = message.path.read_bytes()
            when = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(message.arrived))
            out.write(f"From MAILER-DAEMON {when}\n".encode())
            out.write(re.sub(rb"(?m)^(>*From )", rb">\1", content))
            out.write(b"\n" if content.endswith(b"\n") else b"\n\n")


def overview(store: Path) -> str:
    """One line a mailbox: how many messages, how many bytes, when the newest came."""
    lines = []
    for name in MAILBOXES:
        kept = messages(store / name)
        newest = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(kept[-1].arrived)) if kept else "-"
        lines.append(f"{name:<12}{len(kept):>8} messages{sum(m.size for m in kept):>14} bytes   newest {newest}")
    return "\n".join(lines)


def size(text: str) -> int:
    """Bytes of a size like 200M. Raises ArgumentTypeError where it is none."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: a number, with K, M or G behind it if you like")
    return int(match[1]) * UNITS[match[2]]


def options(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Print the stored mail of a mailbox as an mbox, or without one what there is.",
        epilog="Read it with: sendyard-mail bounces > /tmp/b && mutt -R -f /tmp/b",
    )
    parser.add_argument("--store", type=Path, default=STORE, help=argparse.SUPPRESS)
    what = parser.add_subparsers(dest="what", metavar="{postmaster,abuse,bounces,trim}")
    for name in MAILBOXES:
        read = what.add_parser(name, help=f"print the mail of {name}, oldest first")
        read.add_argument("--last", type=int, metavar="N", help="only the newest N messages")
    bound = what.add_parser("trim", help="remove what is too old or too much")
    bound.add_argument("--max-age-days", type=int, required=True)
    bound.add_argument("--max-size", type=size, required=True, help="of each mailbox, like 200M")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit code."""
    chosen = options(arguments)
    try:
        if chosen.what is None:
            print(overview(chosen.store))
        elif chosen.what == "trim":
            removed = trim(chosen.store, now=time.time(), max_age_days=chosen.max_age_days, max_size=chosen.max_size)
            if removed:
                print(f"removed {removed} messages")
        else:
            kept = messages(chosen.store / chosen.what)
            write_mbox(kept[-chosen.last :] if chosen.last else kept, sys.stdout.buffer)
    except PermissionError as error:
        print(f"sendyard-mail: {error.filename} may be read by root only: run it with sudo", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader (head, less) has seen enough
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
