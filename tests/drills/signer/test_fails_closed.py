# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whatever becomes of gate, signer, owners or keys: mail waits with the client, and goes again when it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from drills.machines import Sender, wait_for
from drills.signer.submission import send

UNITS = {
    "sendyard-gate": "/var/spool/postfix/gate/gate.sock",
    "sendyard-opendkim": "/var/spool/postfix/opendkim/opendkim.sock",
}
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@contextmanager
def harm(sender: Sender, command: str, mend: str) -> Iterator[None]:
    """Run `command` in a shell on the sender for the body, and `mend` after it."""
    sender.run("sh", "-ec", command)
    try:
        yield
    finally:
        sender.run("sh", "-ec", mend)


def waits(sender: Sender, author: str = "app@acme.example") -> None:
    """The message is answered with 4xx."""
    reply = send(sender, author, login=author)
    assert 400 <= reply.code < 500, reply


def passes(sender: Sender, author: str = "app@acme.example") -> None:
    """The message is taken, now or within seconds."""
    wait_for("a 250", lambda: send(sender, author, login=author).code == 250, deadline=20)


@pytest.fixture(autouse=True)
def all_is_well(sender: Sender) -> Iterator[None]:
    """Before and after each test the message passes."""
    passes(sender)
    yield
    passes(sender)


@pytest.mark.parametrize("unit", UNITS)
def test_stopped(sender: Sender, unit: str) -> None:
    with harm(sender, f"systemctl stop {unit}", f"systemctl start {unit}"):
        waits(sender)


@pytest.mark.parametrize("unit", UNITS)
def test_hung(sender: Sender, unit: str) -> None:
    with harm(sender, f"systemctl kill -s STOP {unit}", f"systemctl kill -s CONT {unit}"):
        waits(sender)


@pytest.mark.parametrize("unit", UNITS)
def test_killed_it_comes_back_by_itself(sender: Sender, unit: str) -> None:
    before = sender.run("systemctl", "show", "-P", "MainPID", unit)
    sender.run("systemctl", "kill", "-s", "KILL", unit)
    wait_for(
        f"{unit} to be back",
        lambda: (
            sender.run("systemctl", "is-active", unit, check=False).strip() == "active"
            and sender.run("systemctl", "show", "-P", "MainPID", unit) != before
        ),
    )


def test_the_owners_are_gone(sender: Sender) -> None:
    directory = "/etc/sendyard/owners"
    with harm(sender, f"mv {directory} {directory}.away", f"mv {directory}.away {directory}"):
        waits(sender)


def test_an_owners_file_cannot_be_read(sender: Sender) -> None:
    path = "/etc/sendyard/owners/acme.example"
    with harm(sender, f"chmod 0 {path}", f"chmod 644 {path}"):
        waits(sender)
        passes(sender, "app@globex.example")


def test_an_owners_file_is_gone_the_login_owns_nothing(sender: Sender) -> None:
    path = "/etc/sendyard/owners/acme.example"
    with harm(sender, f"mv {path} /root/", f"mv /root/acme.example {path}"):
        assert send(sender).code == 550


@pytest.mark.parametrize("fault", ["mv {key} /root/", "chmod 644 {key}", "chown root {key}", "sh -c ': > {key}'"])
def test_a_key_is_missing_or_unsafe(sender: Sender, fault: str) -> None:
    key = "/etc/opendkim/keys/acme.example.pem"
    save = f"cp -p {key} /root/saved.pem; {fault.format(key=key)}"
    with harm(sender, save, f"mv /root/saved.pem {key}"):
        waits(sender)
        passes(sender, "app@globex.example")


def test_a_header_too_large_to_be_judged_is_refused_for_good(sender: Sender) -> None:
    filler = b"".join(b"X-Filler-%d: %s\r\n" % (number, b"y" * 900) for number in range(100))
    assert send(sender, more=filler).permanent


@pytest.mark.parametrize("socket", UNITS.values())
def test_only_postfix_reaches_the_sockets(sender: Sender, socket: str) -> None:
    for user, expected in (("postfix", "yes"), ("nobody", "no"), ("dovecot", "no"), ("www-data", "no")):
        said = sender.run("sh", "-c", f"python3 -c '{CONNECT}' {socket} 2>/dev/null && echo yes || echo no", user=user)
        assert said.strip() == expected, user


@pytest.mark.parametrize(
    ("user", "path", "readable"),
    [
        ("opendkim", "/etc/opendkim/keys/acme.example.pem", "yes"),
        ("sendyard-gate", "/etc/opendkim/keys/acme.example.pem", "no"),
        ("postfix", "/etc/opendkim/keys/acme.example.pem", "no"),
        ("nobody", "/etc/opendkim/keys/acme.example.pem", "no"),
        ("dovecot", "/etc/dovecot/sendyard-logins", "yes"),
        ("sendyard-gate", "/etc/dovecot/sendyard-logins", "no"),
        ("opendkim", "/etc/dovecot/sendyard-logins", "no"),
        ("nobody", "/etc/dovecot/sendyard-logins", "no"),
        ("sendyard-gate", "/etc/sendyard/owners/acme.example", "yes"),
    ],
)
def test_a_secret_is_read_by_whom_it_is_for(sender: Sender, user: str, path: str, readable: str) -> None:
    assert sender.run("sh", "-c", f"test -r {path} && echo yes || echo no", user=user).strip() == readable


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_confined(sender: Sender, unit: str) -> None:
    sender.run("systemd-analyze", "security", "--no-pager", "--threshold=15", f"{unit}.service")
    assert sender.run("systemctl", "show", "-P", "LimitCORE", unit).strip() == "0"


def test_debians_signer_does_not_run(sender: Sender) -> None:
    assert sender.run("systemctl", "is-enabled", "opendkim", check=False).strip() == "masked"
