"""Preflight's judgement of settings and host, fault by fault."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import inspection
from ansible_collections.sendyard.mail.plugins.module_utils.preflight import host_faults, setting_faults

SAID: dict[str, Any] = {
    "fqdn": "mx1.yard.example",
    "bounce_domain": "bounces.mx1.yard.example",
    "selector": "mx1-1",
    "addresses": [{"public": "198.51.100.1"}, {"public": "2001:db8::1", "bind": "fd00::1"}],
    "dns_credential": "lab",
    "dns_credentials": {"lab": {}},
    "certificate_source": "acme",
    "takeover": False,
    "preflight_port25_targets": ["mx.rx.example"],
}
FOUND: dict[str, Any] = {
    "distribution": "debian",
    "release": "13",
    "init": "systemd",
    "addresses_missing": [],
    "clock_off": 0.4,
    "port25": "open",
    "occupied": {},
    "main_cf": "absent",
}


def test_good_settings_and_a_bare_host_have_no_faults() -> None:
    assert not list(setting_faults(SAID))
    assert not list(host_faults(FOUND, SAID))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fqdn": "mx1"}, "sendyard_fqdn"),
        ({"selector": "Mx_1"}, "sendyard_selector"),
        ({"addresses": []}, "sendyard_addresses"),
        ({"addresses": [{"public": "198.51.100.256"}]}, 'entry 1: public: "198.51.100.256" is no IP address'),
        ({"dns_credential": "lba"}, '"lba" is not in sendyard_dns_credentials (lab)'),
        ({"certificate_source": "provided"}, "sendyard_certificate_provided"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], words: str) -> None:
    (fault,) = setting_faults(SAID | change)
    assert words in fault


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"release": "11"}, "supported are Debian 12 and 13"),
        ({"distribution": "ubuntu", "release": "12"}, "ubuntu"),
        ({"init": "sh"}, "systemd is needed"),
        ({"addresses_missing": ["198.51.100.1"]}, "does not hold 198.51.100.1"),
        ({"clock_off": -61.0}, "off by -61 s"),
        ({"port25": "blocked"}, "outbound port 25"),
        ({"occupied": {"25": "exim4"}}, "port 25 is taken by exim4"),
        ({"occupied": {"80": "nginx"}}, "port 80 is taken by nginx"),
        ({"main_cf": "foreign"}, "sendyard_takeover"),
    ],
)
def test_a_host_that_is_not_fit_is_told_why(change: dict[str, Any], words: str) -> None:
    (fault,) = host_faults(FOUND | change, SAID)
    assert words in fault


def test_all_faults_are_said_together() -> None:
    assert len(list(host_faults(FOUND | {"release": "11", "init": "sh", "port25": "blocked"}, SAID))) == 3


def test_a_takeover_and_a_web_server_without_acme_are_fine() -> None:
    found = FOUND | {"main_cf": "foreign", "occupied": {"80": "nginx"}}
    assert not list(host_faults(found, SAID | {"takeover": True, "certificate_source": "selfsigned"}))


def test_os_release_is_read() -> None:
    assert inspection.os_release('ID=debian\nVERSION_ID="13"\n# x\n') == {"ID": "debian", "VERSION_ID": "13"}


@pytest.mark.parametrize(("text", "whose"), [("# Sendyard: main.cf\n", "ours"), ("# Debian\n", "foreign")])
def test_whose_main_cf(tmp_path: Path, text: str, whose: str) -> None:
    path = tmp_path / "main.cf"
    assert inspection.main_cf(path) == "absent"
    path.write_text(text)
    assert inspection.main_cf(path) == whose


def test_listeners_on_loopback_are_nobodys_business() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.create_server(("0.0.0.0", 0)) as outside:
        ports = {port for port, _process in inspection.listeners()}
        assert outside.getsockname()[1] in ports
        assert inside.getsockname()[1] not in ports


def test_port_25_counts_as_open_only_when_a_mail_server_greets(monkeypatch: pytest.MonkeyPatch) -> None:
    greeting = {"text": b"220 mx\r\n"}
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                with server.accept()[0] as client:
                    client.sendall(greeting["text"])

        threading.Thread(target=serve, daemon=True).start()
        connect = socket.create_connection
        monkeypatch.setattr(inspection.pwd, "getpwnam", dict[str, Any]().__getitem__)  # no user of Postfix to become
        monkeypatch.setattr(socket, "create_connection", lambda _at, timeout: connect(server.getsockname(), timeout))
        assert inspection.port25(["mx.rx.example"]) == "open"
        greeting["text"] = b"HTTP"
        assert inspection.port25(["mx.rx.example"]) == "blocked"
    assert inspection.port25([]) == "not tried"


def test_missing_packages_are_found() -> None:
    assert inspection.missing_packages(["dpkg", "no-such-package-as-this"]) == ["no-such-package-as-this"]
    assert inspection.missing_packages(["no-such-package|dpkg"]) == []
    assert inspection.missing_packages(["no-such-package|nor-this"]) == ["no-such-package"]


def test_the_ssh_port_of_this_session_is_found() -> None:
    look = f"from {inspection.__name__} import ssh_ports; print(ssh_ports())"
    without = {"PATH": os.environ["PATH"], "PYTHONPATH": "collections"}  # as sudo leaves it
    script = f"import subprocess as s, sys; s.run([sys.executable, '-c', {look!r}], env={without!r}, check=True)"
    session = os.environ | {"SSH_CONNECTION": "198.51.100.9 50000 198.51.100.1 2222"}
    done = subprocess.run([sys.executable, "-c", script], env=session, capture_output=True, text=True, check=True)
    assert "2222" in done.stdout
