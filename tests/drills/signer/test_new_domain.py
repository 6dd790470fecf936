# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A domain comes and goes by the two modules' own code, and no daemon is told."""

from __future__ import annotations

import io
import json
import re
import secrets
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import logins
from drills.machines import FQDN, LOGINS, SELECTOR, Receiver, Sender, logged_in
from drills.signer.submission import authenticate, connect, send

ROOT = Path(__file__).parents[3]
PACKAGE = "ansible_collections/sendyard/mail/plugins/module_utils"
DOMAIN, LOGIN, TOKEN = "new.example", "app@new.example", logins.generate_token()
HASH = logins.hash_token(TOKEN)
DOVECOT_LOOKS = 1.1  # seconds; it looks once a second whether the file with the logins is another one
UNITS = ("dovecot", "postfix@-", "postfix", "sendyard-gate", "sendyard-opendkim")
# What the modules do below Ansible: the table on stdin, what is told on stdout.
CODE = f"""
import dataclasses, json, sys
sys.path.insert(0, "/srv")
from {PACKAGE.replace("/", ".")} import dkim_keys, domain_logins
asked = json.load(sys.stdin)
if asked["call"] == "logins":
    outcome = domain_logins.apply(asked["table"], domain_logins.Places(), dry=False)
elif asked["call"] == "make":
    outcome = dkim_keys.make(asked["table"], {SELECTOR!r}, dkim_keys.Directories(), dry=False)
else:
    outcome = dkim_keys.publish(asked["table"], {SELECTOR!r}, asked["seen"], dkim_keys.Directories(), dry=False)
print(json.dumps(dataclasses.asdict(outcome) | {{"changed": outcome.changed}}))
"""


def table(sender: Sender, *, new: bool) -> dict[str, Any]:
    """The sender's table, with DOMAIN or without."""
    known = {domain: [login] for login in LOGINS for domain in [login.partition("@")[2]]}
    lines = sender.run("cat", "/etc/dovecot/sendyard-logins").splitlines()
    hashes = {login: hashed for login, _, hashed in (line.partition(":") for line in lines) if login in LOGINS}
    if new:
        known[DOMAIN], hashes[LOGIN] = [LOGIN], HASH
    owned = {FQDN: [], **known}
    return {
        "kept": [],
        "host": {"addresses": [sender.address]},
        "domains": {name: {"logins": owners, "record_settings": "x"} for name, owners in owned.items()},
        "logins": hashes,
    }


def call(sender: Sender, name: str, said: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the module `name` would answer on the sender."""
    asked = json.dumps({"call": name, "table": said, **more}).encode()
    answer: dict[str, Any] = json.loads(sender.run("python3", "-B", "-c", CODE, stdin=asked))
    return answer


def started(sender: Sender) -> str:
    """When each daemon started, and how often each was told to read its configuration again."""
    times = sender.run("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", "-P", "MainPID", *UNITS)
    told = len(re.findall(r"reload -- version", sender.log()))
    return f"{times} {told} {sender.run('journalctl', '-t', 'opendkim', '-o', 'cat').count('reloaded')}"


@pytest.fixture(scope="module")
def host(sender: Sender) -> Iterator[Sender]:
    """The sender with the modules' code, and the state that they would have left of the two tenants."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        source = ROOT / "plugins/module_utils"
        for path in source.rglob("*.py"):
            tar.add(path, f"srv/{PACKAGE}/{path.relative_to(source)}")
    sender.run("tar", "-x", "-C", "/", stdin=archive.getvalue())
    said = table(sender, new=False)
    call(sender, "logins", said)
    pending = call(sender, "make", said)["pending"]
    call(sender, "publish", said, seen=[{"domain": name, "digest": key["digest"]} for name, key in pending.items()])
    yield sender
    call(sender, "logins", table(sender, new=False))
    call(sender, "make", table(sender, new=False))


def test_keys_that_were_there_are_told_as_they_are(host: Sender) -> None:
    again = call(host, "make", table(host, new=False))
    assert (again["changed"], again["made"], again["pending"]) == (False, [], {})
    state = json.loads(host.run("cat", "/var/lib/sendyard/dkim.json"))
    assert {name: state["public"][name] for name in host.public_keys} == host.public_keys


def test_a_new_domain_sends_once_its_key_was_seen_and_no_longer_once_it_left(host: Sender, receiver: Receiver) -> None:
    before = started(host)
    assert authenticate(host, LOGIN, TOKEN).code == 535

    said = table(host, new=True)
    assert call(host, "logins", said)["domains"] == [DOMAIN]
    time.sleep(DOVECOT_LOOKS)
    assert authenticate(host, LOGIN, TOKEN).code == 235
    waiting = call(host, "make", said)["pending"]
    assert set(waiting) == {DOMAIN}
    reply = send(host, LOGIN, login=LOGIN, password=TOKEN)
    assert 400 <= reply.code < 500, f"its record was seen by nobody: {reply}"

    call(host, "publish", said, seen=[{"domain": DOMAIN, "digest": waiting[DOMAIN]["digest"]}])
    token = secrets.token_hex(6)
    assert send(host, LOGIN, login=LOGIN, password=TOKEN, recipient=f"{token}@eight.rx.example").code == 250
    host.public_keys[DOMAIN] = waiting[DOMAIN]["public_key"]
    assert host.signers(receiver.one(token).content) == [DOMAIN]
    assert send(host, "ceo@acme.example", login=LOGIN, password=TOKEN).code == 553, "the envelope is another's"
    assert send(host, "ceo@acme.example", login=LOGIN, password=TOKEN, envelope=LOGIN).code == 550, (
        "the From is another's"
    )

    said = table(host, new=False)
    assert call(host, "logins", said)["passwords"] == [LOGIN]
    assert call(host, "make", said)["retired"] == [DOMAIN]
    time.sleep(DOVECOT_LOOKS)
    assert authenticate(host, LOGIN, TOKEN).code == 535
    assert started(host) == before, "no daemon was restarted or reloaded"


def test_a_login_loses_a_domain_within_its_session(host: Sender) -> None:
    said = table(host, new=True)
    said["domains"][DOMAIN]["logins"] = ["app@acme.example"]
    del said["logins"][LOGIN]
    call(host, "logins", said)
    with connect(host) as opened:
        logged_in(opened)
        assert opened.command(f"MAIL FROM:<x@{DOMAIN}>").positive
        assert opened.command("RCPT TO:<x@eight.rx.example>").positive
        opened.command("RSET")
        call(host, "logins", table(host, new=False))
        opened.command(f"MAIL FROM:<x@{DOMAIN}>")
        assert opened.command("RCPT TO:<x@eight.rx.example>").code == 553
