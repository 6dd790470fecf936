# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The lab itself: a receiver that lets everything through, or refuses everything, would prove nothing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dkim
import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.reversename
import dns.rrset
import dns.tsigkeyring
import dns.update
import lab_api
import pytest

NO_PTR, MISMATCH, PROPER = 0, 1, 2  # the stranger's addresses
STRICT, SINK, SEVEN = 0, 1, 2  # the receiver's
OPEN_ZONES = ("yard.example.", "acme.example.", "globex.example.")


def control(word: str, *, from_domain: str) -> bytes:
    """A complete message, unsigned."""
    return (
        f"From: control@{from_domain}\r\nTo: anyone@rx.example\r\nSubject: {word}\r\n"
        f"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{word}@{from_domain}>\r\n\r\nControl {word}\r\n"
    ).encode()


def signed(message: bytes, domain: str) -> bytes:
    """The message with a DKIM signature of one of the stranger's domains."""
    key = (Path(lab_api.info()["state"]) / "control-dkim.pem").read_bytes()
    return bytes(dkim.sign(message, b"control", domain.encode(), key, include_headers=[b"from", b"subject"])) + message


def altered(message: bytes) -> bytes:
    """The message with another body than was signed."""
    return message.replace(b"Control", b"Altered")


@dataclass(frozen=True)
class Control:
    """One message of the stranger; everything about it is right but what `name` says."""

    name: str
    status: str  # the enhanced status code of the refusal; empty: accepted
    text: str = ""
    source: int = PROPER
    tls: str = "starttls"
    envelope: str = "stranger.example"
    signer: str = "stranger.example"
    header_from: str = "stranger.example"
    spoil: Callable[[bytes], bytes] | None = None


CONTROLS = [
    Control("nothing wrong", ""),
    Control("no PTR", "5.7.25", "does not have a PTR", source=NO_PTR),
    Control("PTR of another host", "5.7.25", "without this address", source=MISMATCH),
    Control("clear text", "5.7.29", "TLS", tls="none"),
    Control(
        "SPF fails", "5.7.27", "SPF", envelope="nospf.stranger.example", signer="nospf.stranger.example",
        header_from="nospf.stranger.example",
    ),
    Control("unsigned", "5.7.30", "not signed", signer=""),
    Control("altered after signing", "5.7.30", "DKIM", spoil=altered),
    Control(
        "no DMARC record", "5.7.31", "DMARC", envelope="nodmarc.example", signer="nodmarc.example",
        header_from="nodmarc.example",
    ),
    Control("unaligned", "5.7.32", "aligned", header_from="lab.example"),
]  # fmt: skip


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", CONTROLS, ids=lambda case: case.name)
def test_the_receiver_rejects_exactly_what_is_wrong(case: Control, family: int) -> None:
    word = lab_api.token()
    message = control(word, from_domain=case.header_from)
    if case.signer:
        message = signed(message, case.signer)
    if case.spoil:
        message = case.spoil(message)
    dialogue = lab_api.smtp(
        lab_api.address("rx", STRICT, family=family),
        source=lab_api.address("stranger", case.source, family=family),
        sender=f"control@{case.envelope}",
        recipients=["anyone@rx.example"],
        message=message,
        tls=case.tls,
    )
    if case.status:
        assert dialogue.last.code == 550, dialogue
        assert dialogue.last.text.startswith(case.status), dialogue.last
        assert case.text in dialogue.last.text, dialogue.last
        assert lab_api.mails(word) == []
    else:
        assert dialogue.last == lab_api.Reply("message", 250, dialogue.last.text), dialogue
        mail = lab_api.wait_for_mail(word)
        assert "spf=pass smtp.mailfrom=control@stranger.example" in mail.results
        assert "dkim=pass header.d=stranger.example header.s=control" in mail.results
        assert "dmarc=pass header.from=stranger.example" in mail.results
        assert "using TLSv1.3" in str(mail.parsed["Received"])


def test_a_bounce_is_judged_by_its_helo_name() -> None:
    word = lab_api.token()
    dialogue = lab_api.smtp(
        lab_api.address("rx"),
        source=lab_api.address("stranger", PROPER),
        sender="",
        helo="stranger.example",
        recipients=["anyone@rx.example"],
        message=signed(control(word, from_domain="stranger.example"), "stranger.example"),
    )
    assert dialogue.last.code == 250, dialogue
    assert "spf=pass smtp.helo=stranger.example" in lab_api.wait_for_mail(word).results


