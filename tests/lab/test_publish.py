# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Publishing as its users see it: a key signs once every name server has its record; other servers keep theirs."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import dns.reversename
import lab_api
import pytest
from lab_hosts import Login
from programs import run

SENDER = "mx-trixie"
DOMAIN = f"late-{lab_api.token()}.acme.example"  # new in every run: what was published once is seen at once
DEADLINE = 400.0  # seconds for one run


def site(*words: str, directory: Path, deadline: int = 60) -> tuple[int, str]:
    """Run the playbook for one sender, with the domain files of `directory`; its exit code, and all it said."""
    done = run(
        "ansible-playbook", "site.yml", "--limit", SENDER, "-e", f"sendyard_domains_directory={directory}",
        "-e", f"sendyard_publish_deadline={deadline}", *words, deadline=DEADLINE,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The lab's domain files and one more, of a domain that nobody has heard of; the lab forgets it afterwards."""
    state = Path(lab_api.info()["state"])
    directory = tmp_path_factory.mktemp("domains")
    for path in (state / "domains").glob("*.yml"):
        (directory / path.name).write_bytes(path.read_bytes())
    known = (state / "domains/acme.example.yml").read_text()
    logins_of_acme = known[known.index("logins:") :]
    (directory / f"{DOMAIN}.yml").write_text(f"---\ndomain: {DOMAIN}\nservers: [{SENDER}]\ndns: lab\n{logins_of_acme}")
    yield directory
    code, said = site(directory=state / "domains")
    assert code == 0, said


def submit(login: Login, trust: ssl.SSLContext, token: str) -> tuple[int, str]:
    """Send a message From: the new domain by port 587; the reply to its end, or to what was refused before."""
    sender = f"app@{DOMAIN}"
    text = f"From: {sender}\nTo: {lab_api.info()['receiver']['address']}\nSubject: {token}\n\nx\n"
    with smtplib.SMTP(timeout=60) as session:
        session.connect(lab_api.address(SENDER), 587)
        session._host = lab_api.info()["hosts"][SENDER]["fqdn"]
        session.starttls(context=trust)
        session.login(login.username, login.password)
        try:
            session.sendmail(sender, lab_api.info()["receiver"]["address"], text)
        except smtplib.SMTPDataError as refused:
            return refused.smtp_code, str(refused.smtp_error)
    return 250, ""


def test_a_key_signs_only_when_every_name_server_has_its_record(
    domains: Path, logins: tuple[Login, ...], trust: ssl.SSLContext
) -> None:
    acme = next(login for login in logins if "acme.example" in login.domains)
    key = f"/etc/opendkim/keys/{DOMAIN}.pem"
    token = lab_api.token()
    with lab_api.fault("ns2", f"ip saddr {lab_api.address('ns1')} drop"):  # no transfer reaches the secondary
        code, said = site(directory=domains, deadline=6)
        assert code == 3, said
        assert DOMAIN in said and "ns2" in said
        assert lab_api.root(SENDER, "test", "-e", key, check=False).rc != 0
        reply = submit(acme, trust, token)
        assert 400 <= reply[0] < 500, reply
    code, said = site(directory=domains)
    assert code == 0, said
    assert submit(acme, trust, token) == (250, "")
    mail = lab_api.wait_for_mail(token)
    assert f"header.d={DOMAIN}" in mail.results
    assert "dmarc=pass" in mail.results


def test_a_run_for_one_server_leaves_the_other_in_shared_records(domains: Path) -> None:
    before = lab_api.ask("ns1", "acme.example.", "TXT")
    assert all(f"ip4:{lab_api.address(host)}" in " ".join(before) for host in ("mx-trixie", "mx-bookworm"))
    code, said = site("-e", "sendyard_publish_all=true", directory=domains)
    assert code == 0, said
    assert lab_api.ask("ns1", "acme.example.", "TXT") == before


def test_what_somebody_changed_is_put_right_when_all_is_published_anew(domains: Path) -> None:
    name = "mx-trixie-1._domainkey.acme.example."
    before = lab_api.ask("ns1", name, "TXT")
    assert before
    lab_api.update("acme.example.", lambda message: message.delete(name))
    code, said = site("-e", "sendyard_publish_all=true", directory=domains)
    assert code == 0, said
    assert lab_api.ask("ns1", name, "TXT") == before


def test_an_address_that_is_given_up_leaves_the_zones(domains: Path) -> None:
    """The server sends over IPv4 alone for a while: AAAA, PTR and the SPF of its domains follow, and come back."""
    said = lab_api.info()["hosts"][SENDER]
    pointer = dns.reversename.from_address(said["ipv6"][0]).to_text()

    def published() -> tuple[bool, bool, bool]:
        spf = " ".join(lab_api.ask("ns1", "acme.example.", "TXT"))
        records = lab_api.ask("ns1", said["fqdn"], "AAAA"), lab_api.ask("ns1", pointer, "PTR")
        return bool(records[0]), bool(records[1]), f"ip6:{said['ipv6'][0]}" in spf

    assert published() == (True, True, True)
    alone = json.dumps({"sendyard_addresses": [{"public": said["ipv4"][0]}]})
    code, output = site("-e", alone, directory=domains)
    assert published() == (False, False, False), output
    assert code == 0, output
    code, output = site(directory=domains)
    assert code == 0, output
    assert published() == (True, True, True)


def test_of_two_runs_at_once_one_waits_and_both_end_well(domains: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda _: site(directory=domains), range(2)))
    assert [code for code, _ in ends] == [0, 0], "\n".join(said for _, said in ends)


