# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The table of From: forms through the real ports, as the receiver sees what passes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from cases.from_forms import ACCEPT, BODY, CASES, FOREIGN, LOGIN, OWN, Case
from drills import machines
from drills.machines import FQDN, Receiver, Sender, wait_for
from drills.signer.conftest import GATE_ALONE, WITHOUT_GATE
from readers import author_domains


def connect(sender: Sender, port: int) -> Any:
    """A session of LOGIN on `port`, ready for MAIL."""
    listener = smtp.Listener(port, implicit_tls=port == 465)
    endpoint = smtp.Endpoint(FQDN, sender.address, listener)
    return smtp.session(endpoint, smtp.tls_context(verify=False), timeout=20, whole=120)


def batches(cases: Sequence[Case], size: int) -> Iterator[Sequence[Case]]:
    """`cases` in portions of `size`."""
    return (cases[start : start + size] for start in range(0, len(cases), size))


def submit(sender: Sender, port: int, cases: Sequence[Case]) -> dict[str, tuple[Case, smtp.Reply]]:
    """Send every case; returns the replies to DATA by the token in the recipient's address."""
    replies = {}
    for batch in batches(cases, 8):  # at the tenth error in a session Postfix begins to answer slowly
        with connect(sender, port) as opened:
            machines.logged_in(opened, LOGIN)
            for case in batch:
                token = secrets.token_hex(6)
                assert opened.command(f"MAIL FROM:<{LOGIN}>").positive
                assert opened.command(f"RCPT TO:<{token}@eight.rx.example>").positive
                replies[token] = (case, opened.data(case.header + BODY))
                opened.command("RSET")
    return replies


def arrived(receiver: Receiver, tokens: list[str]) -> dict[str, bytes]:
    """The messages to `tokens`, once all are here."""
    wait_for("all messages", lambda: all(receiver.find(token) for token in tokens), deadline=60)
    return {token: receiver.one(token).content for token in tokens}


@pytest.mark.parametrize("port", [587, 465, 2525, GATE_ALONE])
def test_nothing_leaves_under_another_name_or_unsigned(sender: Sender, receiver: Receiver, port: int) -> None:
    """On GATE_ALONE the gate stands without the header checks that the submission services have before it."""
    replies = submit(sender, port, CASES)
    wrong = [
        f"{case.name}: {case.expected} was expected, {reply} came"
        for case, reply in replies.values()
        if not (reply.positive if case.expected == ACCEPT else reply.permanent)
    ]
    for token, content in arrived(receiver, [token for token, (_, reply) in replies.items() if reply.positive]).items():
        name = replies[token][0].name
        if (read := author_domains(content)) != {OWN}:
            wrong.append(f"{name}: a reader finds {read}")
        if OWN not in (signed := sender.signers(content)):
            wrong.append(f"{name}: signed by {signed}")
    assert not wrong, "\n".join(wrong)


def test_without_the_gate_another_name_leaves(sender: Sender, receiver: Receiver) -> None:
    """The control: on a listener that only signs, the message reaches the receiver as another tenant's, signed so."""
    case = next(case for case in CASES if case.name == "another's address")
    [(token, (_, reply))] = submit(sender, WITHOUT_GATE, (case,)).items()
    assert reply.positive
    content = arrived(receiver, [token])[token]
    assert author_domains(content) == {FOREIGN}
    assert sender.signers(content) == [FOREIGN]


def test_without_the_gate_mail_leaves_unsigned(sender: Sender, receiver: Receiver) -> None:
    """The control: OpenDKIM asks for no signature where it finds no From."""
    case = next(case for case in CASES if case.name == "empty before another's")
    [(token, (_, reply))] = submit(sender, WITHOUT_GATE, (case,)).items()
    assert reply.positive
    assert sender.signers(arrived(receiver, [token])[token]) == []


def test_a_refusal_says_why_and_is_logged_without_the_message(sender: Sender) -> None:
    case = next(case for case in CASES if case.name == "another's address with a name")
    refusal = f"refused for {LOGIN}: From domain {FOREIGN} does not belong"

    def logged() -> list[str]:
        lines = sender.run("journalctl", "-u", "sendyard-gate", "-o", "cat").splitlines()
        return [line for line in lines if refusal in line]

    before = len(logged())
    [(_, (_, reply))] = submit(sender, GATE_ALONE, (case,)).items()
    assert str(reply) == f"550 5.7.1 From domain {FOREIGN} does not belong to login {LOGIN}"
    [log] = wait_for("the gate's line", lambda: logged()[before:])
    assert "Acme <" not in log
    assert "ceo" not in log