def test_the_sink_takes_everything_and_says_what_it_saw() -> None:
    word = lab_api.token()
    dialogue = lab_api.smtp(
        lab_api.address("rx", SINK),
        source=lab_api.address("stranger", NO_PTR),
        sender="control@nospf.stranger.example",
        recipients=["anyone@sink.rx.example"],
        message=control(word, from_domain="lab.example"),
        tls="none",
    )
    assert dialogue.last.code == 250, dialogue
    results = lab_api.wait_for_mail(word).results
    for found in ("iprev=fail", "spf=fail", "dkim=none", "dmarc=fail header.from=lab.example"):
        assert found in results


def test_a_forged_result_is_taken_out() -> None:
    word = lab_api.token()
    forged = b"Authentication-Results: mx.rx.example; dkim=pass header.d=forged.example\r\n"
    foreign = b"Authentication-Results: elsewhere.example; spf=pass\r\n"
    message = foreign + forged + control(word, from_domain="lab.example")
    lab_api.smtp(
        lab_api.address("rx", SINK),
        source=lab_api.address("stranger", PROPER),
        sender="control@stranger.example",
        recipients=["anyone@sink.rx.example"],
        message=message,
    )
    mail = lab_api.wait_for_mail(word)
    assert "dkim=none" in mail.results
    assert b"forged.example" not in mail.raw
    assert b"elsewhere.example; spf=pass" in mail.raw


@pytest.mark.parametrize(
    ("face", "offered", "not_offered"),
    [
        (STRICT, {"8BITMIME", "SMTPUTF8"}, set()),
        (SINK, {"8BITMIME"}, {"SMTPUTF8"}),
        (SEVEN, set(), {"8BITMIME", "SMTPUTF8"}),
    ],
)
def test_what_each_face_of_the_receiver_offers(face: int, offered: set[str], not_offered: set[str]) -> None:
    source = lab_api.address("stranger", PROPER)
    dialogue = lab_api.smtp(lab_api.address("rx", face), source=source, sender="a@stranger.example", recipients=[])
    greeting = next(reply.text for reply in reversed(dialogue.replies) if reply.command == "EHLO")
    keywords = set(greeting.splitlines())
    assert offered | {"SIZE 52428800"} <= keywords
    assert not not_offered & keywords


def test_mail_comes_back_byte_by_byte() -> None:
    word = lab_api.token()
    body = f"From here\r\n>From there\r\n\r\n.dot {word}\r\n".encode() + b"\xc3\xa9\xff" + b"x" * 1500 + b"\r\n"
    header = control(word, from_domain="stranger.example").partition(b"\r\n\r\n")[0]
    message = signed(header + b"\r\n\r\n" + body, "stranger.example")
    dialogue = lab_api.smtp(
        lab_api.address("rx"),
        source=lab_api.address("stranger", PROPER),
        sender="control@stranger.example",
        recipients=["anyone@rx.example"],
        message=message.replace(b"\r\n.", b"\r\n.."),
    )
    assert dialogue.last.code == 250, dialogue
    mail = lab_api.wait_for_mail(word)
    assert mail.wire.endswith(message)
    assert b"\nDelivered-To: anyone@rx.example\n" in mail.raw
    assert mail.raw.startswith(b"Return-Path: <control@stranger.example>\n")


# -- DNS -------------------------------------------------------------------------------------------------------------


def fetch(server: str, name: str, kind: str) -> tuple[dns.rrset.RRset, dns.rrset.RRset]:
    """A record set and its signatures, from one name server."""
    query = dns.message.make_query(name, kind, want_dnssec=True)
    answer = dns.query.tcp(query, lab_api.address(server), timeout=5)
    owner, wanted = dns.name.from_text(name), dns.rdatatype.from_text(kind)
    data = answer.get_rrset(answer.answer, owner, dns.rdataclass.IN, wanted)
    signatures = answer.get_rrset(answer.answer, owner, dns.rdataclass.IN, dns.rdatatype.RRSIG, wanted)
    assert data is not None and signatures is not None, f"{server}: {name} {kind}: {answer.answer}"
    return data, signatures


