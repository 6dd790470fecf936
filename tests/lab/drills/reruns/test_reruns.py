# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Runs with something to do while mail flows: no port is shut, and no daemon does more than the change asks of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import lab_api
import lab_state
import pytest
from lab_hosts import Login, Sender
from lab_stream import stream
from lab_submission import logged_in, signers, submit
from programs import run

DEADLINE = 600.0  # seconds for one run


def site(sender: Sender, playbook: str = "site.yml", **settings: object) -> None:
    """A run for one sender that ends well."""
    done = run("ansible-playbook", playbook, "--limit", sender.name, "-e", json.dumps(settings), deadline=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr


def renew(sender: Sender, **_: object) -> None:
    """A certificate before its time."""
    lab_api.root(sender.name, "certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", "-q", deadline=240)


# What changes, and what a daemon does for it (docs/operate.md has this table for people). Whatever is not named here
# is neither started anew nor told to look again.
CHANGES: dict[str, tuple[Callable[..., None], dict[str, object], set[str]]] = {
    "a value of main.cf": (site, {"sendyard_message_size_limit": 52428801}, {"reloads of postfix"}),
    "an open port": (site, {"sendyard_firewall_extra_tcp_ports": [8443]}, {"firewall"}),
    "a new certificate": (renew, {}, {"reloads of postfix"}),
    "how long logs are kept": (site, {"sendyard_log_retention_days": 15}, set()),
}

ZONES = ["10.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.", "16.172.in-addr.arpa."]  # what the lab has, and one more
# What starts a daemon anew: that one alone, and clients are told to come again while it does.
RESTARTS: dict[str, tuple[dict[str, object], str]] = {
    "a limit": ({"sendyard_login_hourly_limit": 19999}, "sendyard-gate.service"),
    "when the guard blocks": ({"sendyard_guard_failures": 21}, "sendyard-guard.service"),
    "a zone of the resolver": (
        {"sendyard_resolver_private_zones": ZONES},
        "unbound.service",
    ),
}


@pytest.fixture(autouse=True)
def as_before(sender: Sender) -> Iterator[None]:
    """Whatever a test has changed, the next one finds the servers as they are by default."""
    yield
    site(sender)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shuts_no_port_and_restarts_nothing(sender: Sender, logins: tuple[Login, ...], change: str) -> None:
    do, settings, moved = CHANGES[change]
    with stream(sender, logins) as running:
        before = lab_state.daemons(sender.name)
        do(sender, **settings)
        after = lab_state.daemons(sender.name)
        running.wait_for(10)
        fate = running.fate()
    assert {name for name in before if before[name] != after[name]} - {"reloads by systemd"} == moved
    assert not fate.shut
    assert not fate.refused
    fate.assert_kept()


@pytest.mark.parametrize("change", RESTARTS)
def test_a_daemon_that_starts_anew_is_the_only_one(sender: Sender, logins: tuple[Login, ...], change: str) -> None:
    settings, unit = RESTARTS[change]
    with stream(sender, logins) as running:
        before = lab_state.daemons(sender.name)
        site(sender, **settings)
        after = lab_state.daemons(sender.name)
        running.wait_for(10)
        fate = running.fate()
    assert {name for name in before if before[name] != after[name]} - {"reloads by systemd"} == {unit}
    assert not fate.shut
    assert all(400 <= code < 500 for code in fate.refused), fate.refused
    fate.assert_kept()


def test_all_changes_at_once_under_load(sender: Sender, logins: tuple[Login, ...]) -> None:
    settings = {name: value for _, these, _ in CHANGES.values() for name, value in these.items()}
    with stream(sender, logins, rate=10) as running:
        site(sender, **settings)
        site(sender)
        running.wait_for(10)
        fate = running.fate()
    assert not fate.shut
    assert not fate.refused
    fate.assert_kept()


def _copy_of_the_domains(tmp_path: Path) -> Path:
    """A directory with the lab's domain files."""
    for path in (Path(lab_api.info()["state"]) / "domains").glob("*.yml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def _send(sender: Sender, login: Login, new: str) -> int:
    """The code of the reply to a message of the domain `new`."""
    content = f"From: app@{new}\r\nSubject: {new}\r\n\r\nHello.\r\n".encode()
    with logged_in(sender, login) as opened:
        opened.command(f"MAIL FROM:<app@{new}>")
        if not (reply := opened.command(f"RCPT TO:<{new}@sink.rx.example>")).positive:
            return reply.code
        opened.command("RSET")
        return submit(opened, f"app@{new}", [f"{new}@sink.rx.example"], content).code


def test_a_domain_comes_and_goes_under_load(sender: Sender, logins: tuple[Login, ...], tmp_path: Path) -> None:
    """Its mail is signed from the first message on; when it is gone, it sends no more, and what is queued arrives."""
    login = next(login for login in logins if "acme.example" in login.domains)
    new = f"new-{lab_api.token()}.acme.example"  # new each time: what was published once is seen at once
    directory = _copy_of_the_domains(tmp_path)
    file = directory / f"{new}.yml"
    acme = (directory / "acme.example.yml").read_text()
    with stream(sender, logins) as running:
        before = lab_state.daemons(sender.name)
        file.write_text(f"---\ndomain: {new}\nservers: [{sender.name}]\ndns: lab\n{acme[acme.index('logins:') :]}")
        assert _send(sender, login, new) == 553
        site(sender, sendyard_domains_directory=str(directory))
        assert _send(sender, login, new) == 250
        with lab_api.fault("rx", "tcp dport 25 drop"):
            assert _send(sender, login, new) == 250
            file.unlink()
            site(sender, "playbooks/serve.yml", sendyard_domains_directory=str(directory))
            assert _send(sender, login, new) == 553
        after = lab_state.daemons(sender.name)
        fate = running.fate()
    assert {name for name in before if before[name] != after[name]} == set(), "no daemon is told"
    assert not fate.shut
    fate.assert_kept()
    arrived = lab_api.until(lambda: found if len(found := lab_api.mails(f"Subject: {new}")) == 2 else None, what="both")
    assert [signers(mail.wire) for mail in arrived] == [[new], [new]]
