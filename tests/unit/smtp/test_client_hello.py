# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw ClientHello is understood by a real TLS library, both where it says yes and where it says no."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import client_hello
from hypothesis import given
from hypothesis import strategies as st
from unit.smtp import servers
from unit.smtp.servers import FQDN


@contextlib.contextmanager
def openssl_server(ca: servers.Ca, *options: str) -> Iterator[int]:
    """`openssl s_server` on a free port, which it chooses itself and prints."""
    certificate = ("-cert", str(ca.certificate), "-key", str(ca.certificate))
    with subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", *certificate, *options],
        stdin=subprocess.PIPE,  # it ends when its input does
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            end = time.monotonic() + 10
            for line in server.stdout:
                assert time.monotonic() < end
                if line.startswith("ACCEPT 127.0.0.1:"):
                    yield int(line.rpartition(":")[2])
                    return
            raise AssertionError("openssl s_server did not start")
        finally:
            server.kill()


def ask(port: int, version: str, suites: tuple[int, ...] = client_hello.CIPHER_SUITES) -> client_hello.Answer:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(client_hello.client_hello(version, FQDN, suites=suites))
        data = b""
        while client_hello.missing(data):
            more = sock.recv(4096)
            if not more:
                break
            data += more
    return client_hello.parse_answer(data)


@pytest.mark.parametrize(("version", "option"), [("TLS 1.0", "-tls1"), ("TLS 1.1", "-tls1_1"), ("TLS 1.2", "-tls1_2")])
def test_a_weak_server_takes_the_version_it_has(ca: servers.Ca, version: str, option: str) -> None:
    with openssl_server(ca, option, "-cipher", "ALL:@SECLEVEL=0") as port:
        answer = ask(port, version)
    assert (answer.accepted, answer.version) == (True, version)
    assert answer.cipher_suite in client_hello.CIPHER_SUITES


@pytest.mark.parametrize("version", ["SSL 3.0", "TLS 1.0", "TLS 1.1"])
def test_a_server_of_today_refuses_with_an_alert(ca: servers.Ca, version: str) -> None:
    with openssl_server(ca, "-min_protocol", "TLSv1.2") as port:
        answer = ask(port, version)
    assert not answer.accepted
    assert answer.alert in ("protocol_version", "handshake_failure")


@pytest.mark.parametrize(("cipher", "suite"), [("ADH-AES128-SHA", 0x0034), ("ECDHE-ECDSA-NULL-SHA", 0xC006)])
def test_a_weak_server_takes_a_weak_suite(ca: servers.Ca, cipher: str, suite: int) -> None:
    with openssl_server(ca, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0") as port:
        assert ask(port, "TLS 1.2", client_hello.WEAK_CIPHER_SUITES).cipher_suite == suite


def test_a_server_of_today_takes_no_weak_suite(ca: servers.Ca) -> None:
    with openssl_server(ca, "-tls1_2") as port:
        assert ask(port, "TLS 1.2", client_hello.WEAK_CIPHER_SUITES).alert == "handshake_failure"


def test_a_closed_connection_is_no_yes() -> None:
    assert not client_hello.parse_answer(b"").accepted


@pytest.mark.parametrize(
    "data", [b"220 smtp.example ESMTP\r\n", b"\x17\x03\x03\x00\x01\x00", b"\x16\x03\x01\x00\x02\x02\x00"]
)
def test_what_is_no_answer_to_a_hello_is_an_error(data: bytes) -> None:
    with pytest.raises(client_hello.HelloError):
        client_hello.parse_answer(data)


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_more_than_they_are(data: bytes) -> None:
    try:
        answer = client_hello.parse_answer(data)
    except client_hello.HelloError:
        return
    assert answer.accepted == (len(data) > 43 and data[0] == 22 and data[5] == 2)
