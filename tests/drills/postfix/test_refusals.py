# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a sender must not take: relay, senders of others, two messages in a transaction, mail from its own users."""

from __future__ import annotations

import secrets

import pytest
from drills.machines import BOUNCES, FQDN, PROBE, Receiver, Sender, logged_in, replies_until_closed

SUBMISSION = (587, 465, 2525)
GOOD = b"From: app@acme.example\r\nTo: x@eight.rx.example\r\nSubject: s\r\n\r\nHello.\r\n"


def offered(sender: Sender, port: int) -> dict[str, str]:
    """The extensions before TLS."""
    with sender.session(port) as opened:
        assert opened.ehlo("client.example").positive
        return dict(opened.extensions)


# --- the door --------------------------------------------------------------------------------------------------------


def test_auth_is_never_offered_in_clear(sender: Sender) -> None:
    for port in (25, 587, 2525):
        assert "AUTH" not in offered(sender, port)
        assert "STARTTLS" in offered(sender, port)
    assert offered(sender, 465)["AUTH"].split() == ["PLAIN", "LOGIN"]


def test_port_25_has_no_auth_under_tls_either_and_no_dsn(sender: Sender) -> None:
    with sender.session(25) as opened:
        opened.ehlo("client.example")
        opened.start_tls()
        opened.ehlo("client.example")
        assert not {"AUTH", "DSN", "ETRN", "VRFY"} & opened.extensions.keys()
        assert opened.login_plain("app@acme.example", "acme-token").permanent


@pytest.mark.parametrize("port", [587, 2525])
def test_nothing_is_said_before_starttls(sender: Sender, port: int) -> None:
    with sender.session(port) as opened:
        opened.ehlo("client.example")
        assert opened.login_plain("app@acme.example", "acme-token").permanent
        assert opened.command("MAIL FROM:<app@acme.example>").code == 530


@pytest.mark.parametrize(
    "recipient",
    [
        "<{token}@eight.rx.example>",
        "<{token}%eight.rx.example>",
        "<{token}%eight.rx.example@{fqdn}>",
        "<{token}@eight.rx.example@{fqdn}>",
        '<"{token}@eight.rx.example"@{fqdn}>',
        '<"{token}@eight.rx.example"@{bounces}>',
        '<"{token}%eight.rx.example"@{bounces}>',
        "<eight.rx.example!{token}>",
        "<eight.rx.example!{token}@{fqdn}>",
        "<@{fqdn}:{token}@eight.rx.example>",
        "<@eight.rx.example:{token}@{fqdn}>",
        "<{token}@[{sink}]>",
        "<{token}>",
        "<{token}@{fqdn}>",
        "<root@localhost>",
        "<root@[127.0.0.1]>",
        "<root@[{own}]>",
        "<postmaster@acme.example>",
        "<double-bounce@eight.rx.example>",
    ],
)
@pytest.mark.parametrize("mail_from", ["<>", "<postmaster@{fqdn}>", "<app@acme.example>"])
def test_port_25_relays_for_nobody(sender: Sender, mail_from: str, recipient: str) -> None:
    facts = {"token": "someone", "fqdn": FQDN, "bounces": BOUNCES, "sink": "10.9.9.9", "own": sender.address}
    with sender.session(25) as opened:
        opened.ehlo("client.example")
        assert opened.command(f"MAIL FROM:{mail_from.format(**facts)}").positive
        reply = opened.command(f"RCPT TO:{recipient.format(**facts)}")
    assert reply.permanent, reply


@pytest.mark.parametrize("port", SUBMISSION)
def test_nobody_sends_without_a_login(sender: Sender, port: int) -> None:
    with sender.session(port) as opened:
        opened.ehlo("client.example")
        if port != 465:
            opened.start_tls()
            opened.ehlo("client.example")
        opened.command("MAIL FROM:<app@acme.example>")
        assert opened.command("RCPT TO:<x@eight.rx.example>").permanent
        assert opened.command(f"RCPT TO:<postmaster@{FQDN}>").permanent


# --- the envelope ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", SUBMISSION)
@pytest.mark.parametrize(
    "mail_from",
    [
        "<>",
        "<app@globex.example>",
        "<APP@GLOBEX.EXAMPLE>",
        "<app@sub.acme.example>",
        "<app@unlisted.example>",
        f"<postmaster@{FQDN}>",
        f"<x@{BOUNCES}>",
        '<"app@acme.example"@globex.example>',
        "<@acme.example:app@globex.example>",
        "<app%acme.example@globex.example>",
        "<app>",
        "<probe-0123456789abcdef@acme.example>",
        f"<probe-0123456789abcdef@{FQDN}>",
    ],
)
def test_a_login_sends_from_its_own_domains_only(sender: Sender, port: int, mail_from: str) -> None:
    with sender.session(port) as opened:
        logged_in(opened)
        reply = opened.command(f"MAIL FROM:{mail_from}")
        if reply.positive:
            reply = opened.command("RCPT TO:<x@eight.rx.example>")
    assert reply.permanent, reply


