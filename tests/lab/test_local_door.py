# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the host itself may send: just any user nothing, root nothing as a customer, its own mail signed."""

from __future__ import annotations

import json

import lab_api
import pytest
from lab_hosts import Sender
from lab_submission import signers

CUSTOMER = "app@acme.example"


def by_sendmail(sender: Sender, user: str, author: str, envelope: str) -> tuple[lab_api.Ran, str]:
    """Send as `user` with sendmail(1); how that ended, and the word by which the message is found."""
    token = lab_api.token()
    content = f"From: {author}\nTo: {token}@sink.rx.example\nSubject: {token}\n\nHello.\n"
    command = ("-u", user, "/usr/sbin/sendmail", "-f", envelope, f"{token}@sink.rx.example")
    return lab_api.root(sender.name, *command, stdin=content, check=False), token


def queue(sender: Sender) -> str:
    """What waits to be sent."""
    return lab_api.root(sender.name, "postqueue", "-p").stdout


@pytest.mark.parametrize("user", ["nobody", "ops", "www-data"])
def test_a_user_has_no_way_out(sender: Sender, user: str) -> None:
    token = lab_api.token()
    order = {
        "authors": [CUSTOMER, f"root@{sender.fqdn}", f"{user}@{sender.fqdn}"],
        "recipient": f"{token}@sink.rx.example",
        "addresses": ["127.0.0.1", "::1", *sender.addresses],
    }
    script = (lab_api.ROOT / "tests" / "local_ways.py").read_text()
    argv = ("-u", user, "python3", "-", json.dumps(order))
    answers = json.loads(lab_api.root(sender.name, *argv, stdin=script).stdout)
    assert len(answers) > 60
    assert [f"{way}: {said}" for way, refused, said in answers if not refused] == []
    assert token not in queue(sender)
    assert lab_api.mails(token) == []


@pytest.mark.parametrize(
    ("author", "envelope"),
    [
        (CUSTOMER, "root@{fqdn}"),
        (f"Root <{CUSTOMER}>", "root@{fqdn}"),
        (f"root@{{fqdn}}, {CUSTOMER}", "root@{fqdn}"),
        ("root@{fqdn}", CUSTOMER),
        ("root@{fqdn}", f"@{{fqdn}}:{CUSTOMER}"),
        (CUSTOMER, CUSTOMER),
    ],
)
def test_not_even_root_sends_as_a_customer(sender: Sender, author: str, envelope: str) -> None:
    ran, token = by_sendmail(sender, "root", author.format(fqdn=sender.fqdn), envelope.format(fqdn=sender.fqdn))
    # sendmail(1) ends well and cleanup(8) refuses later: what was sent after it, and arrives, shows that its turn came.
    _, after = by_sendmail(sender, "root", f"root@{sender.fqdn}", f"root@{sender.fqdn}")
    lab_api.wait_for_mail(after)
    lab_api.until(lambda: token not in queue(sender), what=f"{token} has left the queue")
    assert lab_api.mails(token) == [], ran


def test_the_hosts_own_mail_is_signed_with_its_own_name(sender: Sender) -> None:
    ran, token = by_sendmail(sender, "root", f"root@{sender.fqdn}", f"root@{sender.fqdn}")
    assert ran.rc == 0, ran
    assert signers(lab_api.wait_for_mail(token).wire) == [sender.fqdn]


def test_a_bounce_passes_the_gate(sender: Sender) -> None:
    _, token = by_sendmail(sender, "root", CUSTOMER, f"root@{sender.fqdn}")  # is refused, which a bounce tells root
    stored = ("sendyard-mail", "postmaster", "--last", "5")
    lab_api.until(lambda: token in lab_api.root(sender.name, *stored).stdout, what=f"the bounce of {token}")


def test_no_network_is_trusted(sender: Sender) -> None:
    assert lab_api.root(sender.name, "postconf", "-h", "mynetworks").stdout.strip() == ""
