# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Nobody sends to others without a login: every form of an address, on every port, by both families, from anywhere."""

from __future__ import annotations

import lab_api
import pytest
from lab_hosts import Sender
from lab_relay import PORTS, taken, taken_locally
from lab_submission import Tunnels, session

MAIN = "/etc/postfix/main.cf"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("whence", ["stranger", "controller"])
def test_no_form_of_an_address_is_relayed(sender: Sender, family: int, whence: str, stranger: Tunnels) -> None:
    word = lab_api.token()
    through = stranger if whence == "stranger" else None
    assert [line for port in PORTS for line in taken(sender, word, port, family, through)] == []
    assert lab_api.mails(word) == []


def test_no_form_of_an_address_is_relayed_for_a_user_of_the_host(sender: Sender) -> None:
    word = lab_api.token()
    assert taken_locally(sender, word) == []
    assert lab_api.mails(word) == []


def test_no_network_is_trusted(sender: Sender) -> None:
    assert lab_api.root(sender.name, "postconf", "-h", "mynetworks").stdout.strip() == ""
    assert "mynetworks" not in lab_api.root(sender.name, "postconf", "-M").stdout, "no service has one of its own"


def test_a_server_that_trusts_everybody_is_seen(sender: Sender) -> None:
    """The control: with one line of main.cf wrong, the same forms pass, and the message arrives."""
    word = lab_api.token()
    lab_api.root(sender.name, "cp", "-a", MAIN, f"{MAIN}.kept")
    try:
        lab_api.root(
            sender.name, "postconf", "mynetworks=0.0.0.0/0 [::]/0", "smtpd_relay_restrictions=permit_mynetworks,reject"
        )
        lab_api.root(sender.name, "postfix", "reload")
        lab_api.until(lambda: list(taken(sender, word, 25, 4)), what="a form that is taken")
        with session(sender, 25) as opened:
            opened.command("MAIL FROM:<>")
            assert opened.command(f"RCPT TO:<{word}@sink.rx.example>").positive
            assert opened.data(f"From: a@stranger.example\r\nSubject: {word}\r\n\r\nx\r\n".encode()).positive
        lab_api.wait_for_mail(word)
    finally:
        lab_api.root(sender.name, "mv", f"{MAIN}.kept", MAIN)
        lab_api.root(sender.name, "postfix", "reload")
