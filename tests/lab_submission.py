# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a client of the lab submits to a sender, byte by byte, and whether it verifies where it arrives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import dkim
import lab_api
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from lab_hosts import Login, Sender


@contextmanager
def logged_in(sender: Sender, login: Login, port: int = 587) -> Iterator[smtp.Session]:
    """A session of `login` on a submission port, whose certificate is checked, ready for MAIL."""
    listener = next(one for one in smtp.LISTENERS if one.port == port)
    context = smtp.tls_context(ca_file=lab_api.info()["ca"])
    with smtp.session(smtp.Endpoint(sender.fqdn, sender.ipv4, listener), context, timeout=60, whole=300) as opened:
        assert opened.ehlo("client.example").positive
        if not listener.implicit_tls:
            assert opened.start_tls().positive
            assert opened.ehlo("client.example").positive
        assert opened.login_plain(login.username, login.password).code == 235
        yield opened


def submit(
    opened: smtp.Session, sender: str, recipients: Sequence[str], content: bytes, *, chunks: int = 0
) -> smtp.Reply:
    """The reply to one message; with `chunks` it goes by BDAT in that many pieces. The session is as before then."""
    assert opened.command(f"MAIL FROM:<{sender}>").positive
    for recipient in recipients:
        assert opened.command(f"RCPT TO:<{recipient}>").positive
    if chunks:
        size = -(-len(content) // chunks)
        reply = opened.bdat([content[start : start + size] for start in range(0, len(content), size)])
    else:
        reply = opened.data(content)
    opened.command("RSET")
    return reply


def signers(content: bytes) -> list[str]:
    """The domains (d=) whose signatures verify in `content` by the keys that the lab's name servers have, in order."""

    def published(name: bytes, timeout: float = 5) -> bytes | None:
        found = lab_api.ask("ns1", name.decode(), "TXT")
        return found[0].replace('" "', "").strip('"').encode() if found else None

    verified = []
    fields = dkim.DKIM(content).headers
    for index in range(sum(name.lower() == b"dkim-signature" for name, _ in fields)):
        one = dkim.DKIM(content)
        with suppress(dkim.DKIMException):
            if one.verify(index, dnsfunc=published):
                verified.append(one.domain.decode())
    return verified
