# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Who sends to the server and checks DANE finds its keys in the TLSA record, at every moment of a key's life.

Postfix's own client is the judge, on the other sender, below a resolver that validates.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import lab_api
import pytest
from lab_hosts import SENDERS, Sender
from lab_killed import site
from programs import run

CIPHERS = {"ecdsa": "ECDHE+aECDSA", "rsa": "ECDHE+aRSA"}
# The firewall lets nobody but Postfix out on port 25.
FINGER = (
    "runuser -u postfix -- posttls-finger -c -t 20 -T 20 -l dane-only -o tls_medium_cipherlist={ciphers} "
    "-p '<=TLSv1.2' -o smtp_tls_session_cache_database= {name}"
)


def judged(sender: Sender, key_type: str, name: str) -> str:
    """What the other sender's Postfix says of the connection that it makes to `name`: "Verified", or why not."""
    other = next(host for host in SENDERS if host != sender.name)
    command = FINGER.format(ciphers=CIPHERS[key_type], name=name)
    said = lab_api.root(other, "sh", "-c", f"{command} 2>&1", check=False).stdout
    found = re.search(r"(\w+) TLS connection established", said)
    return found[1] if found else said


def announced(sender: Sender) -> set[str]:
    """The TLSA record of the sender, from its primary."""
    return set(lab_api.ask("ns1", f"_25._tcp.{sender.fqdn}", "TLSA"))


def served(sender: Sender) -> set[str]:
    """What the TLSA record of the certificates that the sender's Postfix reads would be."""
    keys = set()
    for key_type in CIPHERS:
        made = f"openssl x509 -in /etc/sendyard/tls/{key_type}.pem -noout -pubkey | openssl pkey -pubin -outform DER"
        hexed = lab_api.root(sender.name, "sh", "-c", f"{made} | od -An -v -tx1 | tr -d ' \\n'").stdout
        keys.add(f"3 1 1 {hashlib.sha256(bytes.fromhex(hexed)).hexdigest()}")
    return keys


@contextmanager
def watched(sender: Sender) -> Iterator[list[str]]:
    """Ask again and again, for both types of keys, until the end; the answers."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.5):  # as many as Postfix takes from one client
            answers.extend(judged(sender, key_type, sender.fqdn) for key_type in CIPHERS)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(60)


@pytest.mark.parametrize("key_type", CIPHERS)
def test_each_certificate_is_believed(sender: Sender, key_type: str) -> None:
    assert announced(sender) == served(sender)
    assert judged(sender, key_type, sender.fqdn) == "Verified"
    assert judged(sender, key_type, f"bounces.{sender.fqdn}") == "Verified", "by its MX record, as bounces come"


@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_a_key_that_the_record_does_not_name_would_not_be(sender: Sender) -> None:
    """The control: what the tests here rest on notices a record that is wrong."""
    before = announced(sender)
    name = f"_25._tcp.{sender.fqdn}."
    try:
        lab_api.update("yard.example.", lambda message: message.replace(name, 10, "TLSA", f"3 1 1 {'ab' * 32}"))
        lab_api.until(
            lambda: judged(sender, "ecdsa", sender.fqdn) == "Untrusted", what="a connection that is not believed"
        )
    finally:
        lab_api.update("yard.example.", lambda message: message.replace(name, 5, "TLSA", *before))
    lab_api.until(
        lambda: judged(sender, "ecdsa", sender.fqdn) == "Verified", what="a connection that is believed again"
    )


@pytest.mark.parametrize("sender", ["mx-bookworm"], indirect=True)
def test_new_keys_are_announced_before_they_are_served(sender: Sender) -> None:
    before = served(sender)
    with watched(sender) as answers:
        renew = ("certbot", "renew", "--force-renewal", "--new-key", "--no-random-sleep-on-renew", "-q")
        lab_api.root(sender.name, *renew, deadline=180, check=False)
        assert served(sender) == before, "nobody was told of the new keys yet"
        assert site(sender) > 0
    assert len(answers) > 8
    assert set(answers) == {"Verified"}
    after = served(sender)
    assert not after & before
    assert announced(sender) == after, "and the old ones are withdrawn"
    assert site(sender) == 0


@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_a_record_that_is_not_wanted_goes_and_comes_back(sender: Sender) -> None:
    command = ("ansible-playbook", "playbooks/serve.yml", "--limit", sender.name)
    done = run(*command, "-e", "sendyard_tlsa=false", deadline=300)
    assert done.returncode == 0, done.stdout
    assert announced(sender) == set()
    done = run(*command, deadline=300)
    assert done.returncode == 0, done.stdout
    assert announced(sender) == served(sender)
