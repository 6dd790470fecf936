# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A domain's return path, as its customer, other customers and the world see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lab_api
import pytest
from lab_hosts import SENDERS, Login, Sender
from lab_submission import Tunnels, logged_in, session, submit
from programs import run

DOMAIN = "news.globex.example"  # with "return_path: bounces" in its file
NAME = f"bounces.{DOMAIN}"
DEADLINE = 400.0  # seconds for one run


def content(author: str, token: str) -> bytes:
    """A message From: `author`."""
    return f"From: {author}\r\nTo: {lab_api.info()['receiver']['address']}\r\nSubject: {token}\r\n\r\nx\r\n".encode()


def login_of(logins: tuple[Login, ...], domain: str) -> Login:
    """The login of a tenant."""
    return next(login for login in logins if domain in login.domains)


def exchangers(name: str) -> list[str]:
    """The MX records of a name, as every name server has them."""
    first, second = (lab_api.ask(server, f"{name}.", "MX") for server in ("ns1", "ns2"))
    assert first == second
    return first


def spf(name: str) -> list[str]:
    """The terms of the one TXT record of a name, [] where there is none, as every name server has it."""
    first, second = (lab_api.ask(server, f"{name}.", "TXT") for server in ("ns1", "ns2"))
    assert first == second
    return first[0].strip('"').split() if first else []


def addresses(*hosts: str) -> set[str]:
    """The SPF mechanisms of servers."""
    return {f"ip{family}:{lab_api.address(host, family=family)}" for host in hosts for family in (4, 6)}


def stored(sender: Sender, mailbox: str, token: str) -> bool:
    """Whether a message with `token` lies in one of the host's mailboxes, once nothing is on its way any more."""
    lab_api.until(
        lambda: token not in lab_api.root(sender.name, "postqueue", "-j").stdout, what="an empty queue", deadline=60
    )
    return token in lab_api.root(sender.name, "sendyard-mail", mailbox, "--last", "20").stdout


def test_every_server_is_in_the_zone_and_nobody_else_sends_by_the_name() -> None:
    assert exchangers(NAME) == sorted(f"10 {lab_api.info()['hosts'][host]['fqdn']}." for host in SENDERS)
    terms = spf(NAME)
    assert (terms[0], terms[-1]) == ("v=spf1", "-all")
    assert set(terms[1:-1]) == addresses(*SENDERS)


def test_its_login_sends_from_it_and_the_receiver_finds_it_aligned(sender: Sender, logins: tuple[Login, ...]) -> None:
    token = lab_api.token()
    with logged_in(sender, login_of(logins, DOMAIN)) as opened:
        envelope = f"b+{token}=someone@{NAME}"
        assert submit(
            opened, envelope, [lab_api.info()["receiver"]["address"]], content(f"app@{DOMAIN}", token)
        ).positive
    mail = lab_api.wait_for_mail(token)
    assert str(mail.parsed["Return-Path"]) == f"<{envelope}>"
    for verdict in ("spf=pass", "dkim=pass", f"dmarc=pass header.from={DOMAIN}"):
        assert verdict in mail.results


@pytest.mark.parametrize(
    ("of", "envelope", "author"),
    [
        ("acme.example", f"x@{NAME}", "app@acme.example"),
        ("acme.example", f"X@{NAME.upper()}", "app@acme.example"),
        (DOMAIN, f"x@sub.{NAME}", f"app@{DOMAIN}"),
        (DOMAIN, f"x@{NAME}", f"app@{NAME}"),  # the name is for envelopes: no From: has it
        (DOMAIN, f"app@{DOMAIN}", f"app@{NAME}"),
    ],
)
def test_nobody_else_sends_from_it_and_nobody_writes_under_its_name(
    sender: Sender, logins: tuple[Login, ...], of: str, envelope: str, author: str
) -> None:
    token = lab_api.token()
    with logged_in(sender, login_of(logins, of)) as opened:
        replies = [
            opened.command(f"MAIL FROM:<{envelope}>"),
            opened.command(f"RCPT TO:<{lab_api.info()['receiver']['address']}>"),
        ]
        if all(reply.positive for reply in replies):
            replies.append(opened.data(content(author, token)))
    assert replies[-1].permanent, replies
    assert lab_api.mails(token) == []


