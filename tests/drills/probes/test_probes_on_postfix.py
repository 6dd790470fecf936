# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The probes pass a real sender as the roles configure it, and each finds the setting that was taken away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Outcome, Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import delivered, probe_names, probes, queue_trace
from ansible_collections.sendyard.mail.plugins.module_utils.smtp.session import LISTENERS, Endpoint
from drills.machines import BOUNCES, FQDN, PROBE, Receiver, Sender, wait_for

SUBMISSION = next(listener for listener in LISTENERS if listener.port == 587)


@pytest.fixture(scope="module")
def target(sender: Sender, tmp_path_factory: pytest.TempPathFactory) -> probes.Target:
    roots = tmp_path_factory.mktemp("roots") / "roots.pem"
    roots.write_text(sender.run("cat", "/etc/sendyard/tls/ecdsa.pem", "/etc/sendyard/tls/rsa.pem"))
    prefix = PROBE.partition("=")[0]
    return probes.Target(
        fqdn=FQDN,
        addresses=(sender.address,),
        login=probes.Login(PROBE, "probe-token", probe_names.sender_address(prefix, FQDN)),
        recipient="prover@eight.rx.example",
        canary=f"canary@{BOUNCES}",
        foreign_domain="acme.example",
        bounce_domain=BOUNCES,
        ca_file=str(roots),
    )


@contextmanager
def postfix_setting(sender: Sender, *changes: str) -> Iterator[None]:
    """Postfix with `changes` (postconf arguments), and as it was again afterwards."""
    sender.run("cp", "-a", "/etc/postfix/main.cf", "/etc/postfix/master.cf", "/root/")
    try:
        for change in changes:
            sender.run("postconf", *(["-P", change] if "/" in change.partition("=")[0] else ["-e", change]))
        reload(sender)
        yield
    finally:
        sender.run("cp", "-a", "/root/main.cf", "/root/master.cf", "/etc/postfix/")
        reload(sender)


def reload(sender: Sender) -> None:
    """Make Postfix take up its files, and wait until it serves."""
    sender.run("postfix", "reload")
    wait_for("Postfix to listen", lambda: ":2525 " in sender.run("ss", "-Hlnt"))


def found(target: probes.Target, check: str, port: int) -> Outcome:
    probe = next(probe for probe in probes.PROBES if probe.check == check)
    endpoint = next(endpoint for endpoint in target.endpoints if endpoint.listener.port == port)
    return probes.try_probe(target, probe, endpoint)


def test_a_sender_as_it_is_configured_passes_everything(target: probes.Target, sender: Sender) -> None:
    outcomes = probes.run(target)
    assert [outcome for outcome in outcomes if outcome.verdict is not Verdict.PASS] == []
    assert len({outcome.where for outcome in outcomes}) == 4
    assert {outcome.check for outcome in outcomes} == {probe.check for probe in probes.PROBES} | {"smtp.reachable"}


TRUSTING = [
    f"2525/inet/smtpd_{kind}_restrictions=permit_mynetworks,reject" for kind in ("client", "relay", "recipient")
]

WEAKNESSES = [
    ("smtp.greeting", 25, ["smtpd_banner=vps.provider.example ESMTP"]),
    ("smtp.vrfy", 25, ["disable_vrfy_command=no"]),
    ("tls.starttls", 25, ["smtpd_tls_security_level=none"]),
    ("auth.clear", 587, ["submission/inet/smtpd_tls_security_level=may", "smtpd_tls_auth_only=no"]),
    ("auth.clear", 25, ["smtp/inet/smtpd_sasl_auth_enable=yes"]),
    ("relay.refused", 25, ["mynetworks=0.0.0.0/0", "smtpd_relay_restrictions=permit_mynetworks,reject"]),
    ("relay.refused", 2525, ["mynetworks=0.0.0.0/0", *TRUSTING]),
    ("sender.envelope", 465, ["submission_sender_restrictions=permit"]),
    ("sender.null", 587, ["submission_sender_restrictions=reject_sender_login_mismatch"]),
    ("sender.header", 587, ["submission/inet/smtpd_milters=unix:opendkim/opendkim.sock"]),
    ("sender.header", 2525, ["2525/inet/smtpd_milters="]),
    ("smuggling.refused", 587, ["smtpd_forbid_bare_newline=no", "smtpd_forbid_unauth_pipelining=no"]),
    ("smuggling.refused", 25, ["smtpd_forbid_bare_newline=no", "smtpd_forbid_unauth_pipelining=no"]),
    ("submit.accepted", 465, ["submissions/inet/smtpd_milters=unix:nothing"]),
    ("mailbox.postmaster", 25, [f"virtual_mailbox_domains={BOUNCES}"]),
    ("mailbox.bounces", 25, [f"virtual_mailbox_domains={FQDN}"]),
]


@pytest.mark.parametrize(("check", "port", "changes"), WEAKNESSES, ids=lambda value: str(value)[:40])
def test_a_weakness_is_found(target: probes.Target, sender: Sender, check: str, port: int, changes: list[str]) -> None:
    with postfix_setting(sender, *changes):
        outcome = found(target, check, port)
    assert outcome.verdict is Verdict.FAIL, outcome.evidence


def test_tls_below_1_2_is_found_where_it_is_allowed(target: probes.Target, sender: Sender) -> None:
    weak = ["smtpd_tls_protocols=>=TLSv1", "smtpd_tls_mandatory_protocols=>=TLSv1", "smtpd_tls_ciphers=low"]
    weak += ["smtpd_tls_mandatory_ciphers=low", "tls_low_cipherlist=ALL:@SECLEVEL=0"]
    with postfix_setting(sender, *weak):
        for port in (25, 587, 465, 2525):
            outcome = found(target, "tls.versions", port)
            assert outcome.verdict is Verdict.FAIL, outcome.evidence
            assert "TLS 1.0, TLS 1.1" in outcome.evidence


def test_weak_suites_are_found_where_they_are_allowed(target: probes.Target, sender: Sender) -> None:
    weak = ["smtpd_tls_ciphers=low", "smtpd_tls_mandatory_ciphers=low", "tls_low_cipherlist=ALL:eNULL:@SECLEVEL=0"]
    with postfix_setting(sender, *weak):
        for port in (25, 587, 465, 2525):
            outcome = found(target, "tls.suites", port)
            assert outcome.verdict is Verdict.FAIL, outcome.evidence


def test_a_message_is_followed_to_the_reply_of_its_receiver(
    target: probes.Target, sender: Sender, receiver: Receiver, tmp_path: Path
) -> None:
    endpoint = Endpoint(FQDN, sender.address, SUBMISSION)
    recipient = f"followed-{sender.release}"
    target = dataclasses.replace(target, recipient=f"{recipient}@eight.rx.example")
    sent = delivered.send(target, endpoint, target.login, "followed")
    log = tmp_path / "postfix.log"

    def sent_on() -> Outcome | None:
        log.write_text(sender.log())
        delivery = queue_trace.follow(log, [sent.queue_id], deadline=0).get(sent.queue_id)
        return queue_trace.outcome(sent.queue_id, FQDN, delivery) if delivery else None

    outcome = wait_for("the receiver's reply", sent_on)
    assert outcome.verdict is Verdict.PASS
    assert "mx.eight.rx.example" in outcome.evidence
    assert "said: 250" in outcome.evidence
    received = receiver.one(recipient)
    verdict, evidence = delivered.signature(received.content, FQDN, lambda name: sender._record(name.encode()))
    assert verdict is Verdict.PASS, evidence