@pytest.mark.parametrize("mail_from", ["<app@acme.example>", "<Other+tag@ACME.example>"])
def test_a_login_sends_from_any_address_of_its_domain(sender: Sender, mail_from: str) -> None:
    with sender.session(587) as opened:
        logged_in(opened)
        assert opened.command(f"MAIL FROM:{mail_from}").positive
        assert opened.command("RCPT TO:<x@eight.rx.example>").positive
        assert opened.command("RSET").positive


def test_a_recipient_domain_that_does_not_exist_is_refused_at_once(sender: Sender) -> None:
    with sender.session(587) as opened:
        logged_in(opened)
        assert opened.command("MAIL FROM:<app@acme.example>").positive
        reply = opened.command("RCPT TO:<x@no-such-domain.rx.example>")
    assert (reply.code, reply.enhanced) == (550, "5.1.2")


def test_a_probe_login_sends_as_the_address_in_its_name_only(sender: Sender, receiver: Receiver) -> None:
    token = secrets.token_hex(8)
    own = PROBE.partition("=")[0] + f"@{FQDN}"
    with sender.session(587) as opened:
        logged_in(opened, PROBE)
        for address in (f"postmaster@{FQDN}", "app@acme.example", own.replace("0123", "3210")):
            assert opened.command(f"MAIL FROM:<{address}>").positive
            assert opened.command("RCPT TO:<x@eight.rx.example>").code == 553
            assert opened.command("RSET").positive
        assert opened.command(f"MAIL FROM:<{own}>").positive
        assert opened.command(f"RCPT TO:<{token}@eight.rx.example>").positive
        assert opened.data(f"From: {own}\r\nSubject: probe\r\n\r\nHello.\r\n".encode()).positive
    assert sender.signers(receiver.one(token).content) == [FQDN]


# --- the header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", SUBMISSION)
@pytest.mark.parametrize(
    "header",
    [
        b"From: ceo@globex.example\r\n",
        b"From: app@acme.example\r\nFrom: ceo@globex.example\r\n",
        b"From: app@acme.example, ceo@globex.example\r\n",
        b"From : ceo@globex.example\r\n",
        b"From: \r\nFrom: ceo@globex.example\r\n",
    ],
)
def test_a_login_speaks_for_its_own_domains_only(sender: Sender, receiver: Receiver, port: int, header: bytes) -> None:
    token = secrets.token_hex(8)
    with sender.session(port) as opened:
        logged_in(opened)
        opened.command("MAIL FROM:<app@acme.example>")
        opened.command(f"RCPT TO:<{token}@eight.rx.example>")
        reply = opened.data(header + b"Subject: s\r\n\r\nHello.\r\n")
    assert (reply.code, reply.enhanced) == (550, "5.7.1"), reply
    assert not receiver.find(token)


# --- one transaction, one message ------------------------------------------------------------------------------------

INNER = "MAIL FROM:<app@acme.example>\r\nRCPT TO:<{token}@eight.rx.example>\r\nDATA\r\n{content}.\r\n"


@pytest.mark.parametrize(
    "end", ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n"]
)
@pytest.mark.parametrize("port", [25, 587])
def test_data_smuggles_no_second_message(sender: Sender, receiver: Receiver, port: int, end: str) -> None:
    token = secrets.token_hex(8)
    smuggle(sender, port, token, end)
    flush(sender)
    assert not receiver.find(f"second{token}")
    stored = sender.run("grep", "-rl", f"second{token}", "/var/mail/sendyard", check=False).split()
    assert len(stored) <= 1


def smuggle(sender: Sender, port: int, token: str, end: str) -> None:
    """Send a message with `end` in it, and behind that what would be a second one, to second<token>."""
    recipient = f"smuggled-{token}@{BOUNCES}" if port == 25 else f"first{token}@eight.rx.example"
    inner = INNER.format(token=f"second{token}", content=GOOD.decode())
    with sender.session(port) as opened:
        if port == 25:
            opened.ehlo("client.example")
        else:
            logged_in(opened)
        opened.command("MAIL FROM:<app@acme.example>")
        opened.command(f"RCPT TO:<{recipient}>")
        opened.data_raw(GOOD + b"tail" + end.encode() + inner.encode() + b"\r\n.\r\n", shown="(smuggling)")
        replies_until_closed(opened)


