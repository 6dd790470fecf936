# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Mail for the host itself, bounces, the log, and what keeps them within their bounds."""

from __future__ import annotations

import email
import email.policy
import re
import secrets

import pytest
from drills.machines import BOUNCES, FQDN, LOGINS, Receiver, Sender, logged_in, wait_for
from tls import start_tls_if_granted


def deliver(sender: Sender, recipient: str, text: str = "Hello.") -> str:
    """Send mail to the host as the world does; returns a token that is in it."""
    token = secrets.token_hex(8)
    with sender.session(25) as opened:
        opened.ehlo("client.example")
        assert opened.command("MAIL FROM:<someone@eight.rx.example>").positive
        reply = opened.command(f"RCPT TO:<{recipient}>")
        assert reply.positive, reply
        assert opened.data(f"From: someone@eight.rx.example\r\nSubject: {token}\r\n\r\n{text}\r\n".encode()).positive
    return token


@pytest.mark.parametrize(
    ("recipient", "mailbox"),
    [
        (f"postmaster@{FQDN}", "postmaster"),
        ("postmaster", "postmaster"),
        (f"Root@{FQDN}", "postmaster"),
        (f"abuse@{FQDN}", "abuse"),
        (f"abuse@{BOUNCES}", "abuse"),
        (f"b+1=x=rx.example@{BOUNCES}", "bounces"),
    ],
)
def test_what_is_for_the_host_is_stored_and_read_by_one_command(
    sender: Sender, receiver: Receiver, recipient: str, mailbox: str
) -> None:
    token = deliver(sender, recipient)
    wait_for("the message", lambda: token in sender.run("sendyard-mail", mailbox))
    assert not receiver.find("someone")


def test_stored_mail_is_nobody_elses_to_read(sender: Sender) -> None:
    deliver(sender, f"postmaster@{FQDN}")
    wait_for("a mailbox", lambda: sender.run("ls", "/var/mail/sendyard"))
    assert "Permission denied" in sender.run("sh", "-c", "ls /var/mail/sendyard/ 2>&1; true", user="nobody")
    assert "sudo" in sender.run("sh", "-c", "sendyard-mail 2>&1; true", user="nobody")


def test_root_mail_of_the_host_is_stored(sender: Sender) -> None:
    for field in ("", "From: root (Cron Daemon)\n"):
        token = secrets.token_hex(8)
        sender.run("sendmail", "root", stdin=f"{field}Subject: {token}\n\nA timer says so.\n".encode())
        found = wait_for("the message", lambda token=token: [m for m in messages(sender, "postmaster") if token in m])
        content = re.sub(rb"(?<!\r)\n", b"\r\n", found[0].encode())
        assert sender.signers(content) == [FQDN]
        assert "multipart/report" not in found[0]


def test_housekeeping_bounds_what_is_stored(sender: Sender) -> None:
    token = deliver(sender, f"x@{BOUNCES}", "word " * 400)
    wait_for("the message", lambda: token in sender.run("sendyard-mail", "bounces"))
    unit = "sendyard-postfix-housekeeping.service"
    sender.run("systemctl", "start", unit)
    assert token in sender.run("sendyard-mail", "bounces")
    sender.run("sh", "-c", "touch -d '40 days ago' /var/mail/sendyard/bounces/new/*")
    sender.run("systemctl", "start", unit)
    assert not sender.run("sendyard-mail", "bounces")


def test_a_bounce_to_the_host_itself_passes_gate_and_signer(sender: Sender) -> None:
    """`root` writes to somebody who does not exist: the bounce comes back, From: in the one form, signed."""
    token = secrets.token_hex(8)
    content = f"From: root@{FQDN}\nSubject: {token}\n\nHello.\n".encode()
    sender.run("sendmail", "-f", f"root@{FQDN}", "someone@refusing.rx.example", stdin=content)
    stored = wait_for("the bounce", lambda: [m for m in messages(sender, "postmaster") if token in m])
    message = email.message_from_string(stored[0], policy=email.policy.default)
    assert message["From"] == f"Mail Delivery System <MAILER-DAEMON@{FQDN}>"
    assert message.get_content_type() == "multipart/report"
    content = re.sub(rb"(?<!\r)\n", b"\r\n", stored[0].encode())
    assert sender.signers(content) == [FQDN]


def messages(sender: Sender, mailbox: str) -> list[str]:
    """The stored messages, without what delivery wrote before them."""
    found = sender.run("sendyard-mail", mailbox)
    texts = re.split(r"(?m)^From MAILER-DAEMON .*\n", found)[1:]
    return [text.removesuffix("\n") for text in texts]


