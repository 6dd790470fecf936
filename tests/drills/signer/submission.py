# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the tests here ask of a sender: one message by one login, and the reply to it."""

from __future__ import annotations

import base64
from typing import Any

from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from drills.machines import FQDN, LOGINS, Sender
from tls import start_tls_if_granted

LOGIN = "app@acme.example"


def connect(sender: Sender, port: int = 587) -> Any:
    """A session on `port`, one of ours included."""
    listener = smtp.Listener(port, implicit_tls=port == 465)
    endpoint = smtp.Endpoint(FQDN, sender.address, listener)
    return smtp.session(endpoint, smtp.tls_context(verify=False), timeout=60, whole=120)


def authenticate(sender: Sender, login: str, password: str) -> smtp.Reply:
    """The reply to `login` with `password` on 587."""
    with connect(sender) as opened:
        opened.ehlo("client.example")
        opened.start_tls()
        opened.ehlo("client.example")
        reply: smtp.Reply = opened.login_plain(login, password)
        return reply


def send(
    sender: Sender,
    author: str = LOGIN,
    *,
    login: str = LOGIN,
    password: str = "",
    envelope: str = "",
    recipient: str = "someone@eight.rx.example",
    more: bytes = b"",
) -> smtp.Reply:
    """The first reply that is not positive, or the one to the message; a milter that is away answers earlier."""
    content = f"From: {author}\r\nSubject: s\r\n".encode() + more + b"\r\nHello.\r\n"
    token = base64.b64encode(f"\0{login}\0{password or LOGINS.get(login, '')}".encode()).decode()
    with connect(sender) as opened:
        for step in (
            lambda: opened.banner,
            lambda: opened.ehlo("client.example"),
            lambda: start_tls_if_granted(opened),
            lambda: opened.ehlo("client.example"),
            lambda: opened.command(f"AUTH PLAIN {token}", shown="(a login)"),
            lambda: opened.command(f"MAIL FROM:<{envelope or author}>"),
            lambda: opened.command(f"RCPT TO:<{recipient}>"),
            lambda: opened.data(content),
        ):
            reply: smtp.Reply = step()
            if not reply.positive:
                opened.abandon()
                break
        return reply
