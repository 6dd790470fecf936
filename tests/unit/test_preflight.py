"""Preflight's judgement of settings and host, fault by fault."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import inspection
from ansible_collections.sendyard.mail.plugins.module_utils.preflight import (
    Identity,
    file_faults,
    host_faults,
    identity_faults,
    setting_faults,
    sound_addresses,
)
from tls import Authority, make_key

NOW = datetime.now(UTC) + timedelta(days=1)  # certificates that tests make are valid from now on
SAID: dict[str, Any] = {
    "fqdn": "mx1.yard.example",
    "admin": "postmaster@yard.example",
    "bounce_domain": "bounces.mx1.yard.example",
    "selector": "mx1-1",
    "addresses": [{"public": "198.51.100.1"}, {"public": "2001:db8::1", "bind": "fd00::1"}],
    "dns_credential": "lab",
    "dns_credentials": {"lab": {}},
    "certificate_source": "acme",
    "certificate_provided": [],
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
    for provider in ("hetzner", "route53"):
        named = {"ptr_credential": "lab", "publish_ptr": False, "dns_credentials": {"lab": {"provider": provider}}}
        assert not list(setting_faults(SAID | named))
    assert not list(host_faults(FOUND, SAID))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fqdn": "mx1"}, "sendyard_fqdn"),
        ({"selector": "Mx_1"}, "sendyard_selector"),
        ({"addresses": []}, "sendyard_addresses"),
        ({"addresses": [{"public": "198.51.100.256"}]}, 'entry 1: public: "198.51.100.256" is no IP address'),
        ({"dns_credential": "lba"}, '"lba" is not in sendyard_dns_credentials (lab)'),
        ({"dns_credentials": {"lab": "text"}}, 'sendyard_dns_credentials: "lab" must be a mapping'),
        ({"ptr_credential": "lba"}, 'sendyard_ptr_credential: "lba" is not in sendyard_dns_credentials (lab)'),
        ({"ptr_credential": "manual"}, 'sendyard_ptr_credential: "manual" is not in sendyard_dns_credentials'),
        (
            {"ptr_credential": "lab", "dns_credentials": {"lab": {"provider": "rfc2136"}}},
            "is of provider rfc2136, which sets no PTR records of addresses; hetzner and route53 do",
        ),
        (
            {"ptr_credential": "lab", "publish_ptr": True, "dns_credentials": {"lab": {"provider": "hetzner"}}},
            "sendyard_ptr_credential: sendyard_publish_ptr is true too",
        ),
        ({"certificate_source": "provided"}, "sendyard_certificate_provided"),
        ({"certificate_key_types": []}, "sendyard_certificate_key_types"),
        ({"admin": "nobody"}, 'sendyard_admin: "nobody" is no mail address'),
        ({"admin": ""}, "sendyard_admin: it is empty"),
        ({"admin": None}, "sendyard_admin: it is empty"),
        ({"fqdn": ""}, "sendyard_fqdn: it is empty"),
        ({"prove_recipient": "nomail"}, 'sendyard_prove_recipient: "nomail" is no mail address'),
        ({"prove_recipient": "a@b@rx.example"}, "sendyard_prove_recipient"),
        ({"mail_max_size": "banana"}, 'sendyard_mail_max_size: "banana" is no size'),
        ({"log_max_size": "5 GB"}, 'sendyard_log_max_size: "5 GB" is no size'),
        ({"message_size_limit": -5}, 'sendyard_message_size_limit: "-5" is too small'),
        ({"message_size_limit": 0}, "sendyard_message_size_limit"),
        ({"publish_deadline": 0}, 'sendyard_publish_deadline: "0" is too small'),
        ({"log_retention_days": 0}, "sendyard_log_retention_days"),
        ({"queue_lifetime": "5 fortnights"}, 'sendyard_queue_lifetime: "5 fortnights" is no time'),
        ({"dmarc_rua": "reports@yard.example"}, "sendyard_dmarc_rua"),
        ({"return_path": "Bounces"}, 'sendyard_return_path: "Bounces" is not of DNS labels'),
        ({"return_path": "_b.x"}, "sendyard_return_path"),
        ({"return_path": "b."}, "sendyard_return_path"),
        ({"acme_directory": "ca.example/dir"}, "sendyard_acme_directory"),
        ({"firewall_extra_tcp_ports": [22, 70000]}, 'sendyard_firewall_extra_tcp_ports: "70000" is no TCP port'),
        ({"firewall_extra_tcp_ports": [0]}, 'sendyard_firewall_extra_tcp_ports: "0"'),
        ({"resolver_root_hints": ["garbage"]}, 'sendyard_resolver_root_hints: "garbage" is no "name address"'),
        ({"resolver_root_hints": ["ns1.root. 198.51.100.256"]}, "sendyard_resolver_root_hints"),
        ({"publish_resolver": ["ns1.example"]}, 'sendyard_publish_resolver: "ns1.example" is no IP address'),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], words: str) -> None:
    (fault,) = setting_faults(SAID | change)
    assert words in fault


RIGHT: dict[str, Any] = {
    "admin": "Post.Master+x@Yard.Example",
    "prove_recipient": "",
    "mail_max_size": "200M",
    "log_max_size": "1048576",
    "publish_deadline": 1,
    "queue_lifetime": "5d",
    "delay_warning_time": "0h",
    "dmarc_rua": "",
    "return_path": "b.mail",
    "firewall_extra_tcp_ports": [1, 65535],
    "resolver_root_hints": ["a.root-servers.net. 198.41.0.4", "NS1.lab.example 2001:db8::53"],
    "publish_resolver": ["198.51.100.53", "2001:DB8::53"],
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_setting_is_no_fault(name: str) -> None:
    assert not list(setting_faults(SAID | {name: RIGHT[name]}))


def test_what_is_said_of_one_setting_does_not_hang_on_another() -> None:
    """Those that are of a wrong type are not there."""
    said = {"publish_deadline": 0, "addresses": [{"public": "x"}, {"public": "2001:DB8:945E:0::11", "bind": None}]}
    assert len(list(setting_faults(said))) == 2
    assert not list(setting_faults({}))
    assert sound_addresses(said) == ["2001:db8:945e::11"]
    assert sound_addresses({}) == []


def test_two_servers_share_nothing_that_is_one_server_s() -> None:
    own = Identity("mx1", "mx1.yard.example", "s1", ("198.51.100.1", "2001:db8::1"))
    assert not list(identity_faults(own, [Identity("mx2", "mx2.yard.example", "s2", ("198.51.100.2",))]))
    assert not list(identity_faults(own, [Identity("mx2")]))
    assert not list(identity_faults(Identity("mx1"), [Identity("mx2")]))
    other = Identity("mx2", "mx1.yard.example", "s1", ("198.51.100.2", "2001:DB8:0::1"))
    faults = list(identity_faults(own, [Identity("mx3", "mx3.yard.example", "s3"), other]))
    assert [fault.partition(":")[0] for fault in faults] == ["sendyard_fqdn", "sendyard_selector", "sendyard_addresses"]
    assert all("of mx2 too" in fault for fault in faults)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificates of the controller, by name."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    made = {}
    for name, issued in {
        "mine": authority.issue("mx1.yard.example"),
        "rsa": authority.issue("mx1.yard.example", key=make_key("rsa")),
        "other": authority.issue("mx2.yard.example"),
    }.items():
        made |= {f"{name}.crt": issued.certificate + authority.intermediate.certificate, f"{name}.key": issued.key}
    return made


@pytest.mark.parametrize(
    ("names", "types", "words"),
    [
        ([("mine", "mine")], ["ecdsa"], []),
        ([("mine", "mine"), ("rsa", "rsa")], ["rsa", "ecdsa"], []),
        ([("gone", "mine")], ["ecdsa"], ["sendyard_certificate_provided: entry 1: gone.crt"]),
        ([("mine", "gone")], ["ecdsa"], ["sendyard_certificate_provided: entry 1: gone.key"]),
        ([("mine", "mine"), ("rsa", "other")], ["ecdsa", "rsa"], ["entry 2: rsa.crt: the private key does not belong"]),
        ([("other", "other")], ["ecdsa"], ["entry 1: other.crt: the certificate is for mx2.yard.example, not for mx1"]),
        ([("mine", "mine"), ("mine", "mine")], ["ecdsa"], ["entry 2: mine.crt: a second certificate"]),
        ([("rsa", "rsa")], ["ecdsa"], ["sendyard_certificate_key_types: ecdsa is said, but", "Say [rsa]"]),
    ],
)
def test_provided_certificates_are_looked_at(
    files: dict[str, str], names: list[tuple[str, str]], types: list[str], words: list[str]
) -> None:
    def read(name: str) -> str:
        if name not in files:
            raise OSError(f"{name} cannot be read")
        return files[name]

    pairs = [{"certificate_file": f"{one}.crt", "key_file": f"{other}.key"} for one, other in names]
    said = SAID | {"certificate_source": "provided", "certificate_provided": pairs, "certificate_key_types": types}
    faults = "\n".join(file_faults(said, read, NOW))
    assert bool(faults) == bool(words), faults
    assert all(word in faults for word in words), faults
    assert not list(file_faults(said | {"certificate_source": "acme"}, read, NOW))


def test_files_and_programs_that_the_proof_needs_are_looked_for(tmp_path: Path, files: dict[str, str]) -> None:
    def faults(**said: Any) -> list[str]:
        return list(file_faults(said, lambda name: files[name], NOW))

    ca, text = tmp_path / "ca.pem", tmp_path / "text.pem"
    ca.write_text(files["mine.crt"])
    text.write_text("no certificate")
    assert not faults(prove_tls_ca=str(ca), prove_fetch_command=["sh", "-c", "x"])
    assert not faults(prove_tls_ca="", prove_fetch_command=[])
    assert "cannot be read on the controller" in faults(prove_tls_ca=str(tmp_path / "gone"))[0]
    assert "holds no PEM certificate" in faults(prove_tls_ca=str(text))[0]
    assert "no-such-program" in faults(prove_fetch_command=["no-such-program", "x"])[0]


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


def test_listeners_on_loopback_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.create_server(("0.0.0.0", 0)) as outside:
        loopback = {listener.port: listener.loopback for listener in inspection.listeners()}
        assert loopback[outside.getsockname()[1]] is False
        assert loopback[inside.getsockname()[1]] is True


def inspected(monkeypatch: pytest.MonkeyPatch, addresses: list[str], **outputs: str) -> dict[str, Any]:
    """What is found on a host whose programs print `outputs`."""
    monkeypatch.setattr(inspection, "_output", lambda argv: outputs.get(argv[0], ""))
    return inspection.inspect(addresses=addresses, packages=[], port25_targets=[])


def test_who_is_on_loopback_is_in_the_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Debian's exim4 is by default. An sshd there is for what a client forwards, and opens nothing."""
    ss = """
LISTEN 0 20 127.0.0.1:25 0.0.0.0:* users:(("exim4",pid=612,fd=4))
LISTEN 0 511 [::1]:80 [::]:* users:(("nginx",pid=7,fd=6))
LISTEN 0 100 127.0.0.1:587 0.0.0.0:* users:(("smtpd",pid=9,fd=6),("master",pid=8,fd=13))
LISTEN 0 128 0.0.0.0:2222 0.0.0.0:* users:(("sshd",pid=5,fd=3))
LISTEN 0 128 127.0.0.1:6010 0.0.0.0:* users:(("sshd",pid=6,fd=9))
LISTEN 0 128 127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=6,fd=9))
"""
    found = inspected(monkeypatch, [], ss=ss.strip())
    assert found["occupied"] == {"25": "exim4", "80": "nginx"}
    assert 2222 in found["ssh_ports"]
    assert 6010 not in found["ssh_ports"]


