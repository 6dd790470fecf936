# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A client of many sessions, to be run by a lab host's python3: an order as JSON on its standard input.

{"host", "port", "sessions", "messages", "per_connection", "size", "senders" and "recipients": lists to go through,
"login": null or [username, password], with which it speaks TLS}. `size` is that of a message in bytes. Prints one JSON
object: {"seconds", "replies": {text of the reply to a message: count}}.
"""

from __future__ import annotations

import collections
import json
import smtplib
import ssl
import sys
import threading
import time

LINE = b"Nothing in here is worth reading, but it has to be read and signed.\r\n"
TIMEOUT = 60.0  # seconds for each reply


def turn(order: dict[str, object], key: str, number: int) -> str:
    """Whose turn it is with message `number`."""
    addresses = order[key]
    assert isinstance(addresses, list)
    return str(addresses[number % len(addresses)])


def content(order: dict[str, object], number: int) -> bytes:
    """A message of the size that is wanted."""
    head = (
        f"From: {turn(order, 'senders', number)}\r\nTo: list@example.com\r\nSubject: number {number}\r\n"
        f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}.{time.monotonic_ns()}@bench.example>\r\n\r\n"
    ).encode()
    return head + LINE * ((int(str(order["size"])) - len(head)) // len(LINE))


def connected(order: dict[str, object], context: ssl.SSLContext) -> smtplib.SMTP:
    """A session that may send."""
    session = smtplib.SMTP(
        str(order["host"]), int(str(order["port"])), local_hostname="client.example", timeout=TIMEOUT
    )
    session.ehlo()
    if order["login"]:
        session.starttls(context=context)
        session.ehlo()
        session.login(*order["login"])  # type: ignore[misc]
    return session


def work(order: dict[str, object], numbers: list[int], replies: collections.Counter[str]) -> None:
    """Send some messages, one after the other."""
    context = ssl._create_unverified_context()  # noqa: S323  # what is measured is the server
    per_connection = int(str(order["per_connection"]))
    for start in range(0, len(numbers), per_connection):
        session = connected(order, context)
        for number in numbers[start : start + per_connection]:
            session.mail(turn(order, "senders", number))
            session.rcpt(turn(order, "recipients", number))
            code, text = session.data(content(order, number))
            replies[f"{code} {text.decode(errors='replace').partition(' as ')[0]}"] += 1
        session.quit()


def main() -> None:
    order = json.load(sys.stdin)
    replies: collections.Counter[str] = collections.Counter()
    share = [list(range(first, order["messages"], order["sessions"])) for first in range(order["sessions"])]
    threads = [threading.Thread(target=work, args=(order, numbers, replies)) for numbers in share]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.monotonic() - began, "replies": replies}))


if __name__ == "__main__":
    main()
