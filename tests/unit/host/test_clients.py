# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small clients by which probes ask daemons, against servers on loopback."""

from __future__ import annotations

import getpass
import grp
import os
import socket
import struct
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.host import (
    dns_client,
    milter_client,
    probe_logins,
    smtp_probe,
)
from ansible_collections.sendyard.mail.plugins.module_utils.host.milter_client import Message, MilterError, Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.host.probe_logins import Login
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.base import ProbeError
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.firewall import accepts

# --- DNS ------------------------------------------------------------------------------------------------------------


def answered(make: Callable[[dns.message.Message], dns.message.Message]) -> dns_client.Answer:
    """What the client makes of the answer that `make` gives to its query."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            data, client = server.recvfrom(4096)
            server.sendto(b"\0\0noise", client)  # to be ignored: another id, and no message
            data, client = server.recvfrom(4096)
            server.sendto(make(dns.message.from_wire(data)).to_wire(), client)

        threading.Thread(target=serve, daemon=True).start()
        return dns_client.ask("127.0.0.1", "x.example", "A", deadline=5, port=server.getsockname()[1])


@pytest.mark.parametrize(
    ("rcode", "authenticated"), [(dns.rcode.NOERROR, True), (dns.rcode.NXDOMAIN, False), (dns.rcode.SERVFAIL, False)]
)
def test_answers_are_read(rcode: dns.rcode.Rcode, authenticated: bool) -> None:
    def make(query: dns.message.Message) -> dns.message.Message:
        assert query.flags & dns.flags.RD and query.flags & dns.flags.AD and query.edns == 0
        reply = dns.message.make_response(query)
        reply.set_rcode(rcode)
        reply.flags |= dns.flags.AD if authenticated else 0
        return reply

    assert answered(make) == dns_client.Answer(dns.rcode.to_text(rcode), authenticated, 0)


def test_a_question_is_one_that_other_software_reads() -> None:
    query = dns.message.from_wire(dns_client.question("mx1.yard.example", "AAAA", 77))
    assert (query.id, str(query.question[0])) == (77, "mx1.yard.example. IN AAAA")
    assert str(dns.message.from_wire(dns_client.question(".", "DNSKEY", 1)).question[0]) == ". IN DNSKEY"


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(dns_client.DnsError, match='"SPF"'):
        dns_client.ask("127.0.0.1", "x.example", "SPF", deadline=1)


def test_silence_ends_at_the_deadline() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        with pytest.raises(dns_client.DnsError, match=r"did not answer for x.example A within 0.3 s"):
            dns_client.ask("127.0.0.1", "x.example", "A", deadline=0.3, port=server.getsockname()[1])


def test_a_closed_port_is_asked_again_until_the_deadline() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    with pytest.raises(dns_client.DnsError, match="refused"):
        dns_client.ask("127.0.0.1", "x.example", "A", deadline=0.5, port=port)


# --- milter ---------------------------------------------------------------------------------------------------------


class Milter:
    """A milter for one session: declines what `steps` says, answers each command from `answers`, notes the rest."""

    def __init__(self, path: Path, steps: int, answers: dict[bytes, list[bytes]]) -> None:
        self.steps, self.answers = steps, answers
        self.seen: list[bytes] = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        client, _ = self.server.accept()
        with client, client.makefile("rb") as stream:
            while head := stream.read(4):
                packet = stream.read(struct.unpack("!I", head)[0])
                command = packet[:1]
                self.seen.append(packet)
                if command == b"O":
                    replies = [b"O" + struct.pack("!III", 6, 0x1, self.steps)]
                else:
                    replies = self.answers.get(command, [] if command == b"D" else [b"c"])
                for data in replies:
                    client.sendall(struct.pack("!I", len(data)) + data)


MESSAGE = Message(
    "a@acme.example", "b@rx.example", [("From", "a@acme.example")], b"x\r\n", {"{daemon_name}": "O", "i": "Q"}
)


def test_a_milter_hears_the_steps_in_order_and_may_add_fields(tmp_path: Path) -> None:
    added = b"i" + struct.pack("!I", 0) + b"DKIM-Signature\0v=1; d=acme.example\0"
    milter = Milter(tmp_path / "s", 0, {b"E": [b"p", added, b"c"]})
    verdict = milter_client.submit(tmp_path / "s", MESSAGE)
    assert verdict == Verdict("continue", added=(("DKIM-Signature", "v=1; d=acme.example"),))
    assert [packet[:1] for packet in milter.seen] == [
        b"O",
        b"D",
        b"C",
        b"H",
        b"D",
        b"M",
        b"R",
        b"T",
        b"L",
        b"N",
        b"B",
        b"E",
    ]
    assert milter.seen[1] == b"DC{daemon_name}\0O\0"
    assert milter.seen[4] == b"DMi\0Q\0"


def test_steps_that_a_milter_declines_are_left_out_and_unanswered_ones_not_waited_for(tmp_path: Path) -> None:
    declined = 0x1 | 0x2 | 0x8 | 0x10 | 0x200  # connect, HELO, RCPT, body, DATA
    milter = Milter(tmp_path / "s", declined | 0x4000 | 0x80, {b"M": [], b"L": [], b"N": [b"y550 5.7.1 no\0"]})
    verdict = milter_client.submit(tmp_path / "s", MESSAGE, deadline=2)
    assert verdict == Verdict("reject", "550 5.7.1 no")
    assert [packet[:1] for packet in milter.seen if packet[:1] != b"D"] == [b"O", b"M", b"L", b"N"]


@pytest.mark.parametrize(
    ("answer", "action", "passes"),
    [
        (b"a", "accept", True),
        (b"t", "tempfail", False),
        (b"r", "reject", False),
        (b"y451 4.7.1 x\0", "tempfail", False),
    ],
)
def test_verdicts(tmp_path: Path, answer: bytes, action: str, passes: bool) -> None:
    Milter(tmp_path / "s", 0, {b"M": [answer]})
    verdict = milter_client.submit(tmp_path / "s", MESSAGE)
    assert (verdict.action, verdict.passes) == (action, passes)


def test_a_silent_milter_ends_at_the_deadline(tmp_path: Path) -> None:
    Milter(tmp_path / "s", 0, {b"C": []})
    with pytest.raises(MilterError, match=r"s does not answer: timed out"):
        milter_client.submit(tmp_path / "s", MESSAGE, deadline=0.3)


def test_no_milter_at_all(tmp_path: Path) -> None:
    with pytest.raises(MilterError, match=r"does not answer: .*No such file"):
        milter_client.submit(tmp_path / "s", MESSAGE)


# --- temporary logins -----------------------------------------------------------------------------------------------


def test_a_temporary_login_is_there_for_the_body_only_beside_others(tmp_path: Path) -> None:
    path, group = tmp_path / "probe-logins", grp.getgrgid(os.getegid()).gr_name
    path.write_text("other:{SSHA512}x\n")
    with probe_logins.temporary_login("mx1.yard.example", path=path, group=group) as login:
        lines = path.read_text().splitlines()
        assert lines[0] == "other:{SSHA512}x"
        assert lines[1].startswith(f"{login.username}:{{SSHA512}}")
        assert login.password not in path.read_text() + repr(login)
        assert (path.stat().st_mode & 0o777, path.owner()) == (0o640, getpass.getuser())
    assert path.read_text() == "other:{SSHA512}x\n"


def test_what_a_killed_run_left_goes_with_the_next_login(tmp_path: Path) -> None:
    path, group = tmp_path / "probe-logins", grp.getgrgid(os.getegid()).gr_name
    with probe_logins.temporary_login("h.example", path=path, group=group):
        left = path.read_text()
    path.write_text(left)
    with probe_logins.temporary_login("h.example", path=path, group=group):
        assert len(path.read_text().splitlines()) == 1
        assert path.read_text() != left
    assert path.read_text() == ""


def test_dovecot_can_tell_the_files_apart_by_their_time_in_whole_seconds(tmp_path: Path) -> None:
    path, group = tmp_path / "probe-logins", grp.getgrgid(os.getegid()).gr_name
    times = []
    for _ in range(3):
        with probe_logins.temporary_login("h.example", path=path, group=group):
            times.append(int(path.stat().st_mtime))
        times.append(int(path.stat().st_mtime))
    assert all(one < other for one, other in pairwise(times))


# --- SMTP sessions --------------------------------------------------------------------------------------------------


class SmtpServer:
    """Answers commands by their first words from a table; everything else with 250."""

    def __init__(self, replies: dict[str, str]) -> None:
        self.replies = {"greeting": "220 mx1.yard.example ESMTP", "EHLO": "250-mx1\r\n250 SIZE 1", **replies}
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def target(self) -> smtp_probe.Target:
        return smtp_probe.Target(smtp_probe.listener(25), "127.0.0.1", self.server.getsockname()[1])

    def serve(self) -> None:
        while True:
            client, _ = self.server.accept()
            with client, client.makefile("rb") as stream:
                client.sendall(f"{self.replies['greeting']}\r\n".encode())
                for line in stream:
                    command = line.decode().strip()
                    answer = next(
                        (text for key, text in self.replies.items() if command.upper().startswith(key)), "250 Ok"
                    )
                    client.sendall(f"{answer}\r\n".encode())
                    if command.upper() == "QUIT":
                        break


EXPECTED = smtp_probe.Expectation(
    "mx1.yard.example", "postmaster@mx1.yard.example", Login("l", "s@x", "p"), staged=False
)


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ({"greeting": "220 localhost ESMTP"}, "the greeting is '220 localhost ESMTP'"),
        ({"greeting": "554 no"}, "does not answer as SMTP"),
        ({}, "STARTTLS is not offered"),
        ({"EHLO": "250-mx1\r\n250-STARTTLS\r\n250 AUTH PLAIN"}, "AUTH is offered"),
        ({"EHLO": "451 4.7.1 try later"}, "451 4.7.1 try later. Are both milters running?"),
        (
            {"EHLO": "451 4.3.5 Server configuration error"},
            "451 4.3.5 Server configuration error",
        ),
    ],
)
def test_what_is_wrong_with_a_listener_is_said(replies: dict[str, str], message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        smtp_probe.check(SmtpServer(replies).target, EXPECTED)


def test_every_listener_that_fails_is_named() -> None:
    servers = [SmtpServer({}), SmtpServer({"greeting": "421 busy"})]
    with pytest.raises(ProbeError, match=r"(?s)STARTTLS is not offered.*does not answer as SMTP"):
        smtp_probe.check_all([server.target for server in servers], EXPECTED)


# --- nftables -------------------------------------------------------------------------------------------------------


def rule(right: object, verdict: str = "accept", op: str = "==", field: str = "dport") -> dict[str, object]:
    match = {"match": {"op": op, "left": {"payload": {"protocol": "tcp", "field": field}}, "right": right}}
    return {"rule": {"expr": [match, {verdict: None}]}}


DROPS = {"chain": {"hook": "input", "policy": "drop"}}
SERVED = {"set": {"name": "served", "elem": [25, {"range": [2200, 2300]}]}}


@pytest.mark.parametrize(
    ("objects", "open_"),
    [
        ([DROPS, rule(2222)], True),
        ([DROPS, rule({"set": [22, {"range": [2000, 2300]}]})], True),
        ([DROPS, SERVED, rule("@served")], True),
        ([{"chain": {"hook": "input", "policy": "accept"}}], True),
        ([DROPS], False),
        ([DROPS, rule(22)], False),
        ([DROPS, rule(2222, verdict="drop")], False),
        ([DROPS, rule(2222, op="!=")], False),
        ([DROPS, rule(2222, field="sport")], False),
        ([DROPS, rule("@other")], False),
    ],
)
def test_a_rule_set_accepts_a_port_or_not(objects: list[object], open_: bool) -> None:
    assert accepts({"nftables": objects}, 2222) is open_