def test_an_address_is_held_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    ip = '[{"addr_info": [{"local": "2001:db8:945e::11"}, {"local": "198.51.100.1"}, {}]}, {}]'
    wanted = ["2001:DB8:945E:0::11", "198.51.100.1", "198.51.100.2"]
    assert inspected(monkeypatch, wanted, ip=ip)["addresses_missing"] == ["198.51.100.2"]


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
    look = f"from {inspection.__name__} import *; print(list(ssh_sessions()), ssh_ports(ssh_sessions()))"
    without = {"PATH": os.environ["PATH"], "PYTHONPATH": "collections"}  # as sudo leaves it
    script = f"import subprocess as s, sys; s.run([sys.executable, '-c', {look!r}], env={without!r}, check=True)"
    session = os.environ | {"SSH_CONNECTION": "198.51.100.9 50000 198.51.100.1 2222"}
    done = subprocess.run([sys.executable, "-c", script], env=session, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[('198.51.100.9', 2222)] ")
    assert "2222" in done.stdout.partition("]")[2]


def test_controllers_are_remembered_each_once_and_not_without_end(tmp_path: Path) -> None:
    kept = tmp_path / "controllers.conf"
    assert inspection.controllers(["198.51.100.9", "2001:db8:1:2:3::9", "127.0.0.1", "fe80::1%eth0"], kept) == [
        "198.51.100.9", "2001:db8:1:2:3::9",
    ]  # fmt: skip
    kept.write_text("# Written by Sendyard\n198.51.100.9\n203.0.113.1\n")
    assert inspection.controllers(["198.51.100.9"], kept) == ["198.51.100.9", "203.0.113.1"]
    assert inspection.controllers(["::ffff:203.0.113.2"], kept)[-1] == "203.0.113.2"
    kept.write_text("".join(f"10.0.0.{number}\n" for number in range(100)))
    found = inspection.controllers(["198.51.100.9"], kept)
    assert len(found) == inspection.CONTROLLERS_KEPT
    assert found[-2:] == ["10.0.0.99", "198.51.100.9"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("guard_allow", ["198.51.100.1", "2001:db8::/48"], ["0.0.0.0/0", "::/0", "mta1", "198.51.100.1/24"]),
        ("guard_prefix4", [1, 9, 24, 32], [0, 33]),
        ("guard_prefix6", [1, 48, 64, 99, 110, 128], [0, 129, 200]),
        ("guard_failures", [1], [0, -1]),
        ("login_hourly_limit", [0, 5], [-1]),
    ],
)
def test_settings_of_guard_and_limits(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in (*good, *bad):
        said = [value] if name == "guard_allow" else value
        assert len(list(setting_faults({name: said}))) == (value in bad), value