def test_the_clients_address_and_login_stay_here(sender: Sender, receiver: Receiver) -> None:
    token = secrets.token_hex(8)
    with sender.session(587) as opened:
        client = opened.local_address
        logged_in(opened)
        opened.command("MAIL FROM:<other@acme.example>")
        opened.command(f"RCPT TO:<{token}@eight.rx.example>")
        reply = opened.data(b"From: other@acme.example\r\nSubject: s\r\n\r\nHello.\r\n")
    header = receiver.one(token).content.partition(b"\r\n\r\n")[0].decode()
    received = re.findall(r"(?m)^Received: .*(?:\r?\n[ \t].*)*", header)
    queue_id = reply.text.rpartition(" ")[2]
    assert len(received) == 1
    assert re.fullmatch(
        rf"Received: by {re.escape(FQDN)} \(Postfix\) id {queue_id}\s+for <{token}@eight\.rx\.example>; "
        r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(\w+\))?",
        received[0].strip(),
    )
    for secret in (client, "client.example", *LOGINS):
        assert secret not in header
    assert f"{queue_id}: client=" in sender.log()  # the host can still answer for it


def test_the_log_is_rotated_by_size_and_goes_on(sender: Sender) -> None:
    path = "/var/log/sendyard/postfix.log"
    deliver(sender, f"postmaster@{FQDN}")
    before = sender.run("stat", "-c", "%i %U:%G %a", path).split()
    sender.run("sed", "-i", "s/maxsize .*/maxsize 1/", "/etc/logrotate.d/sendyard-postfix")
    sender.run("systemctl", "start", "sendyard-postfix-housekeeping.service")
    sender.run("sed", "-i", "s/maxsize .*/maxsize 500M/", "/etc/logrotate.d/sendyard-postfix")
    after = sender.run("stat", "-c", "%i %U:%G %a", path).split()
    assert before[1:] == after[1:] == ["root:adm", "640"]
    assert before[0] == sender.run("stat", "-c", "%i", f"{path}.1").strip()
    deliver(sender, f"postmaster@{FQDN}")
    wait_for("the new log", lambda: "postmaster" in sender.log())


def test_connections_are_reused(sender: Sender, receiver: Receiver) -> None:
    token = secrets.token_hex(8)
    sender.run("sh", "-c", "postconf defer_transports=smtp smtp_destination_concurrency_limit=1 && postfix reload")
    with sender.session(587) as opened:
        logged_in(opened)
        for number in range(15):
            opened.command("MAIL FROM:<app@acme.example>")
            opened.command(f"RCPT TO:<{token}{number}@tls.rx.example>")
            assert opened.data(b"From: app@acme.example\r\nSubject: s\r\n\r\nHello.\r\n").positive
    sender.run("sh", "-c", "sleep 1; postconf -X defer_transports && postfix reload && sleep 1 && postqueue -f")
    found = wait_for("all of them", lambda: len(receiver.find(token)) == 15 and receiver.find(token), deadline=60)
    sender.run("sh", "-c", "postconf -X smtp_destination_concurrency_limit && postfix reload")
    assert max(message.envelope["number_in_session"] for message in found) > 1
    assert {message.envelope["tls"] for message in found} == {"TLSv1.3"}
    assert {message.envelope["ehlo"] for message in found} == {FQDN}


def test_one_client_cannot_take_all_of_port_25(sender: Sender) -> None:
    codes = []
    sessions = [sender.session(25) for _ in range(11)]
    for entered in sessions[:10]:
        codes.append(entered.__enter__().banner.code)
    with pytest.raises(Exception, match="421"):
        sessions[10].__enter__()
    for entered in sessions[:10]:
        entered.__exit__(None, None, None)
    assert codes == [220] * 10


def test_no_milter_no_mail(sender: Sender) -> None:
    for unit in ("sendyard-gate", "sendyard-opendkim"):
        sender.run("systemctl", "stop", unit)
        try:
            for port in (587, 465, 2525):
                assert first_refusal(sender, port) // 100 == 4
        finally:
            sender.run("systemctl", "start", unit)
    assert first_refusal(sender, 587) == 0


def first_refusal(sender: Sender, port: int) -> int:
    """The code of the first reply that is no success on the way to DATA, 0 where there is none."""
    with sender.session(port) as opened:
        steps = [
            lambda: opened.ehlo("client.example"),
            *([] if port == 465 else [lambda: start_tls_if_granted(opened), lambda: opened.ehlo("client.example")]),
            lambda: opened.login_plain("app@acme.example", LOGINS["app@acme.example"]),
            lambda: opened.command("MAIL FROM:<app@acme.example>"),
            lambda: opened.command("RCPT TO:<x@eight.rx.example>"),
        ]
        return next((reply.code for reply in (step() for step in steps) if not reply.positive), 0)


def test_no_warning_in_the_log(sender: Sender) -> None:
    """Runs last: what the tests above did is in the log."""
    expected = re.compile(
        r"DNSSEC validation|dnssec_probe|connect to Milter service|SASL|non-SMTP command|Connection concurrency limit"
        r"|hostname \S+ does not resolve|milter|improper command pipelining|TLS library problem|illegal address syntax"
        r"|malformed|numeric domain|User \S+ not allowed|unauthorized|not authorized|submission of mail",
        re.IGNORECASE,
    )
    warnings = [line for line in sender.log().splitlines() if re.search(r"(warning|error|fatal|panic): ", line)]
    assert [line for line in warnings if not expected.search(line)] == []
