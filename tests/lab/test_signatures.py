# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What is submitted arrives with a signature that verifies, whatever the receiver offers, or is refused with a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import lab_api
import pytest
from cases.survival import CASES, Case, Envelope
from lab_hosts import Login, Sender
from lab_submission import logged_in, signers, submit

RECEIVERS = ("rx.example", "seven.rx.example")  # with 8BITMIME, and without
DOMAIN = "acme.example"


@dataclass(frozen=True)
class Attempt:
    """A case that was submitted: the word it is found by, and what the sender said to it."""

    token: str
    content: bytes
    code: int
    text: str


@pytest.fixture(scope="module")
def attempts(sender: Sender, logins: tuple[Login, ...]) -> Mapping[str, Attempt]:
    """Every case, submitted; what became of them is looked at afterwards, while the sender delivers."""
    login = next(login for login in logins if DOMAIN in login.domains)
    found = {}
    for case in CASES:
        token = lab_api.token()
        recipients = [f"{token}@{domain}" for domain in RECEIVERS]
        content = case.build(Envelope(login.username, recipients[0], token))
        with logged_in(sender, login) as opened:
            reply = submit(opened, login.username, recipients, content, chunks=case.chunks)
            found[case.name] = Attempt(token, content, reply.code, reply.text)
    return found


def body_of(message: bytes) -> bytes:
    """What follows the first empty line."""
    return (b"\r\n" + message).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_signature_survives_or_the_message_is_refused(attempts: Mapping[str, Attempt], case: Case) -> None:
    attempt = attempts[case.name]
    if case.expectation == "refused":
        assert 500 <= attempt.code < 600, attempt
        assert attempt.text
        assert lab_api.mails(attempt.token) == []
        return
    assert attempt.code == 250, attempt
    arrived = lab_api.until(
        lambda: mails if len(mails := lab_api.mails(attempt.token)) == len(RECEIVERS) else None,
        what=f"{case.name} at {' and '.join(RECEIVERS)}",
        deadline=60,
    )
    for mail in arrived:
        assert signers(mail.wire) == [DOMAIN]
        assert f"dkim=pass header.d={DOMAIN}" in mail.results
        assert "dmarc=pass" in mail.results
        if not case.altered:
            assert body_of(mail.wire) == body_of(attempt.content)
