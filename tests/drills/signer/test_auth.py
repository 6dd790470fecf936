# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Dovecot as it answers Postfix: who is let in, at once and no longer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import render
from ansible_collections.sendyard.mail.plugins.module_utils import logins
from drills.machines import FQDN, LOGINS, PROBE, Sender
from drills.signer.submission import authenticate, send

LOGIN = "app@acme.example"
TOKEN = logins.generate_token()
PROBES = "/run/sendyard/probe-logins"


@pytest.fixture(autouse=True)
def probe_logins(sender: Sender) -> Iterator[None]:
    """What stood there stands there again."""
    saved = sender.run("cat", PROBES)
    yield
    put(sender, saved)


def put(sender: Sender, lines: str) -> None:
    """Replace the file of temporary logins, and let the second pass within which Dovecot does not look again."""
    sender.put({PROBES: render.RenderedFile(PROBES, lines, "0640", "root", "dovecot")})
    time.sleep(1.1)


def test_a_generated_token_is_taken_as_it_is_kept(sender: Sender) -> None:
    put(sender, f"{PROBE}:{logins.hash_token(TOKEN)}\n")
    assert authenticate(sender, PROBE, TOKEN).code == 235
    assert authenticate(sender, PROBE, TOKEN + "x").code == 535


def test_the_name_is_taken_in_upper_case(sender: Sender) -> None:
    assert authenticate(sender, LOGIN.upper(), LOGINS[LOGIN]).code == 235
    assert send(sender, login=LOGIN.upper(), password=LOGINS[LOGIN]).code == 250


@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_a_temporary_login_ends_with_its_line(sender: Sender, how: str) -> None:
    put(sender, f"{PROBE}:{logins.hash_token(TOKEN)}\n")
    assert authenticate(sender, PROBE, TOKEN).code == 235
    if how == "emptied":
        put(sender, "")
    else:
        sender.run("rm", PROBES)
        time.sleep(1.1)
    assert authenticate(sender, PROBE, TOKEN).code == 535
    assert authenticate(sender, LOGIN, LOGINS[LOGIN]).code == 235


def test_without_the_file_of_temporary_logins_a_wrong_password_is_still_wrong(sender: Sender) -> None:
    sender.run("rm", PROBES)
    sender.run("systemctl", "restart", "dovecot")
    assert authenticate(sender, LOGIN, "wrong").code == 535
    assert authenticate(sender, LOGIN, LOGINS[LOGIN]).code == 235


def test_the_file_of_temporary_logins_is_there_after_a_boot(sender: Sender) -> None:
    sender.run("rm", "-r", "/run/sendyard")
    sender.run("systemd-tmpfiles", "--create", "--boot", "/etc/tmpfiles.d/sendyard-auth.conf")
    assert sender.run("stat", "-c", "%a %U:%G %s", PROBES).strip() == "640 root:dovecot 0"


def test_guessing_from_an_address_does_not_shut_out_a_right_password_from_there(sender: Sender) -> None:
    """Dovecot's own growing delay would pass the 10 seconds that Postfix waits, and the answer would be 454."""
    for _ in range(5):
        assert authenticate(sender, LOGIN, "wrong").code == 535
    start = time.monotonic()
    assert authenticate(sender, LOGIN, LOGINS[LOGIN]).code == 235
    assert time.monotonic() - start < 8


def test_a_temporary_login_speaks_as_itself_only(sender: Sender) -> None:
    put(sender, f"{PROBE}:{logins.hash_token(TOKEN)}\n")
    itself = f"{PROBE.partition('=')[0]}@{FQDN}"
    assert send(sender, itself, login=PROBE, password=TOKEN).code == 250
    for author in (f"root@{FQDN}", LOGIN):
        assert send(sender, author, login=PROBE, password=TOKEN, envelope=itself).code == 550


def test_passwords_are_not_logged(sender: Sender) -> None:
    guess = "guess-" + logins.generate_token()
    authenticate(sender, LOGIN, guess)
    assert guess not in sender.run("journalctl", "-o", "cat") + sender.log()
