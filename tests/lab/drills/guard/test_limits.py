# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The limit of a login, and what becomes of the counts when the gate stops, dies or finds a broken file."""

from __future__ import annotations

import json
from collections.abc import Iterator

import lab_api
import pytest
from lab_hosts import Login, Sender
from lab_limits import DROP_IN, GATE, MANY, STATE, allowance, domain_of, forget, send


@pytest.fixture
def one_an_hour(sender: Sender) -> Iterator[None]:
    """The gate as the setting would have it, with one recipient per hour and login."""
    command = lab_api.root(sender.name, "grep", "^ExecStart=", f"/etc/systemd/system/{GATE}").stdout.strip()
    before, option, _ = command.partition(" --login-limits ")
    assert option
    lab_api.root(sender.name, "mkdir", "-p", DROP_IN.rpartition("/")[0])
    text = f"[Service]\nExecStart=\n{before}{option}1 0 --domain-limits 0 0\n"
    lab_api.root(sender.name, "tee", DROP_IN, stdin=text)
    lab_api.root(sender.name, "systemctl", "daemon-reload")
    forget(sender)
    yield
    lab_api.root(sender.name, "rm", DROP_IN)
    lab_api.root(sender.name, "systemctl", "daemon-reload")
    forget(sender)


def wait_until_said(sender: Sender, text: str) -> None:
    """Until the gate has said `text` since it was last started or a little before."""
    last = ("journalctl", "--unit", GATE, "--output=cat", "--lines=30")
    lab_api.until(lambda: text in lab_api.root(sender.name, *last).stdout, what=text)


@pytest.mark.usefixtures("one_an_hour")
def test_a_login_over_its_limit_waits_and_another_goes_on(sender: Sender, logins: tuple[Login, ...]) -> None:
    busy, other = logins[:2]
    assert send(sender, busy, MANY[:1])[0] == 250
    code, text = send(sender, busy, MANY[:1])
    assert (code, text.split()[0]) == (450, "4.7.1")
    assert f"login {busy.username} may have 1 recipients per hour and had 1; try again in" in text
    assert send(sender, other, MANY[:1])[0] == 250


def test_a_broken_file_of_counts_is_said_and_stops_no_mail(sender: Sender, logins: tuple[Login, ...]) -> None:
    lab_api.root(sender.name, "systemctl", "stop", GATE)
    lab_api.root(sender.name, "tee", STATE, stdin='{"format":1,"counts":[["lo')
    lab_api.root(sender.name, "systemctl", "start", GATE)
    wait_until_said(sender, f"{STATE}: the counts of recipients cannot be read")
    assert send(sender, logins[0], MANY[:1])[0] == 250
    forget(sender)


def test_a_stop_forgets_nothing_and_a_kill_what_came_after_the_last_writing(
    sender: Sender, logins: tuple[Login, ...]
) -> None:
    busy = logins[0]
    with allowance(sender, domain_of(busy), 5, 0):
        forget(sender)
        assert send(sender, busy, MANY)[0] == 250
        lab_api.root(sender.name, "systemctl", "restart", GATE)
        code, text = send(sender, busy, MANY)
        assert code == 450
        assert "and had 3;" in text
        kept = lab_api.root(sender.name, "cat", STATE).stdout
        assert send(sender, busy, MANY[:1])[0] == 250
        # The next writing has it, within a minute.
        lab_api.until(lambda: lab_api.root(sender.name, "cat", STATE).stdout != kept, what="a writing", deadline=90)
        [ring] = [one[4] for one in json.loads(lab_api.root(sender.name, "cat", STATE).stdout)["counts"]
                  if one[:3] == ["domain", "hour", domain_of(busy)]]  # fmt: skip
        assert sum(ring) == 4
        lab_api.root(sender.name, "systemctl", "kill", "--signal=KILL", GATE)
        lab_api.root(sender.name, "systemctl", "start", GATE)
        assert send(sender, busy, MANY[:2])[0] == 450


def test_where_counts_cannot_be_written_mail_goes_on(sender: Sender, logins: tuple[Login, ...]) -> None:
    forget(sender)
    directory = STATE.rpartition("/")[0]
    lab_api.root(sender.name, "mkdir", f"{directory}/.sent.json")
    try:
        lab_api.root(sender.name, "systemctl", "restart", GATE)  # it writes when it stops
        wait_until_said(sender, f"{STATE}: the counts of recipients cannot be written")
        assert send(sender, logins[0], MANY[:1])[0] == 250
    finally:
        lab_api.root(sender.name, "rmdir", f"{directory}/.sent.json")