def test_a_server_looks_where_the_controller_cannot(domains: Path) -> None:
    """What the controller asks the second name server never gets there; what a host asks it does."""
    controller = lab_api.ssh(SENDER, "sh", "-c", "echo $SSH_CONNECTION").stdout.split()[0]
    link = lab_api.root(SENDER, "ip", "neigh", "show", "to", controller).stdout.split()
    anew = ("-e", "sendyard_publish_all=true")
    with lab_api.fault("ns2", f"ether saddr {link[link.index('lladdr') + 1]} drop"):
        code, output = site(*anew, directory=domains, deadline=3)
        assert code == 2, output
        assert "ns2" in output
        code, output = site(*anew, "-e", f"sendyard_publish_verify_from={SENDER}", directory=domains)
        assert code == 0, output


def test_an_address_that_does_not_lead_back_is_not_sent_from(
    domains: Path, logins: tuple[Login, ...], trust: ssl.SSLContext
) -> None:
    """The PTR record of the IPv6 address is lost, and not ours to publish: clients come to it, mail leaves by IPv4."""
    said = lab_api.info()["hosts"][SENDER]
    address = said["ipv6"][0]
    pointer = dns.reversename.from_address(address)
    acme = next(login for login in logins if "acme.example" in login.domains)
    zone = pointer
    while not lab_api.ask("ns1", str(zone), "SOA"):
        zone = zone.parent()
    assert lab_api.update(str(zone), lambda message: message.delete(pointer)) == "NOERROR"
    code, output = site("-e", "sendyard_publish_ptr=false", directory=domains)
    assert code == 0, output
    assert f"{address}: the PTR record is not {said['fqdn']}" in output
    tokens = [lab_api.token() for _ in range(6)]  # where both families serve, Postfix takes either
    for token in tokens:
        assert submit(acme, trust, token) == (250, "")
    for token in tokens:
        assert said["ipv4"][0] in str(lab_api.wait_for_mail(token).parsed["Received"])
    with socket.create_connection((address, 587), 20) as client:
        assert client.recv(512).startswith(b"220 ")
    code, output = site(directory=domains)
    assert code == 0, output
    assert lab_api.ask("ns1", str(pointer), "PTR") == [f"{said['fqdn']}."]
