# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Limits of a login and a domain, for tests: small ones for a while, and what a message is answered with then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

import lab_api
from lab_hosts import Login, Sender
from lab_submission import logged_in, submit

OWNERS = "/etc/sendyard/owners"
STATE = "/var/lib/sendyard-gate/sent.json"
GATE = "sendyard-gate.service"
DROP_IN = f"/run/systemd/system/{GATE}.d/test-limits.conf"
MANY = [f"list{number}@rx.example" for number in range(3)]


def domain_of(login: Login) -> str:
    return login.domains[0]


def message(login: Login) -> bytes:
    """A message of the login's, that can be told from any other."""
    composed = EmailMessage()
    composed["From"] = f"app@{domain_of(login)}"
    composed["To"] = "list@rx.example"
    composed["Subject"] = f"limits {lab_api.token()}"
    composed.set_content("One of many.\n")
    return composed.as_bytes().replace(b"\n", b"\r\n")


def send(sender: Sender, login: Login, recipients: list[str]) -> tuple[int, str]:
    """Code and text with which a message is answered."""
    with logged_in(sender, login) as session:
        reply = submit(session, f"app@{domain_of(login)}", recipients, message(login))
    return reply.code, reply.text


def events(sender: Sender, name: str) -> list[str]:
    """The gate's events about `name`."""
    lines = lab_api.root(sender.name, "journalctl", "--unit", GATE, "--output=cat", "--boot").stdout.splitlines()
    return [line for line in lines if line.startswith("event ") and name in line]


@contextmanager
def allowance(sender: Sender, domain: str, hourly: int, daily: int) -> Iterator[None]:
    """Limits of a domain's own, as a run would write them, with nothing counted yet; the file is as before then."""
    path = f"{OWNERS}/{domain}"
    # The stamp of the file too: the next run must find nothing to repair.
    lab_api.root(sender.name, "cp", "--preserve", path, "/run/owners-before")
    logins = lab_api.root(sender.name, "head", "-n1", path).stdout
    lab_api.root(sender.name, "tee", path, stdin=f"{logins}{hourly} {daily}\n")
    forget(sender)
    try:
        yield
    finally:
        lab_api.root(sender.name, "mv", "/run/owners-before", path)
        forget(sender)


def forget(sender: Sender) -> None:
    """Have the gate start with no counts. Killed, it writes none; told to stop, it would take five seconds over it."""
    lab_api.root(sender.name, "rm", "-f", STATE)
    before = main_pid(sender)
    lab_api.root(sender.name, "systemctl", "kill", "--signal=KILL", GATE)
    lab_api.until(lambda: main_pid(sender) not in {before, "0"}, what="another gate")
    lab_api.root(sender.name, "systemctl", "start", GATE)  # returns when Postfix can reach it


def main_pid(sender: Sender) -> str:
    """The process of the gate, "0" where it does not run."""
    return lab_api.root(sender.name, "systemctl", "show", "--property=MainPID", "--value", GATE).stdout.strip()
