# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What runs on a sender, who may read what, and that a client's first message arrives."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage

import dns.flags
import dns.message
import lab_api
import pytest
from lab_hosts import Login, Sender

SUBMISSION = (587, 2525)  # with STARTTLS
UNITS = (
    "dovecot",
    "sendyard-firewall",
    "sendyard-gate",
    "sendyard-guard",
    "sendyard-mta-sts",
    "sendyard-opendkim",
    "sendyard-transport-policy",
    "unbound",
)


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_runs_and_will_after_a_reboot(sender: Sender, unit: str) -> None:
    service = sender.host.service(unit)
    assert service.is_running
    assert service.is_enabled


def test_postfix_runs_and_will_after_a_reboot(sender: Sender) -> None:
    assert sender.host.run("postfix status").rc == 0
    assert sender.host.service("postfix").is_enabled


def test_the_clock_is_kept(sender: Sender) -> None:
    """It does not run in a container, whose clock is the machine's; on a server it is started at boot."""
    assert sender.host.service("systemd-timesyncd").is_enabled


def test_certificates_are_renewed_by_a_timer(sender: Sender) -> None:
    assert sender.host.service("certbot.timer").is_running
    assert sender.host.service("certbot.timer").is_enabled


def test_no_unit_failed(sender: Sender) -> None:
    assert sender.host.check_output("systemctl list-units --state=failed --no-legend --plain") == ""


@pytest.mark.parametrize("unit", ["opendkim.service", "postfix-mta-sts-resolver.service"])
def test_debians_own_instance_stays_off(sender: Sender, unit: str) -> None:
    # Asked of systemd: beside the mask lies an init script, whose links would count as enabled.
    said = sender.host.run(f"systemctl is-enabled {unit}; systemctl is-active {unit}").stdout
    assert said.split() == ["masked", "inactive"]


ASKED = ("gate/gate.sock", "opendkim/opendkim.sock", "private/auth", "transport_policy/policy.sock")


@pytest.mark.parametrize("socket", ASKED)
def test_postfix_may_connect_to_what_it_asks(sender: Sender, socket: str) -> None:
    path = f"/var/spool/postfix/{socket}"
    assert sender.host.file(path).is_socket
    assert sender.host.run(f"sudo -u postfix test -w {path}").rc == 0
    assert sender.host.run(f"sudo -u nobody test -w {path}").rc != 0


@pytest.mark.parametrize(
    ("pattern", "owner", "mode"),
    [
        ("/etc/opendkim/keys/*.pem", "opendkim:opendkim", "600"),
        ("/etc/sendyard/tls/*.pem", "root:root", "600"),
        ("/etc/dovecot/sendyard-logins", "root:dovecot", "640"),
        ("/var/lib/sendyard/*", "root:root", "600"),
    ],
)
def test_secrets_are_for_their_users_only(sender: Sender, pattern: str, owner: str, mode: str) -> None:
    found = sender.host.check_output(f"sh -c 'find {pattern} -maxdepth 0 -type f -printf \"%U:%G %u:%g %m\\n\"'")
    assert {" ".join(line.split()[1:]) for line in found.splitlines()} == {f"{owner} {mode}"}


def test_no_private_key_is_readable_by_others(sender: Sender) -> None:
    leaks = sender.host.check_output(
        "find /etc /var/lib /usr/lib/sendyard -xdev -type f -perm /o=r -size -64k"
        " -exec grep -l -e '^-----BEGIN [A-Z ]*PRIVATE KEY-----' {} + || true"
    )
    ours = [path for path in leaks.splitlines() if "/python3" not in path]  # test data of Debian's packages
    assert ours == []


ASK = """
import socket
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(20)
link.sendto(bytes.fromhex("{query}"), ("127.0.0.1", 53))
print(link.recv(4096).hex())
"""


def test_the_host_resolves_by_itself_and_validates(sender: Sender) -> None:
    assert sender.host.file("/etc/resolv.conf").contains("^nameserver 127.0.0.1")
    query = dns.message.make_query(f"{sender.fqdn}.", "A", want_dnssec=True)
    script = ASK.format(query=query.to_wire().hex())
    answer = dns.message.from_wire(bytes.fromhex(lab_api.root(sender.name, "python3", "-", stdin=script).stdout))
    assert answer.answer
    assert answer.flags & dns.flags.AD


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("port", [25, *SUBMISSION])
def test_starttls_shows_a_certificate_for_the_hosts_name(
    sender: Sender, trust: ssl.SSLContext, port: int, family: int
) -> None:
    with smtplib.SMTP(timeout=30) as session:
        code, banner = session.connect(sender.addresses[family], port)
        assert code == 220
        assert banner.decode().startswith(sender.fqdn)
        assert session.ehlo("client.example")[0] == 250
        assert not session.has_extn("auth"), "AUTH is offered in clear text"
        session._host = sender.fqdn  # the name to check; smtplib would take the address
        assert session.starttls(context=trust)[0] == 220
        session.ehlo("client.example")
        assert session.has_extn("auth") == (port != 25)


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_465_speaks_tls_at_once(sender: Sender, trust: ssl.SSLContext, family: int) -> None:
    with smtplib.SMTP_SSL(timeout=30, context=trust) as session:
        session._host = sender.fqdn
        assert session.connect(sender.addresses[family], 465)[0] == 220
        session.ehlo("client.example")
        assert session.has_extn("auth")


def test_a_clients_message_arrives_signed_and_aligned(
    sender: Sender, trust: ssl.SSLContext, logins: tuple[Login, ...]
) -> None:
    for login in logins:
        token = lab_api.token()
        message = EmailMessage()
        message["From"] = f"Service <{login.username}>"
        message["To"] = lab_api.info()["receiver"]["address"]
        message["Subject"] = f"verify {token}"
        message.set_content("It works.\n")
        with smtplib.SMTP(timeout=60) as session:
            session.connect(sender.ipv4, 587)
            session._host = sender.fqdn
            session.starttls(context=trust)
            session.login(login.username, login.password)
            session.send_message(message)
        results = lab_api.wait_for_mail(token).results
        for verdict in ("spf=pass", "dkim=pass", "dmarc=pass"):
            assert verdict in results
