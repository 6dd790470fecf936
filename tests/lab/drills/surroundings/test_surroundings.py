# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What is around the daemons fails while mail flows: the host, its disk, name servers, receivers, the certificate."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import lab_api
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from lab_faults import AUTH, GATE, SIGNER, postfix
from lab_hosts import Login, Sender
from lab_stream import stream
from lab_submission import logged_in, signers, submit
from lab_weakened import reload_postfix
from tls import Authority, make_key

QUEUE = "/var/spool/postfix"
HEALED = 180.0


def container(sender: Sender) -> str:
    """The name of the sender's container."""
    names = subprocess.run(
        ["podman", "ps", "-a", "--filter", f"label=sendyard.lab={lab_api.ROOT}", "--format", "{{.Names}}"],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout.split()  # fmt: skip
    return next(name for name in names if name.endswith(sender.name))


@contextmanager
def dead(sender: Sender) -> Iterator[None]:
    """A host whose every process was killed, and which is started again."""
    subprocess.run(["podman", "kill", container(sender)], check=True, capture_output=True, timeout=60)
    try:
        yield
    finally:
        lab_api.lab("up", deadline=300)


def test_the_host_dies_and_is_started(sender: Sender, logins: tuple[Login, ...]) -> None:
    """Process death: the page cache outlives a container. For loss of power see the order of fsync and reply."""
    with stream(sender, logins) as running:
        with dead(sender):
            running.wait_until_shut()
        running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()


@contextmanager
def unreachable(*hosts: str) -> Iterator[None]:
    """Name servers that answer nobody."""
    rule = "meta l4proto { tcp, udp } th dport 53 drop"
    for host in hosts:
        lab_api.lab("fault", host, rule)
    try:
        for host in hosts:
            with pytest.raises((dns.exception.Timeout, OSError)):
                lab_api.ask(host, "rx.example", "MX")
        yield
    finally:
        for host in hosts:
            lab_api.lab("fault", host, "clear")


@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_no_name_server_can_be_reached(sender: Sender, logins: tuple[Login, ...]) -> None:
    with stream(sender, logins) as running:
        with unreachable("ns1", "ns2"):
            running.hold()
        running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()
    bounced = lab_api.root(sender.name, "grep", "-c", "status=bounced.*sink.rx.example", LOG, check=False).stdout
    assert bounced.strip() == "0"


LOG = "/var/log/sendyard/postfix.log"

# --- the disk ---------------------------------------------------------------------------------------------------------


@contextmanager
def small_queue_disk(sender: Sender, megabytes: int = 160) -> Iterator[None]:
    """The queue on a file system of its own, so that it can be filled."""
    units = (postfix(sender), GATE, SIGNER, AUTH)
    to_and_fro = f"systemctl stop {' '.join(units)}; set -e; {{}}; systemctl start {' '.join(reversed(units))}"
    mount = f"cp -a {QUEUE} /var/queue; mount -t tmpfs -o size={megabytes}m tmpfs {QUEUE}; cp -a /var/queue/. {QUEUE}"
    lab_api.root(sender.name, "sh", "-c", to_and_fro.format(mount))
    try:
        yield
    finally:
        lab_api.root(sender.name, "sh", "-c", to_and_fro.format(f"umount {QUEUE}; rm -rf /var/queue"))


@contextmanager
def filled(sender: Sender, *, spare: int) -> Iterator[None]:
    """A queue disk with `spare` megabytes left; 0 is not a byte."""
    room = f"$(( $(df --output=avail -B1 {QUEUE} | tail -1) - {spare} * 1048576 ))"
    fill = (
        f"head -c {room} /dev/zero > {QUEUE}/filler"
        if spare
        else f"for _ in 1 2 3; do cat /dev/zero >> {QUEUE}/filler; done"
    )
    lab_api.root(sender.name, "sh", "-c", fill, check=False)
    try:
        left = int(lab_api.root(sender.name, "sh", "-c", f"df --output=avail -B1 {QUEUE} | tail -1").stdout)
        assert left <= spare * 1048576
        yield
    finally:
        lab_api.root(sender.name, "rm", f"{QUEUE}/filler")


@pytest.mark.parametrize("spare", [20, 0], ids=["below the minimum", "full"])
def test_the_queue_disk_is_full_and_freed(sender: Sender, logins: tuple[Login, ...], spare: int) -> None:
    with small_queue_disk(sender), stream(sender, logins) as running:
        with filled(sender, spare=spare):
            during = running.hold()
            assert not [attempt for attempt in during if attempt.accepted], during
            assert any("4.3.1" in attempt.text for attempt in during), during
        running.wait_for(20, deadline=HEALED)
        fate = running.fate()
        fate.assert_kept()


# --- receivers --------------------------------------------------------------------------------------------------------

HABITS = ("reset", "busy", "grey", "drip")
SPOOL = "/srv/bad-receiver"


def _zone(change: str) -> None:
    """Publish the misbehaving receivers' domains, or take them away."""
    plain, dripping = (lab_api.address("stranger", index) for index in (0, 1))

    def publish(update: object) -> None:
        for habit in HABITS:
            name = f"{habit}.bad"
            for kind, data in (("MX", f"10 {name}.yard.example."), ("A", dripping if habit == "drip" else plain)):
                getattr(update, change)(*((name, 10, kind, data) if change == "replace" else (name, kind)))

    assert lab_api.update("yard.example.", publish) == "NOERROR"
    lab_api.until(
        lambda: all(bool(lab_api.ask(server, f"{habit}.bad.yard.example", "MX")) == (change == "replace")
                    for server in ("ns1", "ns2") for habit in HABITS),
        what="both name servers to say so",
    )  # fmt: skip


@pytest.fixture
def bad_receiver() -> Iterator[None]:
    """Receivers that misbehave, on the stranger's addresses."""
    program = Path(__file__).with_name("bad_receiver.py").read_text()
    lab_api.root("stranger", "sh", "-c", f"mkdir -p {SPOOL}; cat > {SPOOL}.py", stdin=program)
    addresses = (lab_api.address("stranger", 0), f"{lab_api.address('stranger', 1)}=drip")
    lab_api.root("stranger", "systemd-run", "--unit=bad-receiver", "python3", f"{SPOOL}.py", SPOOL, *addresses)
    _zone("replace")
    try:
        yield
    finally:
        _zone("delete")
        lab_api.root("stranger", "systemctl", "stop", "bad-receiver")
        lab_api.root("stranger", "rm", "-r", SPOOL, f"{SPOOL}.py")


def _taken(word: str) -> list[bytes]:
    """The messages with `word` that the misbehaving receivers took in the end."""
    script = f"for file in $(grep -l {word} {SPOOL}/*.eml); do cat $file; echo =====; done"
    found = lab_api.root("stranger", "sh", "-c", script, check=False).stdout
    return [text.replace("\n", "\r\n").encode() for text in found.split("=====\n") if text]


def test_receivers_that_misbehave_hold_up_nobody_else(
    sender: Sender, logins: tuple[Login, ...], bad_receiver: None
) -> None:
    login = logins[0]
    word = lab_api.token()
    with logged_in(sender, login) as opened:
        for habit in HABITS:
            content = f"From: {login.username}\r\nSubject: {word} {habit}\r\n\r\nHello.\r\n".encode()
            recipient = f"someone@{habit}.bad.yard.example"
            assert submit(opened, login.username, [recipient], content).positive, habit
    with stream(sender, logins) as running:
        lab_api.until(
            lambda: set(lab_api.root("stranger", "cat", f"{SPOOL}/seen", check=False).stdout.split()) == set(HABITS),
            what="every receiver to misbehave",
            deadline=120,
        )
        assert not _taken(word)
        running.wait_for(20)
        running.stop()
        # Without any help for the queue: what is for others is not held up.
        accepted = {attempt.number for attempt in running.attempts if attempt.accepted}
        lab_api.until(lambda: len(lab_api.mails(running.word)) >= len(accepted), what="the stream", deadline=60)
        running.fate().assert_kept()
    lab_api.root("stranger", "touch", f"{SPOOL}/behave")

    def all_taken() -> list[bytes] | None:
        lab_api.root(sender.name, "postqueue", "-f")
        return found if len(found := _taken(word)) >= len(HABITS) else None

    taken = lab_api.until(all_taken, what="the messages that waited", deadline=240, pause=5)
    subjects = sorted(re.search(rb"Subject: \S+ (\w+)", content)[1].decode() for content in taken)  # type: ignore[index]
    assert subjects == sorted(HABITS)
    assert all(signers(content) == [login.domains[0]] for content in taken)


UNANSWERED = "/var/lib/sendyard/postfix/unanswered"
HOUSEKEEPING = "sendyard-postfix-housekeeping"


def test_who_does_not_answer_has_delivery_processes_of_its_own(sender: Sender, logins: tuple[Login, ...]) -> None:
    """The table routes, and is made anew from the queue. What this gains: `script/bench queue`."""
    login, word = logins[0], lab_api.token()
    content = f"From: {login.username}\r\nSubject: {word}\r\n\r\nHello.\r\n".encode()
    lab_api.root(sender.name, "systemctl", "stop", f"{HOUSEKEEPING}.timer")
    try:
        # A file of a container's image is another one once it was written to, and who has it open keeps the first.
        lab_api.root(sender.name, "touch", f"{UNANSWERED}.lmdb")
        reload_postfix(sender.name)
        lab_api.root(sender.name, "tee", UNANSWERED, stdin="sink.rx.example unanswered:\n")
        lab_api.root(sender.name, "postmap", f"lmdb:{UNANSWERED}")
        with logged_in(sender, login) as opened:
            assert submit(opened, login.username, [f"{word}@sink.rx.example"], content).positive
        lab_api.wait_for_mail(word)
        by = rf"postfix/unanswered/smtp\[.*to=<{word}@.*status=sent"
        lab_api.until(
            lambda: lab_api.root(sender.name, "grep", "-c", by, LOG, check=False).stdout.strip() == "1",
            what=f"a delivery by {by}",
        )
    finally:
        lab_api.root(sender.name, "systemctl", "start", HOUSEKEEPING, f"{HOUSEKEEPING}.timer")
    assert lab_api.root(sender.name, "cat", UNANSWERED).stdout == ""


def test_the_hosts_own_mail_is_never_sent_away(sender: Sender) -> None:
    """Where its mailbox takes nothing, it waits: by the network it would come back, and be returned as a loop."""
    address, box, word = f"postmaster@{sender.fqdn}", "/var/mail/sendyard", lab_api.token()
    lab_api.root(sender.name, "systemctl", "stop", f"{HOUSEKEEPING}.timer")
    try:
        lab_api.root(sender.name, "mv", box, "/var/mail/kept")
        lab_api.root(sender.name, "touch", box)  # no directory: virtual(8) has nowhere to put it
        message = f"Subject: {word}\n\nHello.\n"
        lab_api.root(sender.name, "sendmail", "-f", f"root@{sender.fqdn}", address, stdin=message)
        waits = f"to=<{address}>.*status=deferred"
        lab_api.until(lambda: lab_api.root(sender.name, "grep", "-c", waits, LOG, check=False).rc == 0, what=waits)
        lab_api.root(sender.name, "/usr/local/sbin/sendyard-unanswered")
        assert lab_api.root(sender.name, "cat", UNANSWERED).stdout == ""
    finally:
        lab_api.root(sender.name, "rm", box)
        lab_api.root(sender.name, "mv", "/var/mail/kept", box)
        lab_api.root(sender.name, "systemctl", "start", HOUSEKEEPING, f"{HOUSEKEEPING}.timer")
    lab_api.root(sender.name, "postqueue", "-f")
    lab_api.until(lambda: word in lab_api.root(sender.name, "sendyard-mail", "postmaster").stdout, what="the message")


# --- the certificate --------------------------------------------------------------------------------------------------


def _certificate_fault(sender: Sender, port: int) -> str:
    """Why a client does not trust what it is shown, "" where it does."""
    context = ssl.create_default_context(cafile=lab_api.info()["ca"])
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    listener = next(one for one in smtp.LISTENERS if one.port == port)
    try:
        with smtp.session(smtp.Endpoint(sender.fqdn, sender.ipv4, listener), context, timeout=30) as opened:
            if not listener.implicit_tls:
                opened.ehlo("client.example")
                opened.start_tls()
    except smtp.SmtpError as error:
        if error.kind != "certificate":
            raise
        return str(error)
    return ""


def test_an_expired_certificate_stops_clients_and_a_renewal_serves_them_again(
    sender: Sender, logins: tuple[Login, ...], tmp_path: Path
) -> None:
    ports = (25, 587, 465, 2525)
    authority = Authority(tmp_path)
    with stream(sender, logins) as running:
        for kind in ("ecdsa", "rsa"):
            expired = authority.issue(sender.fqdn, key=make_key(kind), days=-1)
            place = f"/etc/sendyard/tls/{kind}.pem"
            lab_api.root(sender.name, "sh", "-c", f"cat > {place}", stdin=expired.key + expired.certificate)
        try:
            lab_api.root(sender.name, "systemctl", "reload", "postfix")
            lab_api.until(
                lambda: all(_certificate_fault(sender, port) for port in ports), what="the expired certificate"
            )
            during = running.hold()
            assert not [attempt for attempt in during if attempt.accepted], "a client sent its password all the same"
        finally:
            renew = ("certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", "-q")
            lab_api.root(sender.name, *renew, deadline=240)
        lab_api.until(lambda: not any(_certificate_fault(sender, port) for port in ports), what="the new certificate")
        running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    assert not fate.shut, "a renewal shuts no port"
    fate.assert_kept()


# --- loss of power ----------------------------------------------------------------------------------------------------

STRACE = ("strace", "-f", "-ttt", "-yy", "-e", "trace=fsync,fdatasync,write,sendto")


def replies(trace: str, stored: str, connection: str) -> tuple[int, int]:
    """How often `connection` was written to before and after a file like `stored` was made to reach the disk."""
    before = after = 0
    synced = False
    for line in trace.splitlines():
        if re.search(rf"\bf(?:data)?sync\(\d+<[^>]*{stored}", line):
            synced = True
        elif re.search(rf"\b(?:write|sendto)\(\d+<{connection}", line):
            before, after = (before, after + 1) if synced else (before + 1, after)
    return before, after


def test_the_order_of_writing_and_answering_can_be_seen(tmp_path: Path) -> None:
    """The control: of two programs that store a line and answer, one answers first."""
    for sync, expected in (("os.fsync(f.fileno())", (0, 1)), ("pass", (1, 0))):
        program = f"import os\nf = open('incoming-x', 'wb', 0)\nf.write(b'x')\n{sync}\nos.write(1, b'250')"
        trace = tmp_path / "trace"
        with (tmp_path / "answer").open("wb") as answer:
            subprocess.run([*STRACE, "-o", trace, "python3", "-c", program], cwd=tmp_path, stdout=answer, check=True)
        assert replies(trace.read_text(), "incoming-", "[^>]*/answer") == expected


def test_what_is_answered_with_250_is_on_the_disk(sender: Sender, logins: tuple[Login, ...], tmp_path: Path) -> None:
    """Of the answers to MAIL, RCPT, DATA, the end of the message and RSET, the last two come behind fsync(2)."""
    login, trace = logins[0], tmp_path / "trace"
    content = f"From: {login.username}\r\nSubject: x\r\n\r\nHello.\r\n".encode()
    recipient = f"{lab_api.token()}@sink.rx.example"
    with logged_in(sender, login) as opened:
        assert submit(opened, login.username, [recipient], content).positive  # the daemons of this session run now
        pids = _pids_of(sender, "cleanup", "smtpd")
        of_all = [argument for pid in pids for argument in ("-p", str(pid))]
        with subprocess.Popen([*STRACE, "-o", trace, *of_all], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr
            for _ in pids:
                assert "attached" in tracer.stderr.readline()
            assert submit(opened, login.username, [recipient], content).positive
            tracer.terminate()
    assert replies(trace.read_text(), "/incoming/", "TCP") == (3, 2), trace.read_text()


def _pids_of(sender: Sender, *names: str) -> list[int]:
    """Processes of the sender, as this machine numbers them."""
    listed = subprocess.run(
        ["podman", "top", container(sender), "hpid", "comm"], check=True, capture_output=True, text=True, timeout=60
    ).stdout.splitlines()[1:]
    return [int(pid) for pid, name in map(str.split, listed) if name in names]
