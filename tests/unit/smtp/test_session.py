# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.smtp.session import (
    Endpoint,
    Listener,
    Reply,
    SmtpError,
    dot_stuffed,
    session,
    tls_context,
)
from unit.smtp import servers
from unit.smtp.servers import FQDN, PASSWORD, USERNAME, Server

ANY = tls_context(verify=False)


@contextlib.contextmanager
def scripted(*answers: bytes, silent: bool = False) -> Iterator[tuple[Endpoint, list[bytes]]]:
    """A server that says `answers` one by one, each after it has read something; what it read is collected."""
    heard: list[bytes] = []
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.settimeout(5)
        with connection, contextlib.suppress(OSError):
            for number, answer in enumerate(answers):
                if number:
                    heard.append(connection.recv(65536))
                connection.sendall(answer)
            if silent:
                over.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield Endpoint(FQDN, "127.0.0.1", Listener(listening.getsockname()[1])), heard
        over.set()
        thread.join(5)


def test_a_reply_of_several_lines_is_one_reply() -> None:
    with scripted(b"220-a\r\n220-b\r\n220 c\r\n") as (endpoint, _), session(endpoint, ANY) as opened:
        assert opened.banner == Reply(220, ("a", "b", "c"))
        opened.abandon()


@pytest.mark.parametrize(
    ("line", "enhanced"), [("5.7.1 no", "5.7.1"), ("2.0.0", "2.0.0"), ("no 5.7.1", ""), ("5.7.1no", ""), ("", "")]
)
def test_the_enhanced_status_code_is_read_where_it_stands(line: str, enhanced: str) -> None:
    assert Reply(550, (line,)).enhanced == enhanced


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH\r\n", b"220-a\r\n250 b\r\n", b"199 x\r\n", b"\r\n"])
def test_what_is_no_smtp_is_told(banner: bytes) -> None:
    with scripted(banner) as (endpoint, _), pytest.raises(SmtpError) as caught, session(endpoint, ANY):
        pass
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(("banner", "kind"), [(b"421 4.7.0 busy\r\n", "busy"), (b"554 go away\r\n", "refused")])
def test_a_greeting_that_sends_us_away_is_told(banner: bytes, kind: str) -> None:
    with scripted(banner) as (endpoint, _), pytest.raises(SmtpError) as caught, session(endpoint, ANY):
        pass
    assert caught.value.kind == kind


def test_silence_ends_at_its_deadline() -> None:
    started = time.monotonic()
    with (
        scripted(b"", silent=True) as (endpoint, _),
        pytest.raises(SmtpError) as caught,
        session(endpoint, ANY, timeout=0.3),
    ):
        pass
    assert caught.value.kind == "timeout"
    assert time.monotonic() - started < 5


def test_a_server_that_trickles_ends_at_the_deadline_of_the_session() -> None:
    with (
        scripted(*[b"220-x\r\n"] * 1, silent=True) as (endpoint, _),
        pytest.raises(SmtpError, match=r"longer than it may|no reply"),
        session(endpoint, ANY, timeout=5, whole=0.3),
    ):
        pass


def test_no_password_is_in_the_dialogue(ca: servers.Ca) -> None:
    with Server(ca, Listener(587)).run() as endpoint, session(endpoint, ANY) as opened:
        opened.ehlo("c.example")
        opened.start_tls()
        opened.ehlo("c.example")
        assert opened.login_login(USERNAME, "wrong").code == 535
        assert opened.login_plain(USERNAME, PASSWORD).code == 235
    said = "\n".join(map(str, opened.dialogue))
    assert "AUTH PLAIN (login" in said
    for secret in (PASSWORD, "d3Jvbmc=", "cmlnaHQ"):
        assert secret not in said.replace("copyright", "")
    assert said.startswith(f"S: 220 {FQDN}")
    assert said.endswith("S: 221 2.0.0 Bye")


def test_the_certificate_is_verified_with_its_name(ca: servers.Ca) -> None:
    trusting = tls_context(ca_file=str(ca.ca_file))
    with Server(ca, Listener(465, implicit_tls=True)).run() as endpoint:
        with session(endpoint, trusting) as opened:
            assert opened.tls is not None
            assert (opened.tls.names, opened.tls.verified) == ((FQDN,), True)
        other = Endpoint("other.example", endpoint.address, endpoint.listener)
        with pytest.raises(SmtpError) as caught, session(other, trusting):
            pass
        assert caught.value.kind == "certificate"
        with pytest.raises(SmtpError) as caught, session(endpoint, tls_context()):
            pass
        assert caught.value.kind == "certificate"


def test_what_a_server_says_in_clear_behind_its_220_is_not_believed() -> None:
    with (
        scripted(b"220 x\r\n", b"220 go\r\n250 injected\r\n") as (endpoint, _),
        session(endpoint, ANY) as opened,
        pytest.raises(SmtpError, match="spoke in clear"),
    ):
        opened.start_tls()


@pytest.mark.parametrize("answer", ["250 2.0.0 Ok", "354 go on", "221 2.0.0 Ready", "421 4.7.0 later", "502 5.5.1 no"])
def test_starttls_is_begun_by_220_alone(answer: str) -> None:
    with (
        scripted(b"220 x\r\n", f"{answer}\r\n".encode()) as (endpoint, heard),
        pytest.raises(SmtpError, match=answer) as caught,
        session(endpoint, ANY) as opened,
    ):
        opened.start_tls()
    assert caught.value.kind == ("busy" if answer.startswith("421") else "refused")
    assert heard == [b"STARTTLS\r\n"]


def test_bytes_are_sent_as_they_are() -> None:
    raw = b"a\nb\r.\r\n\n.\nc\x00\xff\r\n.\r\n"
    with scripted(b"220 x\r\n", b"354 go\r\n", b"250 ok\r\n") as (endpoint, heard), session(endpoint, ANY) as opened:
        assert opened.data_raw(raw, shown="raw").code == 250
        opened.abandon()
    assert heard == [b"DATA\r\n", raw]


def test_bdat_sends_its_chunks_and_stops_at_a_refusal() -> None:
    with (
        scripted(b"220 x\r\n", b"250 ok\r\n", b"552 too much\r\n") as (endpoint, heard),
        session(endpoint, ANY) as opened,
    ):
        assert opened.bdat([b"ab", b"cd", b"ef"]).code == 552
        opened.abandon()
    assert heard == [b"BDAT 2\r\nab", b"BDAT 2\r\ncd"]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".a\r\n..\r\nb.\r\n", b"..a\r\n...\r\nb.\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed(content: bytes, sent: bytes) -> None:
    assert dot_stuffed(content) == sent


def test_a_source_address_is_bound(ca: servers.Ca) -> None:
    with Server(ca, Listener(587)).run() as endpoint, session(endpoint, ANY, source="127.0.0.77") as opened:
        assert opened.local_address == "127.0.0.77"