@pytest.mark.parametrize(
    ("local", "mailbox"), [("b+7=someone=rx.example", "bounces"), ("Postmaster", "postmaster"), ("abuse", "abuse")]
)
def test_what_comes_back_to_it_is_stored(sender: Sender, local: str, mailbox: str) -> None:
    token = lab_api.token()
    said = lab_api.smtp(
        sender.ipv4,
        source=lab_api.address("stranger", 2),
        sender="",
        recipients=[f"{local}@{NAME}"],
        message=f"From: <mailer-daemon@stranger.example>\r\nSubject: {token}\r\n\r\nx\r\n".encode(),
    )
    assert said.last.code == 250, said
    assert stored(sender, mailbox, token)


@pytest.mark.parametrize(
    "recipient",
    [
        f"x@{DOMAIN}",
        f"x@sub.{NAME}",
        f"{NAME}@{{fqdn}}",
        f"@{NAME}",
        f"@{NAME}:x@sink.rx.example",
        f'"x@sink.rx.example"@{NAME}',
        f"x@sink.rx.example@{NAME}",
        # A local part that could be a route is not taken, neither here nor for the server's own bounces.
        f"x%sink.rx.example@{NAME}",
        f"sink.rx.example!x@{NAME}",
    ],
)
def test_nothing_else_is_taken_for_it(sender: Sender, stranger: Tunnels, recipient: str) -> None:
    with session(sender, 25, through=stranger) as opened:
        assert opened.command("MAIL FROM:<>").positive
        assert opened.command(f"RCPT TO:<{recipient.format(fqdn=sender.fqdn)}>").permanent


def test_a_message_that_a_receiver_refuses_comes_back_to_it(sender: Sender, logins: tuple[Login, ...]) -> None:
    token = lab_api.token()
    refused = f"{token}@mx.rx.example"  # the receiver's own name, for which it takes nothing
    with logged_in(sender, login_of(logins, DOMAIN)) as opened:
        assert submit(opened, f"b+{token}@{NAME}", [refused], content(f"app@{DOMAIN}", token)).positive

    def report() -> bool:
        box = lab_api.root(sender.name, "sendyard-mail", "bounces", "--last", "20").stdout
        return f"X-Original-To: b+{token}@{NAME}\n" in box and f"Final-Recipient: rfc822; {refused}\n" in box

    lab_api.until(report, what=f"the bounce of {refused}", deadline=60, pause=1)


# --- given up, and changed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The first sender has another return path for the domain, whose name this is; then the lab's own again."""
    state = Path(lab_api.info()["state"])
    directory = tmp_path_factory.mktemp("domains")
    for path in (state / "domains").glob("*.yml"):
        (directory / path.name).write_text(path.read_text().replace("return_path: bounces", "return_path: back.mail"))
    site(directory)
    yield f"back.mail.{DOMAIN}"
    site(state / "domains")
    assert exchangers(f"back.mail.{DOMAIN}") == spf(f"back.mail.{DOMAIN}") == []
    test_every_server_is_in_the_zone_and_nobody_else_sends_by_the_name()


def site(directory: Path) -> None:
    """Run the playbook for the first sender with these domain files."""
    done = run(
        "ansible-playbook", "site.yml", "--limit", SENDERS[0], "-e", f"sendyard_domains_directory={directory}",
        deadline=DEADLINE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def reloads() -> int:
    """How often Postfix of the first sender was told or started, by its log."""
    log = lab_api.root(SENDERS[0], "cat", "/var/log/sendyard/postfix.log").stdout
    return log.count("reload -- version") + log.count("daemon started -- version")


def test_another_return_path_takes_the_place_of_the_one_before(request: pytest.FixtureRequest) -> None:
    before = reloads()
    name = str(request.getfixturevalue("moved"))
    assert reloads() == before
    first, other = (lab_api.info()["hosts"][host]["fqdn"] for host in SENDERS)
    assert (exchangers(name), exchangers(NAME)) == ([f"10 {first}."], [f"10 {other}."])
    assert set(spf(name)[1:-1]) == addresses(SENDERS[0])
    assert set(spf(NAME)[1:-1]) == addresses(SENDERS[1])
    source, server = lab_api.address("stranger", 2), lab_api.address(SENDERS[0])
    for domain, code in ((name, 250), (NAME, 554)):
        assert lab_api.smtp(server, source=source, sender="", recipients=[f"x@{domain}"]).last.code == code
