# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Every way by which a user of a host may try to send mail from it. Runs on the host, as that user.

Input: {"addresses", "authors", "recipient"} as JSON, the first argument. Output: [[way, refused, what was said]].
"""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

QUEUE = Path("/var/spool/postfix")
PORTS = (25, 587, 465, 2525)
# Sockets behind which a message would be taken as it is, or judged for somebody else.
SOCKETS = (
    "public/cleanup",
    "public/pickup",
    "public/qmgr",
    "private/smtp",
    "private/virtual",
    "private/auth",
    "gate/gate.sock",
    "opendkim/opendkim.sock",
)
Answer = tuple[str, bool, str]
Way = Callable[[], Answer]


def command(way: str, *argv: str, stdin: str | bytes = "", environment: dict[str, str] | None = None) -> Answer:
    """Run a program; it has refused where it ends with something else than 0."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(argv, input=given, capture_output=True, check=False, timeout=60, env=environment)
    return way, done.returncode != 0, f"{done.returncode}: {(done.stderr + done.stdout).decode(errors='replace')}"


def attempt(way: str, act: Callable[[], str]) -> Answer:
    """Do something; it was refused where the kernel says so."""
    try:
        return way, False, act()
    except OSError as error:
        return way, isinstance(error, PermissionError), str(error)


def by_sendmail(authors: list[str], recipient: str) -> Iterator[Way]:
    """sendmail(1) in each of its modes."""
    sendmail = "/usr/sbin/sendmail"
    for author in authors:
        content = f"From: {author}\nTo: {recipient}\nSubject: {recipient}\n\nHello.\n"
        yield partial(command, f"sendmail -f {author}", sendmail, "-f", author, recipient, stdin=content)
        yield partial(command, f"sendmail -t -f {author}", sendmail, "-t", "-f", author, stdin=content)
        yield partial(command, f"sendmail -t, From: {author}", sendmail, "-t", stdin=content)
        yield partial(command, f"sendmail -f <>, From: {author}", sendmail, "-f", "", recipient, stdin=content)
        dialogue = f"EHLO x\r\nMAIL FROM:<{author}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n{content}.\r\nQUIT\r\n"
        yield partial(command, f"sendmail -bs, From: {author}", sendmail, "-bs", stdin=dialogue)
        yield partial(
            command, f"postdrop, From: {author}", "/usr/sbin/postdrop", "-r", stdin=record(author, recipient, content)
        )


def record(author: str, recipient: str, content: str) -> bytes:
    """A queue file by hand, which claims that a login has sent it (the format of Postfix's rec_type.h)."""

    def one(kind: str, data: str = "") -> bytes:
        return kind.encode() + bytes([len(data)]) + data.encode()

    lines = [one("N", line) for line in content.splitlines()]
    envelope = [one("T", "1700000000"), one("A", f"sasl_username={author}"), one("S", author), one("R", recipient)]
    return b"".join([*envelope, one("M"), *lines, one("X"), one("E")])


def by_the_queue(author: str, recipient: str) -> Iterator[Way]:
    """The queue's directories, sockets and programs."""
    content = record(author, recipient, f"From: {author}\n\nHello.")
    yield partial(attempt, "a file in maildrop", lambda: str((QUEUE / "maildrop" / "0123456789").write_bytes(content)))
    for name in SOCKETS:

        def connect(path: Path = QUEUE / name) -> str:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            return "connected"

        yield partial(attempt, f"the socket {name}", connect)
    yield partial(command, "mailq", "/usr/bin/mailq")
    yield partial(command, "sendmail -bp", "/usr/sbin/sendmail", "-bp")
    yield partial(command, "sendmail -q", "/usr/sbin/sendmail", "-q")
    yield partial(command, "postqueue -f", "/usr/sbin/postqueue", "-f")
    yield partial(command, "postqueue -j", "/usr/sbin/postqueue", "-j")
    yield partial(command, "postsuper -r ALL", "/usr/sbin/postsuper", "-r", "ALL")
    yield partial(command, "postfix flush", "/usr/sbin/postfix", "flush")


def by_another_configuration(directory: str, author: str, recipient: str) -> Iterator[Way]:
    """Programs with the group's rights, told to read a main.cf of the user's own in `directory`."""
    content = f"From: {author}\nTo: {recipient}\n\nHello.\n"
    (Path(directory) / "main.cf").write_text("authorized_submit_users = static:x\nauthorized_mailq_users = static:x\n")
    (Path(directory) / "master.cf").write_text("")
    for path in (Path(directory), *Path(directory).iterdir()):
        path.chmod(0o755)
    environment = {"MAIL_CONFIG": directory, "PATH": "/usr/sbin:/usr/bin"}
    by_hand = record(author, recipient, content)
    yield partial(command, "sendmail -C", "/usr/sbin/sendmail", "-C", directory, "-f", author, recipient, stdin=content)
    yield partial(command, "MAIL_CONFIG", "/usr/sbin/sendmail", recipient, stdin=content, environment=environment)
    yield partial(command, "postdrop -c", "/usr/sbin/postdrop", "-c", directory, "-r", stdin=by_hand)
    yield partial(command, "postqueue -c", "/usr/sbin/postqueue", "-c", directory, "-j")


def by_smtp(address: str, port: int, sender: str, recipient: str) -> Answer:
    """A session without a login, as far as it goes."""
    way = f"[{address}]:{port}, MAIL FROM:<{sender}>"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opened = smtplib.SMTP_SSL(context=context, timeout=60) if port == 465 else smtplib.SMTP(timeout=60)
    opened._host = address  # what smtplib does itself when it connects while it is made
    with opened:
        opened.connect(address, port)
        opened.ehlo("localhost")
        if port in (587, 2525):
            opened.starttls(context=context)
            opened.ehlo("localhost")
        code, said = opened.docmd(f"MAIL FROM:<{sender}>")
        if code < 400:
            code, said = opened.docmd(f"RCPT TO:<{recipient}>")
    return way, code >= 500, f"{code} {said.decode(errors='replace')}"


def main() -> None:
    """Try everything."""
    order = json.loads(sys.argv[1])
    authors, recipient = order["authors"], order["recipient"]
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(16) as pool:
        ways = [
            *by_sendmail(authors, recipient),
            *by_the_queue(authors[0], recipient),
            *by_another_configuration(directory, authors[0], recipient),
            *(partial(by_smtp, *place, recipient) for place in product(order["addresses"], PORTS, (authors[0], ""))),
        ]
        answers = list(pool.map(lambda way: way(), ways))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
