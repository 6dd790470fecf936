# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What is submitted arrives with a signature that verifies, whatever the receiver offers, or is refused with a text."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cases.survival import CASES, Case, Envelope
from drills.machines import Receiver, Sender, logged_in

RECEIVERS = ("eight", "seven", "tls")


def body_of(message: bytes) -> bytes:
    """What follows the first empty line."""
    return (b"\r\n" + message).partition(b"\r\n\r\n")[2]


def submit(sender: Sender, port: int, case: Case, envelope: Envelope, recipients: list[str]) -> Any:
    """Submit the case's message as the tenant acme; returns the reply to it."""
    content = case.build(envelope)
    with sender.session(port) as opened:
        logged_in(opened)
        assert opened.command(f"MAIL FROM:<{envelope.sender}>").positive
        for recipient in recipients:
            assert opened.command(f"RCPT TO:<{recipient}>").positive
        if not case.chunks:
            return opened.data(content)
        size = -(-len(content) // case.chunks)
        return opened.bdat([content[start : start + size] for start in range(0, len(content), size)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_signature_survives_or_the_message_is_refused(sender: Sender, receiver: Receiver, case: Case) -> None:
    token = secrets.token_hex(8)
    recipients = [f"{token}@{mode}.rx.example" for mode in RECEIVERS]
    envelope = Envelope("app@acme.example", recipients[0], token)
    reply = submit(sender, 587, case, envelope, recipients)
    if case.expectation == "refused":
        assert reply.permanent, reply
        assert reply.text
        assert not receiver.find(token)
        return
    assert reply.positive, reply
    for recipient in recipients:
        received = receiver.one(recipient)
        assert sender.signers(received.content) == ["acme.example"]
        if not case.altered:
            sent = body_of(case.build(envelope))
            assert body_of(received.content) == sent


@pytest.mark.parametrize("port", [465, 2525])
def test_every_submission_port_signs(sender: Sender, receiver: Receiver, port: int) -> None:
    token = secrets.token_hex(8)
    recipient = f"{token}@eight.rx.example"
    assert submit(sender, port, CASES[0], Envelope("app@acme.example", recipient, token), [recipient]).positive
    assert sender.signers(receiver.one(token).content) == ["acme.example"]