def test_the_smuggling_probe_gets_through_a_weak_server(sender: Sender, receiver: Receiver) -> None:
    weak = {"smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no"}
    token = secrets.token_hex(8)
    before = sender.run("cat", "/etc/postfix/main.cf").encode()
    try:
        sender.run("postconf", *(f"{name}={value}" for name, value in weak.items()), "smtpd_data_restrictions=")
        sender.run("postfix", "reload")
        smuggle(sender, 587, token, "\n.\n")
        flush(sender)
        assert receiver.find(f"second{token}")
    finally:
        sender.run("sh", "-c", "cat > /etc/postfix/main.cf", stdin=before)
        sender.run("postfix", "reload")


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\n", b"\r.\r\n", b"\r\n.\r"])
def test_bdat_smuggles_no_second_message(sender: Sender, receiver: Receiver, end: bytes) -> None:
    token = secrets.token_hex(8)
    inner = INNER.format(token=f"second{token}", content=GOOD.decode()).encode()
    with sender.session(587) as opened:
        logged_in(opened)
        opened.command("MAIL FROM:<app@acme.example>")
        opened.command(f"RCPT TO:<first{token}@eight.rx.example>")
        opened.bdat([GOOD + b"tail" + end, inner])
    flush(sender)
    assert not receiver.find(f"second{token}")
    for message in receiver.find(f"first{token}"):  # what is taken is one message, dots and all
        assert inner.replace(b"\r\n.\r\n", b"")[:40] in message.content


def test_what_is_said_in_clear_behind_starttls_is_forgotten(sender: Sender) -> None:
    with sender.session(587) as opened:
        opened.ehlo("client.example")
        opened.send_raw(b"STARTTLS\r\nMAIL FROM:<app@acme.example>\r\n")
        assert opened.reply().code in (220, 503, 550, 554)
        opened.abandon()
    assert "Improper use of SMTP command pipelining" in sender.log() or "after STARTTLS" in sender.log()


# --- the local door --------------------------------------------------------------------------------------------------


def sendmail(sender: Sender, user: str, mail_from: str, recipient: str, header_from: str) -> str:
    """What sendmail says when `user` of the host calls it."""
    content = f"From: {header_from}\nSubject: local\n\nHello.\n".encode()
    return sender.run(
        "sh", "-c", 'sendmail -f "$0" "$1" 2>&1; echo "exit $?"', mail_from, recipient, stdin=content, user=user
    )


def flush(sender: Sender) -> None:
    """Let the queue empty itself."""
    sender.run("sh", "-c", 'for i in $(seq 50); do [ -z "$(postqueue -j)" ] && exit; sleep 0.1; done; postqueue -p')


def test_an_unprivileged_user_may_not_use_sendmail(sender: Sender, receiver: Receiver) -> None:
    token = secrets.token_hex(8)
    for mail_from in ("ceo@acme.example", f"root@{FQDN}"):
        said = sendmail(sender, "nobody", mail_from, f"{token}@eight.rx.example", mail_from)
        assert "exit 0" not in said, said
    flush(sender)
    assert not receiver.find(token)


def test_an_unprivileged_user_may_not_see_the_queue(sender: Sender) -> None:
    assert "not allowed" in sender.run("sh", "-c", "postqueue -p 2>&1; true", user="nobody")


def test_an_unprivileged_user_has_no_way_out_by_loopback(sender: Sender) -> None:
    script = (
        "import smtplib; s = smtplib.SMTP('127.0.0.1', 25); s.ehlo('x.example'); s.mail('ceo@acme.example')\n"
        "print(s.rcpt('someone@eight.rx.example'))"
    )
    assert "554" in sender.run("python3", "-c", script, user="nobody")


def test_what_root_sends_is_from_the_host_and_signed(sender: Sender, receiver: Receiver) -> None:
    good, bad = secrets.token_hex(8), secrets.token_hex(8)
    assert "exit 0" in sendmail(sender, "root", f"root@{FQDN}", f"{good}@eight.rx.example", f"root@{FQDN}")
    sendmail(sender, "root", "ceo@acme.example", f"{bad}@eight.rx.example", "ceo@acme.example")
    assert sender.signers(receiver.one(good).content) == [FQDN]
    flush(sender)
    assert not receiver.find(bad)