@pytest.mark.parametrize("server", ["ns1", "ns2"])
def test_every_zone_validates_from_the_trust_anchor(server: str) -> None:
    inventory = json.loads(subprocess.check_output([lab_api.ROOT / "inventory/lab/hosts", "--list"], timeout=30))
    anchor = inventory["senders"]["vars"]["sendyard_resolver_trust_anchor"].partition(" DS ")[2]
    keys: dict[dns.name.Name, dns.rrset.RRset] = {}
    for zone in lab_api.info()["zones"]:
        name = dns.name.from_text(zone)
        parent = next((up for up in _above(name) if up in keys), None)
        if parent is None:
            delegation = dns.rrset.from_text(name, 0, "IN", "DS", anchor)
        else:
            delegation, signatures = fetch(server, zone, "DS")
            dns.dnssec.validate(delegation, signatures, {parent: keys[parent]})
        zone_keys, signatures = fetch(server, zone, "DNSKEY")
        made = {dns.dnssec.make_ds(name, key, "SHA256") for key in zone_keys}
        assert made & set(delegation), f"{zone}: no key matches the DS record"
        dns.dnssec.validate(zone_keys, signatures, {name: zone_keys})
        keys[name] = zone_keys
        soa, signatures = fetch(server, zone, "SOA")
        dns.dnssec.validate(soa, signatures, {name: zone_keys})


def _above(name: dns.name.Name) -> list[dns.name.Name]:
    """The names above one, the nearest first."""
    above = []
    while name != dns.name.root:
        name = name.parent()
        above.append(name)
    return above


@pytest.mark.parametrize("zone", OPEN_ZONES)
def test_an_update_reaches_the_secondary(zone: str) -> None:
    name = f"{lab_api.token()}.{zone}"
    assert lab_api.update(zone, lambda message: message.add(name, 5, "TXT", '"here"')) == "NOERROR"
    try:
        assert lab_api.ask("ns1", name, "TXT") == ['"here"']
        lab_api.until(lambda: lab_api.ask("ns2", name, "TXT"), what=f"{name} on ns2", deadline=10)
    finally:
        lab_api.update(zone, lambda message: message.delete(name))
    lab_api.until(lambda: not lab_api.ask("ns2", name, "TXT"), what=f"{name} gone from ns2", deadline=10)


def test_the_key_of_the_run_changes_no_foreign_zone() -> None:
    with pytest.raises(dns.exception.FormError, match="does not have one"):  # Knot refuses without a signature
        lab_api.update("rx.example.", lambda message: message.add("new.rx.example.", 5, "TXT", '"x"'))
    assert lab_api.ask("ns1", "new.rx.example.", "TXT") == []


def test_a_held_back_transfer_arrives_once_it_is_let_through() -> None:
    name = f"{lab_api.token()}.yard.example."
    with lab_api.fault("ns2", f"ip saddr {lab_api.address('ns1')} drop"):
        assert lab_api.update("yard.example.", lambda message: message.add(name, 5, "TXT", '"late"')) == "NOERROR"
        time.sleep(2)
        assert lab_api.ask("ns2", name, "TXT") == []
    lab_api.until(lambda: lab_api.ask("ns2", name, "TXT"), what=f"{name} on ns2", deadline=30)
    lab_api.update("yard.example.", lambda message: message.delete(name))


def test_updates_survive_a_restart_of_the_primary() -> None:
    name = f"{lab_api.token()}.acme.example."
    lab_api.update("acme.example.", lambda message: message.add(name, 5, "TXT", '"stays"'))
    lab_api.root("ns1", "systemctl", "restart", "knot")
    lab_api.until(lambda: lab_api.ask("ns1", name, "TXT"), what=f"{name} after the restart", deadline=10)
    lab_api.update("acme.example.", lambda message: message.delete(name))


# -- the machine beside it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["mx-trixie", "mx-bookworm"])
def test_a_bare_host_is_like_a_server(host: str) -> None:
    assert lab_api.ssh(host, "id", "-un").stdout.strip() == "ops"
    assert lab_api.root(host, "id", "-u").stdout.strip() == "0"
    outside = lab_api.ssh(host, "ip", "route", "get", "198.51.100.1", check=False)
    assert outside.rc != 0, f"{host} has a way out: {outside.stdout}"
    capabilities = lab_api.ssh(host, "grep", "CapBnd", "/proc/1/status").stdout.split()[1]
    assert not int(capabilities, 16) >> 25 & 1, f"{host} may set the clock of the whole machine"


def test_every_host_trusts_the_acme_server() -> None:
    for host in lab_api.info()["hosts"]:
        found = lab_api.ssh(host, "python3", "-c", FETCH_DIRECTORY)
        assert "newOrder" in found.stdout


FETCH_DIRECTORY = "import urllib.request as r; print(r.urlopen('https://ca.lab.example:14000/dir', timeout=9).read())"


