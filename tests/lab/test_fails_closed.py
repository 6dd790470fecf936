# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Where gate, signer or a key is away, mail waits with the client: nothing leaves unjudged or unsigned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lab_api
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from lab_hosts import Login, Sender
from lab_submission import signers
from tls import start_tls_if_granted

LOGIN, DOMAIN = "app@acme.example", "acme.example"
KEY = f"/etc/opendkim/keys/{DOMAIN}.pem"
PORTS = (587, 465, 2525)


def said(sender: Sender, login: Login, port: int, token: str) -> int:
    """The code of the first refusal on the way of a message through `port`, or of its end where there is none."""
    listener = next(one for one in smtp.LISTENERS if one.port == port)
    context = smtp.tls_context(ca_file=lab_api.info()["ca"])
    content = f"From: {LOGIN}\r\nSubject: {token}\r\n\r\nHello.\r\n".encode()
    with smtp.session(smtp.Endpoint(sender.fqdn, sender.ipv4, listener), context, timeout=60, whole=120) as opened:
        steps = [
            lambda: opened.ehlo("client.example"),
            *(
                []
                if listener.implicit_tls
                else [lambda: start_tls_if_granted(opened), lambda: opened.ehlo("client.example")]
            ),
            lambda: opened.login_plain(login.username, login.password),
            lambda: opened.command(f"MAIL FROM:<{LOGIN}>"),
            lambda: opened.command(f"RCPT TO:<{token}@sink.rx.example>"),
            lambda: opened.data(content),
        ]
        for step in steps:
            if not (reply := step()).positive:
                break
        return reply.code


@contextmanager
def stopped(sender: Sender, unit: str) -> Iterator[None]:
    """A daemon that does not run meanwhile."""
    lab_api.root(sender.name, "systemctl", "stop", unit)
    try:
        yield
    finally:
        lab_api.root(sender.name, "systemctl", "start", unit)


@contextmanager
def without_key(sender: Sender) -> Iterator[None]:
    """One domain's key elsewhere meanwhile."""
    lab_api.root(sender.name, "mv", KEY, f"{KEY}.away")
    try:
        yield
    finally:
        lab_api.root(sender.name, "mv", f"{KEY}.away", KEY)


@pytest.mark.parametrize("away", ["sendyard-gate.service", "sendyard-opendkim.service", "key"])
def test_mail_waits_with_the_client(sender: Sender, logins: tuple[Login, ...], away: str) -> None:
    login = next(login for login in logins if login.username == LOGIN)
    run = lab_api.token()
    with without_key(sender) if away == "key" else stopped(sender, away):
        codes = {port: said(sender, login, port, f"{run}-{port}") for port in PORTS}
    assert {code // 100 for code in codes.values()} == {4}, codes
    assert said(sender, login, 587, f"{run}-mended") == 250
    # What came later is there: had one of the others been taken, it would be too.
    assert signers(lab_api.wait_for_mail(f"{run}-mended").wire) == [DOMAIN]
    assert len(lab_api.mails(run)) == 1
