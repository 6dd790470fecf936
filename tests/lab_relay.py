# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whether a sender relays: the table of forms through its ports, from elsewhere and from the host itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import lab_api
from cases.relay_forms import FORMS, Form
from lab_hosts import Sender
from lab_submission import Tunnels, session

PORTS = (25, 587, 465, 2525)
IN_A_SESSION = 8  # at the tenth error in a session Postfix begins to answer slowly

# Said on the host by a user without rights; smtplib says what it is told. A line: place, sender, recipient, code.
LOCAL = """
import json, smtplib, ssl, sys
order = json.load(sys.stdin)
context = ssl._create_unverified_context()
for address in ("127.0.0.1", "::1"):
    for port in order["ports"]:
        for start in range(0, len(order["forms"]), order["size"]):
            more = {"context": context} if port == 465 else {}
            one = (smtplib.SMTP_SSL if port == 465 else smtplib.SMTP)(address, port, timeout=60, **more)
            one.ehlo("localhost")
            if one.has_extn("starttls"):
                one.starttls(context=context)
                one.ehlo("localhost")
            for sender, recipient in order["forms"][start:start + order["size"]]:
                code = one.docmd("MAIL", f"FROM:<{sender}>")[0]
                code = one.docmd("RCPT", f"TO:<{recipient}>")[0] if code < 400 else code
                print(json.dumps([f"{address} {port}", sender, recipient, code]))
                one.docmd("RSET")
            one.quit()
"""


def filled(sender: Sender, word: str, family: int = 4) -> list[Form]:
    """The forms, with `word` as the victim."""
    prefix = "" if family == 4 else "IPv6:"
    ours, theirs = (f"[{prefix}{lab_api.address(host, family=family)}]" for host in (sender.name, "rx"))
    returns = "bounces.news.globex.example"
    values = {
        "user": word, "domain": "sink.rx.example", "theirs": theirs, "fqdn": sender.fqdn, "address": ours,
        "returns": returns,
    }  # fmt: skip
    return [Form(form.sender.format(**values), form.recipient.format(**values)) for form in FORMS]


def taken(sender: Sender, word: str, port: int, family: int, through: Tunnels | None = None) -> Iterator[str]:
    """The forms that were not refused for good, with the replies; under TLS, since in clear nothing is listened to."""
    forms = filled(sender, word, family)
    for start in range(0, len(forms), IN_A_SESSION):
        with session(sender, port, family=family, through=through) as opened:
            if opened.tls is None:
                opened.start_tls()
                opened.ehlo("client.example")
            for form in forms[start : start + IN_A_SESSION]:
                reply = opened.command(f"MAIL FROM:<{form.sender}>")
                if reply.positive:
                    reply = opened.command(f"RCPT TO:<{form.recipient}>")
                if not reply.permanent:
                    yield f"{port}/{family} from <{form.sender}> to <{form.recipient}>: {reply}"
                opened.command("RSET")


def taken_locally(sender: Sender, word: str) -> list[str]:
    """The forms that a user of the host itself could send by loopback."""
    forms = [(form.sender, form.recipient) for form in filled(sender, word)]
    order = json.dumps({"forms": forms, "ports": PORTS, "size": IN_A_SESSION})
    command = ("sudo", "-u", "nobody", "python3", "-c", LOCAL)
    said = lab_api.ssh(sender.name, *command, stdin=order, deadline=300).stdout.splitlines()
    answers = [json.loads(line) for line in said]
    assert len(answers) == len(forms) * len(PORTS) * 2
    return [f"{place} from <{author}> to <{to}>: {code}" for place, author, to, code in answers if code < 500]