def test_what_the_demo_says_to_look_at_next_can_be_looked_at() -> None:
    demo = subprocess.run(
        [sys.executable, lab_api.ROOT / "script/send-demo"], capture_output=True, text=True, timeout=120, check=False
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    commands = re.findall(r"^    (lab/lab .*)", demo.stdout, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        said = subprocess.check_output(shlex.split(command), cwd=lab_api.ROOT, text=True, timeout=60)
        assert "app@acme.example" in said, command


# -- names and certificates ------------------------------------------------------------------------------------------

CERTBOT = """
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
certbot certonly --standalone --non-interactive --agree-tos --register-unsafely-without-email \\
    --server https://ca.lab.example:14000/dir --domain "$1" \\
    --config-dir "$directory" --work-dir "$directory" --logs-dir "$directory" 2>&1
"""


def test_a_name_that_is_not_published_gets_no_certificate() -> None:
    name = f"{lab_api.token()}.yard.example"
    refused = lab_api.root("mx-trixie", "sh", "-s", name, stdin=CERTBOT, check=False)
    assert refused.rc != 0
    assert f"Domain: {name}" in refused.stdout
    assert "could not resolve" in refused.stdout
    zone, server = "yard.example.", lab_api.address("mx-trixie")
    assert lab_api.update(zone, lambda message: message.add(f"{name}.", 5, "A", server)) == "NOERROR"
    try:
        lab_api.until(lambda: lab_api.ask("ns2", f"{name}.", "A"), what=f"{name} on ns2", deadline=10)
        granted = lab_api.root("mx-trixie", "sh", "-s", name, stdin=CERTBOT, check=False)
        assert granted.rc == 0, granted.stdout
    finally:
        lab_api.update(zone, lambda message: message.delete(f"{name}."))


# -- save and reset --------------------------------------------------------------------------------------------------


@pytest.fixture
def saved() -> Iterator[str]:
    """The name of a state that is forgotten after the test."""
    name = "lab-test"
    yield name
    lab_api.lab("forget", "--name", name)
    again = subprocess.run(
        [lab_api.LAB, "reset", "--name", name], capture_output=True, text=True, timeout=60, check=False
    )
    assert f"nothing was saved as {name}" in again.stderr


def test_one_host_comes_back_as_it_was_saved(saved: str) -> None:
    key = lab_api.ssh("stranger", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout
    lab_api.root("stranger", "tee", "/etc/kept", stdin="kept")
    lab_api.lab("save", "stranger", "--name", saved)
    lab_api.root("stranger", "rm", "/etc/kept")
    lab_api.root("stranger", "touch", "/etc/lost")
    lab_api.lab("reset", "stranger", "--name", saved)
    found = lab_api.root("stranger", "sh", "-c", "ls /etc/kept /etc/lost", check=False)
    assert found.stdout.split() == ["/etc/kept"]
    assert lab_api.ssh("stranger", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout == key
    lab_api.root("stranger", "rm", "/etc/kept")


def test_a_name_server_that_was_reset_alone_agrees_with_the_other(saved: str) -> None:
    name = f"{lab_api.token()}.yard.example."
    lab_api.lab("save", "ns1", "--name", saved)
    lab_api.update("yard.example.", lambda message: message.add(name, 5, "TXT", '"after"'))
    lab_api.until(lambda: lab_api.ask("ns2", name, "TXT"), what=f"{name} on ns2", deadline=10)
    lab_api.lab("reset", "ns1", "--name", saved)
    assert [lab_api.ask(server, name, "TXT") for server in ("ns1", "ns2")] == [[], []]


def test_the_whole_lab_comes_back_with_zones_mail_and_logins(saved: str) -> None:
    name, kept, lost = f"{lab_api.token()}.acme.example.", lab_api.token(), lab_api.token()
    login = Path(lab_api.info()["state"]) / "domains" / "acme.example.yml"
    content = login.read_bytes()
    to_the_sink(kept)
    lab_api.lab("save", "--name", saved)
    to_the_sink(lost)
    login.write_bytes(b"broken")
    (login.parent / "new.example.yml").write_bytes(b"new")
    lab_api.update("acme.example.", lambda message: message.add(name, 5, "TXT", '"after"'))
    lab_api.lab("reset", "--name", saved)
    assert [lab_api.ask(server, name, "TXT") for server in ("ns1", "ns2")] == [[], []]
    assert (len(lab_api.mails(kept)), lab_api.mails(lost)) == (1, [])
    assert login.read_bytes() == content
    assert not (login.parent / "new.example.yml").exists()


def to_the_sink(word: str) -> None:
    """Have the sink take a message, and wait until it is stored."""
    lab_api.smtp(
        lab_api.address("rx", SINK),
        source=lab_api.address("stranger", PROPER),
        sender="control@stranger.example",
        recipients=["anyone@sink.rx.example"],
        message=control(word, from_domain="stranger.example"),
    )
    lab_api.wait_for_mail(word)
